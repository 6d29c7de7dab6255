package api

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/valyala/fasthttp"

	"captop/service"
)

// exchange is one request on a connection, and its answer. The next request takes its place: what a handler gives away,
// it copies.
type exchange struct {
	fasthttp.RequestCtx
	conn  *conn
	began time.Time // its header was there
	body  body
}

func newExchange(c *conn) *exchange {
	x := &exchange{conn: c}
	x.Init2(c.Conn, c.server.http, true)
	return x
}

// serve reads one request and answers it, and reports whether there may be another one after it.
func (x *exchange) serve(first bool) bool {
	defer x.Response.Reset() // the connection may be idle for long, the answer long
	x.Request.Reset()
	if err := x.readHeader(first); err != nil {
		x.refuseHeader(err)
		return false
	}
	x.began = time.Now()
	x.expect()
	if !x.Response.ConnectionClose() {
		x.conn.server.serve(x)
		x.settle()
	}
	return x.answer()
}

// refuseHeader answers bytes that are no request, and hangs up.
func (x *exchange) refuseHeader(err error) {
	var bad *badHeader
	if !errors.As(err, &bad) {
		return
	}
	x.refuseAs(bad.status, &service.Error{Code: bad.code, Outcome: service.NotApplied, Message: bad.message})
	x.Response.SetConnectionClose()
	if x.conn.send(&x.Response) {
		x.conn.linger()
	}
}

// expect sees to what the client says of its body: how long it is, and whether it waits to be told to send it.
func (x *exchange) expect() {
	header := &x.Request.Header
	x.body = body{exchange: x, left: max(header.ContentLength(), 0), chunked: header.ContentLength() == -1}
	x.body.ended = !x.body.chunked && x.body.left == 0
	expected := header.Peek("Expect")
	switch {
	case len(expected) == 0:
	case bytes.EqualFold(expected, []byte("100-continue")):
		x.body.awaited = header.IsHTTP11() && !x.body.ended
	default:
		x.refuseAs(http.StatusExpectationFailed, &service.Error{Code: service.CodeBadRequest, Outcome: service.NotApplied,
			Message: "the expectation is not known; send 100-continue or none"})
		x.Response.SetConnectionClose()
	}
}

// settle takes the rest of a body that nobody has read, so that the next request is found behind it. Where that would be
// long, or the client waits before it sends one, the connection ends instead.
func (x *exchange) settle() {
	if x.body.ended || x.Response.ConnectionClose() {
		return
	}
	if x.body.awaited || !x.body.discard() {
		x.Response.SetConnectionClose()
	}
}

// answer sends the answer, and reports whether the connection stays.
func (x *exchange) answer() bool {
	request, response := &x.Request.Header, &x.Response
	// While draining, too: a load balancer that has not noticed yet keeps no connection that would end under a request of its.
	if request.ConnectionClose() || x.conn.server.draining.Load() {
		response.SetConnectionClose()
	}
	if !response.ConnectionClose() && !request.IsHTTP11() {
		response.Header.Set("Connection", "keep-alive")
	}
	response.SkipBody = request.IsHead()
	if !x.conn.send(response) {
		return false
	}
	if response.ConnectionClose() && !x.body.ended {
		x.conn.linger()
	}
	return !response.ConnectionClose()
}

// Of every answer with a body, as HTTP writes them.
var (
	cacheControl, noStore = []byte("Cache-Control"), []byte("no-store")
	contentTypes, noSniff = []byte("X-Content-Type-Options"), []byte("nosniff")
)

// json answers with a body.
func (x *exchange) json(status int, body any) {
	x.SetStatusCode(status)
	header := &x.Response.Header
	header.SetContentType("application/json")
	header.SetCanonical(cacheControl, noStore)
	header.SetCanonical(contentTypes, noSniff)
	x.Response.SetBodyRaw(append(jsonOf(body), '\n'))
}

// refuse answers with an error body and gives the status. kept is for a read whose session wrote the key, else nil.
func (x *exchange) refuse(refusal *service.Error, kept *bool) int {
	status := statusOf(refusal.Code)
	body := x.conn.server.errorBody(refusal)
	body.ReadYourWrites = kept
	x.json(status, body)
	return status
}

// refuseAs answers with an error body and a status that is not its code's.
func (x *exchange) refuseAs(status int, refusal *service.Error) {
	x.json(status, x.conn.server.errorBody(refusal))
}

// query gives the first value of a name in the query, "" where there is none.
func (x *exchange) query(name string) string {
	_, query, found := bytes.Cut(x.Request.Header.RequestURI(), []byte{'?'})
	if !found {
		return ""
	}
	values, _ := url.ParseQuery(string(query)) // what does not parse counts as left out
	return values.Get(name)
}
