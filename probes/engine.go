package probes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"captop/service"
)

// maxTimeout bounds an attempt, however rare the polls are.
const maxTimeout = 5 * time.Second

// Attempts begin spreadEach after one another, within a third of a poll; the first few at once.
const (
	spreadEach = time.Millisecond
	spreadFrom = 20 * time.Millisecond
)

// errPanicked: a probe has a defect. It says nothing about the target.
var errPanicked = errors.New("the probe panicked: this is a defect of captop")

// Config says what to watch and how often.
type Config struct {
	Targets Targets
	Poll    time.Duration    // 0 means a second
	Now     func() time.Time // nil means time.Now
	Started time.Time        // when watching began; zero means when New is called

	Rules     []byte // the text of a file of alerting rules; empty has none
	RulesFile string // its name; "" is captop's own
	// RulesChanged gives the file's text anew once it has changed, or why it cannot be read. It is asked at each poll. nil
	// where it never changes.
	RulesChanged func() (text []byte, changed bool, err error)

	// Discover gives the instances that there are, in place of those of Targets, and whether that has changed since it was
	// asked last. It is asked at each poll, and must not block. nil where Targets name all.
	Discover func() (services []ServiceTarget, changed bool, err error)

	// AcksChanged is the same for the file of acknowledgements, a JSON list of Ack. nil offers none.
	AcksChanged func() (text []byte, changed bool, err error)

	// Collect gives all Inputs of a poll but those of nodes, in place of scrapes of captop's own: it sees through the
	// Prometheus of this name. nil scrapes.
	Collect    func(ctx context.Context) []Input
	Prometheus string

	// Record is handed each poll's Inputs in the order in which they were applied, with the time of their Snapshot. It
	// must not block, and may keep the slice. nil records nothing.
	Record func(at time.Time, inputs []Input) Recording
}

// job is one part of one target with the probe that asks for it.
type job struct {
	target string
	part   Part
	redis  bool
	ask    ask
}

// Engine polls targets and concludes. Use one of Watch and Once, once.
type Engine struct {
	config  Config
	timeout time.Duration
	client  *http.Client
	targets []ServiceTarget
	serving []job // of targets
	jobs    []job // of nodes
	state   *State
	closers []io.Closer

	asking  map[string]bool // jobs whose answers have not been taken in
	answers chan answers
	running sync.WaitGroup
	chosen  atomic.Pointer[map[service.Mode]ServiceTarget] // that are best asked

	rulesTold       string    // why the file of rules could not be read, as told last
	acksTold        string    // why the acknowledgements could not be read, as told last
	targetsTold     string    // why instances could not be looked up, as told last
	recording, told Recording // what the recorder said last, and what of it is an Input already
}

