package api

import (
	"net/http"
	"net/http/pprof"
	runtimepprof "runtime/pprof"
	"strings"

	"captop/service"
)

// profile answers GET /debug/pprof/{profile}, as go tool pprof asks it: what the instance spends its time and memory on.
// Profiles hold keys and addresses of people in passing, and cost time to make: admins only, and nobody where there are
// no tokens.
func (s *Server) profile(w http.ResponseWriter, r *http.Request) {
	caller := s.identify(r)
	if s.options.Tokens == nil {
		s.refuse(w, &service.Error{Code: service.CodeForbidden,
			Message: "profiles are for holders of an admin token; this instance has no tokens (TOKENS_FILE)"}, nil)
		return
	}
	if refusal := s.authorise(w, caller, RoleAdmin, "profile"); refusal != nil {
		s.refuse(w, refusal, nil)
		return
	}
	name := r.PathValue("profile")
	s.options.Logger.Info("PROFILE", LogClient, caller.name(), "profile", name)
	switch {
	case name == "profile":
		pprof.Profile(w, r)
	case name == "trace":
		pprof.Trace(w, r)
	case runtimepprof.Lookup(name) != nil:
		pprof.Handler(name).ServeHTTP(w, r)
	default:
		s.refuse(w, &service.Error{Code: service.CodeNotFound,
			Message: "no such profile; there are profile, trace, " + strings.Join(profileNames(), ", ")}, nil)
	}
}

func profileNames() (names []string) {
	for _, p := range runtimepprof.Profiles() {
		names = append(names, p.Name())
	}
	return names
}
