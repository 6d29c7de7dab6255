package api

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

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

// Server is the HTTP side of one instance.
type Server struct {
	store    service.Store
	options  Options
	started  time.Time
	draining atomic.Bool
	metrics  *metrics
	scrape   fasthttp.RequestHandler
	http     fasthttp.Logger // of what fasthttp has to say
}

// New gives a Server of store. The store stays the caller's to close.
func New(store service.Store, options Options) *Server {
	s := &Server{store: store, options: options, started: options.Now(),
		http: slog.NewLogLogger(options.Logger.Handler(), slog.LevelDebug)}
	s.metrics = newMetrics(store, options, s.draining.Load)
	s.scrape = s.metrics.handler()
	return s
}

// serve answers one request.
func (s *Server) serve(x *exchange) {
	s.metrics.inFlight.Inc()
	defer s.metrics.inFlight.Dec()
	s.route(x)
}

// Drain makes /health answer 503 draining from now on.
func (s *Server) Drain() { s.draining.Store(true) }

func (s *Server) health(x *exchange) {
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
	x.json(status, body)
}

func summarise(states []service.NodeState, draining bool) Status {
	reachable, well := 0, 0
	for _, state := range states {
		if state.Reachable {
			reachable++
			if state.Breaker.State == service.BreakerClosed && !state.Rejoin.Active && state.ClockError == "" && state.Refusal == "" {
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

func (s *Server) breakers(x *exchange) {
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
	x.json(http.StatusOK, body)
}

func (s *Server) errorBody(refusal *service.Error) ErrorBody {
	return ErrorBody{
		Error: ErrorDetail{Code: refusal.Code, Message: refusal.Message, Outcome: refusal.Outcome,
			Node: refusal.Node},
		Mode:     s.options.Mode,
		Instance: s.options.Instance,
	}
}