// New prepares to watch. It contacts nobody; its errors are URLs that cannot be used, without
// their passwords, and a *alerts.FileError where the rules cannot.
func New(config Config) (*Engine, error) {
	if config.Poll <= 0 {
		config.Poll = time.Second
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	// An attempt ends before the next begins, so that a target that hangs is shown hung within two polls.
	e := &Engine{config: config, timeout: min(config.Poll*9/10, maxTimeout), asking: map[string]bool{}, answers: make(chan answers)}
	transport := newTransport()
	e.client = &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	e.closers = append(e.closers, closer(transport.CloseIdleConnections))
	e.watchServices(config.Targets.Services)
	e.choose(nil)
	if address := config.Targets.Alertmanager; address != "" {
		e.jobs = append(e.jobs, job{target: alertmanager, part: PartHeld, ask: askAlertmanager(e.client, address)})
	}
	for _, target := range config.Targets.Nodes {
		if target.URL == "" {
			continue // seen through the services only
		}
		redis, err := OpenRedis(target, e.timeout)
		if err != nil {
			return nil, errors.Join(err, e.Close())
		}
		e.closers = append(e.closers, redis)
		e.jobs = append(e.jobs, job{target: target.Name, part: PartInfo, redis: true, ask: askInfo(redis)})
	}
	if config.Started.IsZero() {
		config.Started = e.now()
	}
	state, err := NewState(Setup{Targets: config.Targets, Poll: config.Poll, Started: config.Started, Rules: config.Rules, RulesFile: config.RulesFile,
		Prometheus: config.Prometheus})
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	e.state = state
	return e, nil
}

// watchServices sets what is asked of services from now on.
func (e *Engine) watchServices(services []ServiceTarget) {
	e.targets, e.serving = services, nil
	for _, target := range services {
		add := func(part Part, path string) {
			e.serving = append(e.serving, job{target: target.Name, part: part, ask: askHTTP(e.client, target.URL, path, target.Token)})
		}
		add(PartHealth, "/health")
		add(PartBreakers, "/circuit-breaker")
		add(PartMetrics, "/metrics")
	}
}

type closer func()

func (c closer) Close() error { c(); return nil }

// Close ends the connections. Call it after the channel of Watch is closed, or after Once.
func (e *Engine) Close() error {
	var all error
	for _, c := range e.closers {
		all = errors.Join(all, c.Close())
	}
	return all
}

// Watch polls until ctx ends, and then closes the channel. A reader that is slow gets the newest Snapshot and misses
// those in between.
func (e *Engine) Watch(ctx context.Context) <-chan *Snapshot {
	out := make(chan *Snapshot, 1)
	go func() {
		defer close(out)
		defer e.running.Wait()
		patience := e.config.Poll / 2
		if e.config.Collect != nil {
			patience = e.timeout // a Prometheus is all that is asked
		}
		ticker := time.NewTicker(e.config.Poll)
		defer ticker.Stop()
		for {
			snap := e.cycle(ctx, patience)
			if ctx.Err() != nil {
				return
			}
			select {
			case <-out:
			default:
			}
			out <- snap
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// Once polls twice, one poll apart, since rates need two looks; where the source of everything does not answer, a second
// one brings nothing. The error is the context's.
func (e *Engine) Once(ctx context.Context) (*Snapshot, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer func() { cancel(); e.running.Wait() }()
	snap := e.cycle(ctx, 2*e.timeout)
	if e.config.Collect == nil || snap.Source.Reach.Contact == Up {
		select {
		case <-time.After(e.config.Poll):
		case <-ctx.Done():
		}
		snap = e.cycle(ctx, 2*e.timeout)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("looking at the stack: %w", err)
	}
	return snap, nil
}

// answers are what one job brought.
type answers struct {
	of     string
	inputs []Input
}

// cycle asks everything at once, takes the answers in as they come, and concludes: once all are there, or when patience
// ends, so that one target that hangs does not keep the others from being seen. What comes later is of the next poll.
func (e *Engine) cycle(ctx context.Context, patience time.Duration) *Snapshot {
	var poll []Input
	take := func(in Input) {
		poll = append(poll, in)
		e.state.Apply(in)
	}
	for _, own := range []func() (Input, bool){e.recorderInput, e.rulesInput, e.targetsInput, e.acksInput} {
		if in, news := own(); news {
			take(in)
		}
	}
	e.late(take)
	e.askAll(ctx)
	e.gather(ctx, patience, take)
	at := e.now()
	if ctx.Err() == nil {
		e.recorded(at, poll)
	}
	snap := e.state.Snapshot(at)
	e.choose(snap)
	return snap
}

// askAll begins an attempt for all that is not being asked still.
func (e *Engine) askAll(ctx context.Context) {
	jobs := slices.Concat(e.jobs, e.serving)
	spread := min(time.Duration(len(jobs))*spreadEach, e.config.Poll/3)
	for i, j := range jobs {
		e.begin(ctx, j.target+" "+string(j.part), func() []Input {
			// Many at once would keep the processor from everything else, the screen above all.
			if wait := spread * time.Duration(i) / time.Duration(len(jobs)); wait > spreadFrom {
				time.Sleep(wait)
			}
			return []Input{e.attempt(ctx, j, e.timeout-spread)}
		})
	}
	if e.config.Collect != nil {
		e.begin(ctx, e.config.Prometheus, func() []Input {
			ctx, cancel := context.WithTimeout(ctx, e.timeout)
			defer cancel()
			return e.config.Collect(ctx)
		})
	}
}

func (e *Engine) begin(ctx context.Context, of string, ask func() []Input) {
	if e.asking[of] {
		return
	}
	e.asking[of] = true
	e.running.Go(func() {
		select {
		case e.answers <- answers{of, ask()}:
		case <-ctx.Done():
		}
	})
}

// late takes in what came too late for the last poll.
func (e *Engine) late(take func(Input)) {
	for {
		select {
		case got := <-e.answers:
			e.took(got, take)
		default:
			return
		}
	}
}

func (e *Engine) took(got answers, take func(Input)) {
	delete(e.asking, got.of)
	for _, in := range got.inputs {
		take(in)
	}
}

// gather takes answers in until all are there, until patience ends, or ctx.
func (e *Engine) gather(ctx context.Context, patience time.Duration, take func(Input)) {
	end := time.NewTimer(patience)
	defer end.Stop()
	for len(e.asking) > 0 {
		select {
		case got := <-e.answers:
			e.took(got, take)
		case <-end.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// now is the time without its monotonic part, which no recording keeps: a replay must reckon with the same times.
func (e *Engine) now() time.Time { return e.config.Now().Round(0) }

// attempt runs one probe with its timeout. A panic is recorded as captop's own blindness.
func (e *Engine) attempt(ctx context.Context, j job, timeout time.Duration) (in Input) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began := e.config.Now()
	in = Input{Target: j.target, Part: j.part}
	defer func() {
		if cause := recover(); cause != nil {
			in.At, in.Fault, in.Error = e.now(), Blind, fmt.Sprintf("%v: %v", errPanicked, cause)
		}
	}()
	got, err := j.ask(ctx)
	ended := e.config.Now()
	in.At, in.Took = ended.Round(0), ended.Sub(began)
	in.Status, in.Body = got.status, got.body
	if j.redis {
		in.Fault = classifyRedis(err, in.Took, timeout)
	} else {
		in.Fault = classify(err, in.Took, timeout)
	}
	if err != nil {
		in.Error = err.Error()
	}
	return in
}
