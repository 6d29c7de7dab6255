package api

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"captop/service"
)

// Options say how a Server serves. Mode, Instance, Timeout, Logger and Now are required; what is nil is off.
type Options struct {
	Mode         service.Mode
	Instance     string
	Version      string        // of the build
	Timeout      time.Duration // bounds a whole request, its body included
	MaxStaleness time.Duration // as the store has it; only shown
	DrainDelay   time.Duration // how long /health says draining before the listener closes
	Logger       *slog.Logger
	Now          func() time.Time

	Sessions *Sessions // nil: no read-your-writes
	Tokens   *Tokens   // nil: everybody may do everything
	Limiter  *Limiter  // nil: no rate limit
	Proxies  Proxies   // whose X-Forwarded-For is believed
	Secure   bool      // the listener speaks TLS: cookies are for TLS only
}

// Server is the HTTP side of one instance. It is an http.Handler, safe for concurrent use.
type Server struct {
	store    service.Store
	options  Options
	started  time.Time
	draining atomic.Bool
	metrics  *metrics
	routes   *http.ServeMux
}

// New gives a Server of store. The store stays the caller's to close.
func New(store service.Store, options Options) *Server {
	s := &Server{store: store, options: options, started: options.Now(), routes: http.NewServeMux()}
	s.metrics = newMetrics(store, options, s.draining.Load)
	s.register("GET", "/health", s.health)
	s.register("GET", "/metrics", s.metrics.handler().ServeHTTP)
	s.register("GET", "/circuit-breaker", s.breakers)
	s.register("GET", "/debug/pprof/{profile}", s.profile)
	s.register("GET", "/read/{key}", s.operation(read, s.read))
	write := s.operation(write, s.write)
	s.register("POST", "/write/{key}", write)
	s.register("POST", "/write/{key}/{value}", write)
	s.routes.HandleFunc("/", s.noRoute)
	return s
}

// register routes one method of a pattern, and answers 405 to every other.
func (s *Server) register(method, pattern string, handler http.HandlerFunc) {
	s.routes.HandleFunc(method+" "+pattern, handler)
	s.routes.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", method)
		s.refuse(w, &service.Error{Code: service.CodeMethodNotAllowed, Outcome: outcomeOfPath(r.URL.Path),
			Message: r.Method + " does not work here; use " + method}, nil)
	})
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	beginRequest(r.Context())
	defer endRequest(r.Context())
	s.metrics.inFlight.Inc()
	defer s.metrics.inFlight.Dec()
	if r.ContentLength != 0 {
		// Also for a body that nobody here reads: net/http does, before it sends the answer. What has no deadlines is no
		// network connection.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.options.Timeout))
	}
	if err := checkPath(r.URL.EscapedPath()); err != nil {
		s.refuse(w, err, nil)
		return
	}
	s.routes.ServeHTTP(w, r)
}

// Drain makes /health answer 503 draining from now on.
func (s *Server) Drain() { s.draining.Store(true) }

func (s *Server) noRoute(w http.ResponseWriter, r *http.Request) {
	s.refuse(w, &service.Error{Code: service.CodeNotFound, Outcome: outcomeOfPath(r.URL.Path),
		Message: "no such route; there are POST /write/{key}/{value}, POST /write/{key}, GET /read/{key}, " +
			"GET /health, GET /metrics and GET /circuit-breaker"}, nil)
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	now := s.options.Now()
	body := HealthBody{
		Mode:           s.options.Mode,
		Instance:       s.options.Instance,
		Version:        s.options.Version,
		Time:           now,
		UptimeSeconds:  now.Sub(s.started).Seconds(),
		Draining:       s.draining.Load(),
		MaxStalenessMS: s.options.MaxStaleness.Milliseconds(),
	}
	states := s.store.Nodes()
	for _, state := range states {
		body.Nodes = append(body.Nodes, nodeBody(state))
	}
	body.Status, body.WritesRefused = summarise(states, body.Draining), writesRefused(states)
	status := http.StatusOK
	if body.Status == StatusUnavailable || body.Status == StatusDraining {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, body)
}

func summarise(states []service.NodeState, draining bool) Status {
	reachable, well := 0, 0
	for _, state := range states {
		if state.Reachable {
			reachable++
			if state.Breaker.State == service.BreakerClosed && !state.Rejoin.Active && state.ClockError == "" {
				well++
			}
		}
	}
	switch {
	case draining:
		return StatusDraining
	case reachable == 0:
		return StatusUnavailable
	case well < len(states):
		return StatusDegraded
	}
	return StatusOK
}

// writesRefused gives why no node that can be reached is written to; "" where one is, or where none can be reached.
func writesRefused(states []service.NodeState) (why string) {
	for _, state := range states {
		if state.Reachable && state.ClockError == "" {
			return ""
		}
		if state.Reachable {
			why = state.ClockError
		}
	}
	return why
}

func (s *Server) breakers(w http.ResponseWriter, _ *http.Request) {
	body := BreakersBody{Mode: s.options.Mode, Instance: s.options.Instance}
	for _, state := range s.store.Nodes() {
		body.Breakers = append(body.Breakers, BreakerBody{
			Node:      state.Name,
			State:     state.Breaker.State.String(),
			Since:     state.Breaker.Since,
			Failures:  state.Breaker.Failures,
			NextProbe: state.Breaker.NextProbe,
		})
	}
	writeJSON(w, http.StatusOK, body)
}

// refuse answers with an error body and gives the status. kept is for a read whose session wrote the key, else nil.
func (s *Server) refuse(w http.ResponseWriter, refusal *service.Error, kept *bool) int {
	status := statusOf(refusal.Code)
	body := s.errorBody(refusal)
	body.ReadYourWrites = kept
	writeJSON(w, status, body)
	return status
}

func (s *Server) errorBody(refusal *service.Error) ErrorBody {
	return ErrorBody{
		Error: ErrorDetail{Code: refusal.Code, Message: refusal.Message, Outcome: refusal.Outcome,
			Node: refusal.Node},
		Mode:     s.options.Mode,
		Instance: s.options.Instance,
	}
}

// Values of headers, shared by all answers: nobody changes one in place.
var isJSON, notStored, notGuessed = []string{"application/json"}, []string{"no-store"}, []string{"nosniff"}

func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil { // our own types: they always marshal
		panic(err)
	}
	header := w.Header()
	header["Content-Type"], header["Cache-Control"], header["X-Content-Type-Options"] = isJSON, notStored, notGuessed
	header["Content-Length"] = []string{strconv.Itoa(len(text) + 1)}
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client may be gone; the deed is done
}
