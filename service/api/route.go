package api

import (
	"bytes"

	"captop/service"
)

// route finds who answers a request. A HEAD is a GET whose answer has no body.
func (s *Server) route(x *exchange) {
	uri := x.Request.Header.RequestURI()
	if string(uri) == "*" { // of OPTIONS only: the server is asked, not one of its routes
		return
	}
	t, refusal := targetOf(pathOf(uri))
	if refusal != nil {
		x.refuse(refusal, nil)
		return
	}
	method, handle := s.find(x, t)
	switch asked := x.Method(); {
	case handle == nil:
		s.noRoute(x, t)
	case string(asked) == method, method == "GET" && string(asked) == "HEAD":
		handle()
	default:
		x.Response.Header.Set("Allow", method)
		x.refuse(&service.Error{Code: service.CodeMethodNotAllowed, Outcome: t.outcome(),
			Message: string(asked) + " does not work here; use " + method}, nil)
	}
}

// find gives the method of a route and what it does, nil where there is no such route.
func (s *Server) find(x *exchange, t target) (method string, handle func()) {
	switch name := string(t.segments[0]); {
	case name == "read" && t.count == 2:
		return "GET", func() { s.operate(&call{kind: read, x: x, key: string(t.segments[1])}, s.read) }
	case name == "write" && (t.count == 2 || t.count == 3):
		return "POST", func() {
			s.operate(&call{kind: write, x: x, key: string(t.segments[1]), inPath: t.count == 3,
				pathValue: bytes.Clone(t.segments[2])}, s.write)
		}
	case name == "health" && t.count == 1:
		return "GET", func() { s.health(x) }
	case name == "metrics" && t.count == 1:
		return "GET", func() { s.scrape(&x.RequestCtx) }
	case name == "circuit-breaker" && t.count == 1:
		return "GET", func() { s.breakers(x) }
	case name == "debug" && t.count == 3 && string(t.segments[1]) == "pprof":
		return "GET", func() { s.profile(x, string(t.segments[2])) }
	}
	return "", nil
}

func (s *Server) noRoute(x *exchange, t target) {
	x.refuse(&service.Error{Code: service.CodeNotFound, Outcome: t.outcome(),
		Message: "no such route; there are POST /write/{key}/{value}, POST /write/{key}, GET /read/{key}, " +
			"GET /health, GET /metrics and GET /circuit-breaker"}, nil)
}
