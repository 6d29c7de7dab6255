package api

import (
	"bufio"
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// FuzzHeader holds what is taken for a request against net/http's reading of the same bytes: whoever reads along, such as a
// proxy, must find the same request, and its body at the same place.
func FuzzHeader(f *testing.F) {
	for _, seed := range []string{
		"GET /read/k HTTP/1.1\r\nHost: x\r\n\r\n",
		"\r\nPOST /write/a%2Fb?x=y HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc",
		"GET a://#b HTTP/1.0\r\n\r\n",
		"POST http://h/write/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nExpect: 100-continue\r\n\r\n",
		"POST /write/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nX-A:\tb\t\r\n\r\nv",
		"GET /read/\xff HTTP/1.1\r\nHost: x\r\nCookie: a=b; c=\"d\"\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	server := &Server{options: Options{Logger: slog.New(slog.DiscardHandler)}}
	f.Fuzz(func(t *testing.T, text []byte) {
		c := newConn(server, &replay{rest: bytes.NewReader(text)}, nil, &atomic.Bool{})
		x := c.now
		if len(text) == 0 || x.readHeader(true) != nil {
			return
		}
		reader := bufio.NewReaderSize(bytes.NewReader(bytes.TrimPrefix(text, []byte("\r\n"))), 128<<10)
		request, err := http.ReadRequest(reader)
		if err != nil {
			t.Fatalf("%q is taken; net/http: %v", text, err)
		}
		ours, _ := c.in.Peek(c.in.Buffered())
		theirs, _ := reader.Peek(reader.Buffered())
		header := &x.Request.Header
		if string(header.Method()) != request.Method || string(header.RequestURI()) != request.RequestURI ||
			int64(header.ContentLength()) != request.ContentLength && (header.ContentLength() != -2 || request.ContentLength != 0) ||
			!bytes.HasPrefix(theirs, ours) {
			t.Errorf("%q is %s %s with %d bytes of %q; net/http: %s %s with %d of %q", text, header.Method(), header.RequestURI(),
				header.ContentLength(), ours, request.Method, request.RequestURI, request.ContentLength, theirs)
		}
		wantTarget(t, request, header.RequestURI())
	})
}

// wantTarget compares the segments of a path with what net/http's routing would make of it.
func wantTarget(t *testing.T, request *http.Request, uri []byte) {
	got, refusal := targetOf(pathOf(uri))
	if refusal != nil || got.count != 2 || string(got.segments[0]) != "read" {
		return
	}
	if want := request.URL.Path; want != "/read/"+string(got.segments[1]) {
		t.Errorf("%q reads %q; net/http: %q", uri, got.segments[1], want)
	}
}

// replay is a connection on which a client has sent something and closed its side.
type replay struct {
	net.Conn
	rest *bytes.Reader
}

func (r *replay) Read(p []byte) (int, error)         { return r.rest.Read(p) }
func (r *replay) RemoteAddr() net.Addr               { return nil }
func (r *replay) SetReadDeadline(_ time.Time) error  { return nil }
func (r *replay) SetWriteDeadline(_ time.Time) error { return nil }
