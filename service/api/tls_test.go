package api_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"captop/service"
	"captop/service/api"
)

// TestTLS: over TLS the cookie is Secure, requests work, and what is no request is answered too.
func TestTLS(t *testing.T) {
	certified := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	defer certified.Close()
	roots := x509.NewCertPool()
	roots.AddCert(certified.Certificate())
	clientTLS := &tls.Config{RootCAs: roots, ServerName: "example.com"}

	options := testOptions(io.Discard)
	options.Secure = true
	options.Sessions = api.NewSessions(options.Mode, secret, time.Now, options.Logger)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- api.New(newFakeStore(), options).Serve(ctx, listener,
			&tls.Config{Certificates: certified.TLS.Certificates, NextProtos: []string{"http/1.1"}})
	}()
	addr := listener.Addr().String()

	client := api.NewClient("https://"+addr, "", &http.Transport{TLSClientConfig: clientTLS})
	if _, err := client.Write(t.Context(), "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		request string
		status  int
		holds   string
	}{
		"cookie":      {post("/write/k/v"), 200, `"outcome":"applied"`},
		"bad escape":  {get("/read/%zz"), 400, string(service.CodeBadRequest)},
		"huge header": {get("/" + strings.Repeat("x", 80<<10)), 431, string(service.CodeHeaderTooLarge)},
	} {
		conn, err := tls.Dial("tcp", addr, clientTLS)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		go func() { _, _ = io.WriteString(conn, c.request) }()
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != c.status || !json.Valid(text) || !strings.Contains(string(text), c.holds) {
			t.Errorf("%s: %d %s %v", name, response.StatusCode, text, err)
		}
		if name == "cookie" && (len(response.Cookies()) != 1 || !response.Cookies()[0].Secure) {
			t.Errorf("the cookie is not for TLS only: %v", response.Cookies())
		}
		conn.Close()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
