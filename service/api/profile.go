package api

import (
	"context"
	"net/http"
	"net/http/pprof"
	runtimepprof "runtime/pprof"
	"strings"
	"time"

	"github.com/valyala/fasthttp/fasthttpadaptor"

	"captop/service"
)

// profile answers GET /debug/pprof/{profile}, as go tool pprof asks it: what the instance spends its time and memory on.
// Profiles hold keys and addresses of people in passing, and cost time to make: admins only, and nobody where there are
// no tokens.
func (s *Server) profile(x *exchange, name string) {
	caller := s.identify(x)
	if s.options.Tokens == nil {
		x.refuse(&service.Error{Code: service.CodeForbidden,
			Message: "profiles are for holders of an admin token; this instance has no tokens (TOKENS_FILE)"}, nil)
		return
	}
	if refusal := s.authorise(x, caller, RoleAdmin, "profile"); refusal != nil {
		x.refuse(refusal, nil)
		return
	}
	s.options.Logger.Info("PROFILE", LogClient, caller.name(), "profile", name)
	switch {
	case name == "profile":
		x.take(pprof.Profile)
	case name == "trace":
		x.take(pprof.Trace)
	case runtimepprof.Lookup(name) != nil:
		x.take(pprof.Handler(name).ServeHTTP)
	default:
		x.refuse(&service.Error{Code: service.CodeNotFound,
			Message: "no such profile; there are profile, trace, " + strings.Join(profileNames(), ", ")}, nil)
	}
}

// take makes a profile that lasts as long as its client stays: who asks for an hour and hangs up gets none of it.
func (x *exchange) take(profile http.HandlerFunc) {
	gone, leave := context.WithCancel(context.Background())
	defer leave()
	watched := make(chan struct{})
	_ = x.conn.SetReadDeadline(time.Time{})
	go func() {
		defer close(watched)
		if _, err := x.conn.in.Peek(1); err != nil { // else it is the next request
			leave()
		}
	}()
	fasthttpadaptor.NewFastHTTPHandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		profile(w, r.WithContext(gone))
	})(&x.RequestCtx)
	_ = x.conn.SetReadDeadline(time.Unix(1, 0))
	<-watched
}

func profileNames() (names []string) {
	for _, p := range runtimepprof.Profiles() {
		names = append(names, p.Name())
	}
	return names
}
