package probes

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"time"

	"captop/probes/alerts"
	"captop/service"
	"captop/service/api"
)

// skewTolerance: a difference between two clocks below it is taken for the network's delay.
const skewTolerance = 2 * time.Second

// errHealth: a health body has a status or a mode that no capd gives.
var errHealth = errors.New("this is not a health body of capd")

// serviceState is one service over time.
type serviceState struct {
	view      Service
	alerts    *alerts.Engine
	labels    map[string]string // of its series
	reader    *reader
	scrape    Reading[scrape]
	increases []increase
	breakers  map[string]service.BreakerState
	skew      time.Duration
	latency   history
	rate      history
	sum       increase // of the window that ends at the last scrape
}

func newServiceState(target ServiceTarget, engine *alerts.Engine) *serviceState {
	s := &serviceState{alerts: engine, labels: map[string]string{"job": "app_" + string(target.Mode), "instance": host(target.URL)},
		reader: newReader(), breakers: map[string]service.BreakerState{}}
	maps.Copy(s.labels, target.Labels)
	s.view = Service{Name: target.Name, Mode: target.Mode, URL: bare(target.URL), Labels: target.Labels, Window: rateWindow,
		Links: []Link{{Node: service.G1}, {Node: service.G2}}}
	return s
}

func (s *serviceState) apply(in Input, note func(Event)) {
	contact, problem := in.Fault, in.Error
	if contact == Up {
		if err := s.read(in, note); errors.Is(err, errDenied) {
			contact, problem = Denied, err.Error()
		} else if err != nil {
			contact, problem = Nonsense, err.Error()
		}
	}
	switch in.Part {
	case PartHealth:
		reached(&s.view.Reach, s.view.Name, contact, in, problem, note)
		if contact != Up {
			s.view.Status, s.view.WritesRefused = "", ""
		}
	case PartBreakers:
		s.view.BreakersError = problem
	case PartMetrics:
		s.view.MetricsError = problem
		if in.Status != http.StatusOK || in.Fault != Up {
			s.alerts.Lost(s.labels, in.At)
		}
	}
}

// errDenied: the service wants another token.
var errDenied = errors.New("the token is refused")

// read takes an answer in; an error says that it is not what the part should be.
func (s *serviceState) read(in Input, note func(Event)) error {
	switch {
	case in.Status == http.StatusUnauthorized || in.Status == http.StatusForbidden:
		return fmt.Errorf("%w (HTTP %d)", errDenied, in.Status)
	case in.Status == http.StatusOK, in.Part == PartHealth && in.Status == http.StatusServiceUnavailable:
	default:
		return fmt.Errorf("it answered /%s with HTTP %d", in.Part, in.Status)
	}
	switch in.Part {
	case PartHealth:
		return s.readHealth(in)
	case PartBreakers:
		return s.readBreakers(in, note)
	case PartMetrics:
		return s.readMetrics(in)
	}
	return nil
}

func (s *serviceState) readHealth(in Input) error {
	var body api.HealthBody
	if err := json.Unmarshal([]byte(in.Body), &body); err != nil {
		return fmt.Errorf("%w: %w", errHealth, err)
	}
	switch {
	case body.Status != api.StatusOK && body.Status != api.StatusDegraded && body.Status != api.StatusUnavailable &&
		body.Status != api.StatusDraining:
		return fmt.Errorf("%w: its status is %q", errHealth, body.Status)
	case body.Mode != service.ModeCP && body.Mode != service.ModeAP:
		return fmt.Errorf("%w: its mode is %q", errHealth, body.Mode)
	case len(body.Nodes) == 0:
		return fmt.Errorf("%w: it names no nodes", errHealth)
	}
	s.skew = 0
	if !body.Time.IsZero() {
		skew := body.Time.Sub(in.At.Add(-in.Took / 2))
		s.view.ClockSkew = Read(skew, in.At)
		if skew.Abs() > skewTolerance {
			s.skew = skew.Round(time.Second)
		}
	}
	s.view.HealthAt, s.view.Mode, s.view.Status = in.At, body.Mode, string(body.Status)
	s.view.Draining, s.view.Instance, s.view.Version = body.Draining, body.Instance, body.Version
	s.view.WritesRefused = body.WritesRefused
	s.view.Uptime = Read(seconds(body.UptimeSeconds), in.At)
	s.view.Limit = Read(time.Duration(body.MaxStalenessMS)*time.Millisecond, in.At)
	links := append([]Link(nil), s.view.Links...)
	for _, node := range body.Nodes {
		for i := range links {
			if links[i].Node == node.Name {
				links[i].Seen = Read(s.nodeView(node), in.At)
			}
		}
	}
	s.view.Links = links
	return nil
}

// nodeView reads a node's line, with its times moved to captop's clock.
func (s *serviceState) nodeView(node api.NodeBody) NodeView {
	return NodeView{Reachable: node.Reachable, Since: s.ours(node.Since), Error: node.Error, Refusal: node.Refusal, RunID: node.RunID,
		Rejoin: service.Rejoin{Active: node.Rejoin.Active, Since: s.ours(node.Rejoin.Since), Done: node.Rejoin.Done,
			Total: node.Rejoin.Total, Waiting: node.Rejoin.Waiting},
		Staleness: time.Duration(node.StalenessMS) * time.Millisecond, QueueDepth: node.QueueDepth}
}

func (s *serviceState) ours(theirs time.Time) time.Time {
	if theirs.IsZero() {
		return theirs
	}
	return theirs.Add(-s.skew)
}

