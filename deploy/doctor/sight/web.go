package sight

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"captop/deploy/doctor"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 4 << 20

// newWeb makes a client that follows no redirect, and takes every certificate: what a certificate is worth is a check of
// its own, and the others look further all the same. It sends no secret.
func newWeb() *http.Client {
	return &http.Client{Timeout: 2 * patience,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}}
}

func (l *Looker) get(ctx context.Context, address string) (doctor.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return doctor.Response{}, errors.New("its address cannot be used")
	}
	answer, err := l.web.Do(request)
	if err != nil {
		return doctor.Response{}, withoutURL(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return doctor.Response{}, fmt.Errorf("reading the answer: %w", err)
	}
	return doctor.Response{Status: answer.StatusCode, Header: answer.Header, Body: body}, nil
}

// withoutURL drops the address, which may hold a password.
func withoutURL(err error) error {
	var quoted *url.Error
	if errors.As(err, &quoted) {
		return quoted.Err
	}
	return err
}

// handshake shakes hands, and says what the chain is worth.
func (l *Looker) handshake(ctx context.Context, address string, limit uint16) (doctor.Session, error) {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Hostname() == "" {
		return doctor.Session{}, errors.New("its address cannot be used")
	}
	port := parsed.Port()
	if port == "" {
		port = "443"
	}
	config := &tls.Config{InsecureSkipVerify: true, ServerName: parsed.Hostname(), MinVersion: tls.VersionTLS10, MaxVersion: limit}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dialer := tls.Dialer{Config: config}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(parsed.Hostname(), port))
	if err != nil {
		return doctor.Session{}, err
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	return doctor.Session{Version: state.Version, Chain: state.PeerCertificates, Refused: l.verify(state.PeerCertificates, parsed.Hostname())}, nil
}

func (l *Looker) verify(chain []*x509.Certificate, name string) error {
	if len(chain) == 0 {
		return errors.New("there is no certificate")
	}
	between := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		between.AddCert(certificate)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: l.roots, Intermediates: between, DNSName: name, CurrentTime: time.Now()})
	return err
}
