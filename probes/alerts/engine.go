package alerts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// ErrKeep: an engine was asked to keep samples for less time than PromQL looks back for a single value.
var ErrKeep = errors.New("samples have to be kept for 5 minutes at least")

// Options say how an Engine works. The zero value is usable.
type Options struct {
	Keep time.Duration // how long samples are kept; 15 minutes by default, 5 minutes at least
	Step time.Duration // of a subquery that names none; a minute by default, as in Prometheus
}

// Engine keeps samples and evaluates rules over them. All times come from its callers, so the same calls give the same
// answers. Its methods may be called from several goroutines; queries run while samples are added.
type Engine struct {
	store  *store
	promql *promql.Engine
	url    *url.URL // what templates call the external URL: there is none

	mu       sync.Mutex // one of Ingest, Lost, Forget, Set, End, Evaluate and Swap at a time
	groups   []*group
	orphans  map[labels.Labels]struct{} // series of rules that are no more, to be ended
	targets  map[labels.Labels]*target
	newest   time.Time // of all times that callers gave
	symbols  *labels.SymbolTable
	page     []byte    // of the last Ingest, to be used again
	readings []reading // likewise

	shown atomic.Pointer[[]Rule]
}

// group is a group of rules that are evaluated in order.
type group struct {
	groupRules
	rules []rule
	next  time.Time // when it is due
	last  time.Time // when it was evaluated
}

// rule is an alerting or a recording rule.
type rule interface {
	text() *ruleText
	// evaluate finds what the rule says at a time, and which series it writes. An error leaves its state as it was.
	evaluate(e *Engine, g *group, at time.Time) ([]promql.Sample, []Edge, error)
	// written are the series that the last evaluation wrote.
	written() map[labels.Labels]struct{}
	wrote(map[labels.Labels]struct{})
}

// New makes an engine. Rules that look further back than samples are kept are refused with a *FileError.
func New(rules *Rules, o Options) (*Engine, error) {
	o.Keep, o.Step = cmp.Or(o.Keep, 15*time.Minute), cmp.Or(o.Step, time.Minute)
	if o.Keep < lookback {
		return nil, fmt.Errorf("keeping samples for %s: %w", span(o.Keep), ErrKeep)
	}
	e := &Engine{
		store: newStore(o.Keep), url: &url.URL{}, orphans: map[labels.Labels]struct{}{},
		targets: map[labels.Labels]*target{}, symbols: labels.NewSymbolTable(),
		promql: promql.NewEngine(promql.EngineOpts{
			Logger: slog.New(slog.DiscardHandler), MaxSamples: 50_000_000, Timeout: 10 * time.Second,
			LookbackDelta: lookback, EnableAtModifier: true, EnableNegativeOffset: true, Parser: promQL,
			NoStepSubqueryIntervalFn: func(int64) int64 { return o.Step.Milliseconds() },
		}),
	}
	return e, e.Swap(rules)
}

// Swap puts other rules in the place of those that the engine has. A rule with the same group, name and labels keeps its
// alerts, as in Prometheus. Where the rules are refused, with a *FileError, those that the engine has stay.
func (e *Engine) Swap(rules *Rules) error {
	if err := rules.fits(e.store.keep); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.groups
	e.groups = nil
	for _, read := range rules.groups {
		made := &group{groupRules: read}
		for i := range read.rules {
			if text := &read.rules[i]; text.record {
				made.rules = append(made.rules, &recordingRule{ruleText: text})
			} else {
				made.rules = append(made.rules, newAlertingRule(text))
			}
		}
		e.groups = append(e.groups, made)
	}
	for _, before := range old {
		e.inherit(before)
	}
	e.store.readAgain(rules.ranges())
	e.show()
	return nil
}

// inherit hands the state of a group on to the one that takes its place.
func (e *Engine) inherit(before *group) {
	var after *group
	for _, g := range e.groups {
		if g.name == before.name {
			after = g
		}
	}
	taken := map[rule]bool{}
	for _, from := range before.rules {
		to := heir(after, from, taken)
		if to == nil {
			for series := range from.written() {
				e.orphans[series] = struct{}{}
			}
			continue
		}
		taken[to] = true
		to.wrote(from.written())
		if to, ok := to.(*alertingRule); ok {
			to.inherit(from.(*alertingRule))
		}
	}
	if after != nil {
		after.last = before.last
		if after.interval == before.interval {
			after.next = before.next
		}
	}
}

// heir finds the rule of a group that is the same as one before.
func heir(in *group, of rule, taken map[rule]bool) rule {
	if in == nil {
		return nil
	}
	was := of.text()
	for _, r := range in.rules {
		is := r.text()
		if !taken[r] && is.record == was.record && is.name == was.name && labels.Equal(is.labels, was.labels) {
			return r
		}
	}
	return nil
}