func (s *serviceState) readBreakers(in Input, note func(Event)) error {
	var body api.BreakersBody
	if err := json.Unmarshal([]byte(in.Body), &body); err != nil {
		return fmt.Errorf("reading /circuit-breaker: %w", err)
	}
	links := append([]Link(nil), s.view.Links...)
	for _, breaker := range body.Breakers {
		state, err := parseBreaker(breaker.State)
		if err != nil {
			return err
		}
		for i := range links {
			if links[i].Node == breaker.Node {
				links[i].Breaker = Read(service.Breaker{Node: breaker.Node, State: state, Since: s.ours(breaker.Since),
					Failures: breaker.Failures, NextProbe: s.ours(breaker.NextProbe)}, in.At)
			}
		}
		s.noteBreaker(breaker.Node, state, in.At, note)
	}
	if len(body.Breakers) == 0 {
		return errors.New("/circuit-breaker names no breakers; is it capd?")
	}
	s.view.Links, s.view.BreakersAt = links, in.At
	return nil
}

func parseBreaker(text string) (service.BreakerState, error) {
	for _, state := range []service.BreakerState{service.BreakerClosed, service.BreakerHalfOpen, service.BreakerOpen} {
		if state.String() == text {
			return state, nil
		}
	}
	return 0, fmt.Errorf("/circuit-breaker has a state %q; CLOSED, HALF_OPEN and OPEN are known", text)
}

func (s *serviceState) noteBreaker(node string, state service.BreakerState, at time.Time, note func(Event)) {
	before, known := s.breakers[node]
	s.breakers[node] = state
	// HALF_OPEN and OPEN take turns for as long as a node is away: one event is enough for that.
	if closed := state == service.BreakerClosed; known && (before == service.BreakerClosed) == closed || !known && closed {
		return
	}
	severity := Warning
	if state == service.BreakerClosed {
		severity = OK
	}
	note(Event{At: at, Severity: severity, Kind: "breaker", Target: s.view.Name,
		Text: fmt.Sprintf("%s's breaker before %s is %s", s.view.Name, node, state)})
}

func (s *serviceState) readMetrics(in Input) error {
	s.reader.begin(in.At)
	if err := s.alerts.Ingest(s.labels, in.Body, in.At, s.reader.visit); err != nil {
		return err
	}
	page, err := s.reader.end()
	if err != nil {
		return err
	}
	before := s.scrape
	s.scrape, s.view.MetricsAt = Read(page, in.At), in.At
	if !before.Known || !page.at.After(before.At) {
		return nil
	}
	since := page.since(before.Value)
	if since.errors > 0 {
		s.view.FailedAt = in.At
	}
	s.increases = keep(s.increases, since, int(rateWindow/time.Second)*4)
	s.rates(in.At)
	return nil
}

// rates sums the increases of the window up.
func (s *serviceState) rates(at time.Time) {
	var sum increase
	sum.failures = map[string]float64{}
	sum.from = at
	for _, in := range last(s.increases, int(rateWindow/time.Second)*4) {
		if in.from.Before(at.Add(-rateWindow - rateWindow/20)) {
			continue
		}
		sum.add(in)
	}
	if sum.from.Equal(at) { // one poll is longer than the window
		sum.add(s.increases[len(s.increases)-1])
	}
	s.sum = sum
	span := at.Sub(sum.from).Seconds()
	s.view.Rate = Read(sum.requests/span, at)
	s.view.ErrorRatio, s.view.Latency = Reading[float64]{}, Reading[Latency]{}
	if sum.requests > 0 {
		s.view.ErrorRatio = Read(sum.errors/sum.requests, at)
	}
	if latency, known := sum.latency(); known {
		s.view.Latency = Read(latency, at)
	}
	links := append([]Link(nil), s.view.Links...)
	for i := range links {
		links[i].FailureRate = Read(sum.failures[links[i].Node]/span, at)
	}
	s.view.Links = links
}

// latency estimates the quantiles of what was counted.
func (in increase) latency() (Latency, bool) {
	p50, known := quantile(0.50, in.bounds, in.buckets)
	p95, _ := quantile(0.95, in.bounds, in.buckets)
	p99, _ := quantile(0.99, in.bounds, in.buckets)
	return Latency{P50: p50, P95: p95, P99: p99}, known
}

// add sums up; buckets only where the bounds are the same.
func (in *increase) add(more increase) {
	in.to = later(in.to, more.to)
	if more.from.Before(in.from) {
		in.from = more.from
	}
	in.requests += more.requests
	in.errors += more.errors
	for node, count := range more.failures {
		in.failures[node] += count
	}
	if len(in.buckets) != len(more.buckets) {
		in.bounds, in.buckets = more.bounds, append([]float64(nil), more.buckets...)
		return
	}
	for i, count := range more.buckets {
		in.buckets[i] += count
	}
}

func (s *serviceState) snapshot(now time.Time, poll time.Duration) Service {
	p99, rate := math.NaN(), math.NaN()
	if s.view.Latency.Freshness(now, poll) == Fresh {
		p99 = float64(s.view.Latency.Value.P99) / float64(time.Millisecond)
	}
	if s.view.Rate.Freshness(now, poll) == Fresh {
		rate = s.view.Rate.Value
	}
	s.latency.add(now, p99)
	s.rate.add(now, rate)
	view := s.view
	view.LatencyHistory, view.LatencyHour = s.latency.minutes(), s.latency.hour()
	view.RateHistory, view.RateHour = s.rate.minutes(), s.rate.hour()
	return view
}