// Evaluate evaluates every group that is due by its interval, those without one at every call, and gives the changes of
// alerts in the order of the rules.
func (e *Engine) Evaluate(at time.Time) []Edge {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.notice(at)
	e.store.sweep(at.UnixMilli())
	var edges []Edge
	for _, g := range e.groups {
		if g.due(at) {
			edges = append(edges, e.evaluate(g, at)...)
		}
	}
	e.write(nil, e.orphans, nil, at)
	clear(e.orphans)
	e.show()
	return edges
}

// due says whether a group's time has come, and when it comes again. A clock that was set back does not keep it waiting.
func (g *group) due(at time.Time) bool {
	if g.interval > 0 && at.Before(g.next) && !at.Before(g.last) {
		return false
	}
	g.last = at
	if g.interval > 0 {
		if g.next.IsZero() || at.Before(g.next) {
			g.next = at
		}
		g.next = g.next.Add((at.Sub(g.next)/g.interval + 1) * g.interval)
	}
	return true
}

func (e *Engine) evaluate(g *group, at time.Time) []Edge {
	var edges []Edge
	for _, r := range g.rules {
		samples, changed, err := r.evaluate(e, g, at)
		edges = append(edges, changed...)
		if err == nil {
			now := make(map[labels.Labels]struct{}, len(samples))
			e.write(samples, r.written(), now, at.Add(-g.offset))
			r.wrote(now)
		}
		runtime.Gosched() // many targets make a rule take milliseconds; a key that was pressed should not wait for all of them
	}
	return edges
}

// write appends what a rule found, notes the series in now, and ends those that it found before and does not any more.
func (e *Engine) write(samples []promql.Sample, before, now map[labels.Labels]struct{}, at time.Time) {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	for _, s := range samples {
		e.store.series(s.Metric).add(at.UnixMilli(), s.F)
		now[s.Metric] = struct{}{}
	}
	for of := range before {
		if _, still := now[of]; still {
			continue
		}
		if x, ok := e.store.all[of]; ok {
			x.add(at.UnixMilli(), staleMarker)
		}
	}
}

// Rules gives every alerting rule as the last evaluation left it: firing first, then pending, then as in the file.
// What it gives is not changed any more.
func (e *Engine) Rules() []Rule { return *e.shown.Load() }

func (e *Engine) show() {
	shown, broken := []Rule{}, e.broken()
	for _, g := range e.groups {
		for _, r := range g.rules {
			alerting, ok := r.(*alertingRule)
			if !ok {
				continue
			}
			rule := alerting.show(g)
			for _, name := range alerting.names {
				if err := broken[name]; err != nil && rule.Error == "" {
					rule.Error = fmt.Sprintf("it reads %s, and that recording rule fails: %v", name, err)
				}
			}
			shown = append(shown, rule)
		}
	}
	slices.SortStableFunc(shown, func(a, b Rule) int { return cmp.Compare(b.State, a.State) })
	e.shown.Store(&shown)
}

// broken are the errors of recording rules, by the series that they should write.
func (e *Engine) broken() map[string]error {
	errs := map[string]error{}
	for _, g := range e.groups {
		for _, r := range g.rules {
			if recording, ok := r.(*recordingRule); ok && recording.err != nil {
				errs[recording.name] = recording.err
			}
		}
	}
	return errs
}

// vector evaluates an expression at a time.
func (e *Engine) vector(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
	query, err := e.promql.NewInstantQuery(ctx, e.store, nil, expr, at)
	if err != nil {
		return nil, err
	}
	defer query.Close()
	result := query.Exec(ctx)
	if result.Err != nil {
		return nil, result.Err
	}
	switch found := result.Value.(type) {
	case promql.Vector:
		return found, nil
	case promql.Scalar:
		return promql.Vector{{T: found.T, F: found.V}}, nil
	}
	return nil, fmt.Errorf("it gives a %s, not one value for each series", parser.DocumentedType(result.Value.Type()))
}

// Query evaluates a PromQL expression at a time, for the newest samples that are there. A scalar is one sample without
// labels. A comparison gives the samples for which it holds, so none means no, as in Prometheus.
func (e *Engine) Query(ctx context.Context, expr string, at time.Time) ([]Sample, error) {
	found, err := e.vector(ctx, expr, at)
	if err != nil {
		return nil, fmt.Errorf("evaluating %q: %w", expr, err)
	}
	samples := make([]Sample, 0, len(found))
	for _, s := range found {
		samples = append(samples, Sample{Labels: s.Metric.Map(), Value: s.F, At: at})
	}
	return samples, nil
}
