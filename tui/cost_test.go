package tui

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"captop/probes"
	"captop/service"
	"captop/tui/paint"
	"captop/tui/theme"
)

// wire is a terminal line that counts.
type wire struct {
	mu    sync.Mutex
	sent  bytes.Buffer
	total int
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.total += len(p)
	return w.sent.Write(p)
}

// take gives what was sent since the last time.
func (w *wire) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := w.sent.String()
	w.sent.Reset()
	return text
}

func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.total
}

// ridden runs the real program on a wire, and gives it one snapshot and one tick of the clock for each second.
type ridden struct {
	t       *testing.T
	wire    *wire
	now     atomic.Int64
	program *tea.Program
}

func ride(t *testing.T, width, height int) *ridden {
	t.Helper()
	r := &ridden{t: t, wire: &wire{}}
	r.now.Store(noon.UnixNano())
	options := demoOptions()
	options.Now = func() time.Time { return time.Unix(0, r.now.Load()).UTC() }
	options.Getenv = env("TERM", "xterm-256color")
	ctx, cancel := context.WithCancel(t.Context())
	settings := append(paint.Settings(r.wire), tea.WithContext(ctx), tea.WithInput(nil), tea.WithoutSignalHandler())
	r.program = tea.NewProgram(paint.New(newModel(ctx, options, theme.New(theme.Dark, false, options.Getenv)), r.wire), settings...)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = r.program.Run()
	}()
	t.Cleanup(func() { cancel(); <-ended })
	r.program.Send(tea.WindowSizeMsg{Width: width, Height: height})
	return r
}

// second lets a second pass, and waits until the new time is on the wire.
func (r *ridden) second(snapshot *probes.Snapshot) string {
	r.t.Helper()
	now := time.Unix(0, r.now.Add(int64(time.Second))).UTC()
	r.program.Send(snapshotMsg{snapshot})
	r.program.Send(clockMsg(now))
	seen := ""
	eventually(r.t, func() error {
		seen += r.wire.take()
		if clock := now.Format("15:04:05"); !strings.Contains(seen, clock) {
			return fmt.Errorf("waiting for %s on the wire, which bears %q", clock, seen)
		}
		return nil
	})
	return seen
}

// placed is what begins a row on the wire.
var placed = regexp.MustCompile(`\x1b\[\d+H`)

func TestQuietSecondsWriteTheClockAlone(t *testing.T) {
	for _, size := range sizes {
		r := ride(t, size[0], size[1])
		quiet := func(second int) *probes.Snapshot { return still(noon.Add(time.Duration(second) * time.Second)) }
		r.second(quiet(1))
		r.second(quiet(2))
		for second := 3; second < 20; second++ {
			seen := r.second(quiet(second))
			for _, row := range placed.Split(seen, -1)[1:] {
				// The header bears the clock; a time axis moves on when its step has passed.
				if !strings.Contains(row, "UTC") && !strings.Contains(row, "└") {
					t.Fatalf("%v: second %d, in which nothing changed, wrote %q of %q", size, second, row, seen)
				}
			}
		}
	}
}

// TestBusySecondsStayUnderTheLineRate: every figure changes in every second, and the bytes stay under what the screen may cost.
func TestBusySecondsStayUnderTheLineRate(t *testing.T) {
	for size, most := range map[[2]int]int{{80, 24}: 4000, {120, 40}: 10_000, {200, 50}: 24_000} {
		r := ride(t, size[0], size[1])
		random := rand.New(rand.NewPCG(1, 2))
		r.second(busy(random, 1))
		before := r.wire.count()
		const seconds = 30
		for second := 2; second < 2+seconds; second++ {
			r.second(busy(random, second))
		}
		each := (r.wire.count() - before) / seconds
		t.Logf("%v: %d bytes a second", size, each)
		if each > most {
			t.Errorf("%v: %d bytes for each second in which everything changes; at most %d", size, each, most)
		}
	}
}

// still is a stack on which nothing happens, at a time: flat lines, times that are far enough away to be said in hours.
func still(at time.Time) *probes.Snapshot {
	began := noon.Add(-3 * time.Hour)
	s := healthy()
	flat := func(value float64) probes.Series {
		var out probes.Series
		for i := range 400 {
			out = append(out, probes.Point{At: at.Add(time.Duration(i-399) * time.Second), Value: value})
		}
		return out
	}
	by := at.Sub(noon)
	s = shifted(s, by)
	s.Started, s.Verdict.Since = began, began
	for i := range s.Events {
		s.Events[i].At = began
	}
	for i := range s.Services {
		v := &s.Services[i]
		v.Uptime.Value, v.LatencyHistory, v.RateHistory = 3*time.Hour, flat(3), flat(40)
		for j := range v.Links {
			v.Links[j].Breaker.Value.Since = began
		}
	}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		n.Info.Value.Uptime, n.Info.Value.Persistence.LastSave = 3*time.Hour, began
		n.StalenessHistory, n.OpsHistory = flat(3), flat(180)
	}
	return s
}

// busy is a stack on which everything changes from second to second.
func busy(random *rand.Rand, second int) *probes.Snapshot {
	at := noon.Add(time.Duration(second) * time.Second)
	s := shifted(g2Down(), at.Sub(noon))
	wild := func(around float64) probes.Series {
		steady := rand.New(rand.NewPCG(uint64(around), 5))
		var out probes.Series
		for i := range 400 + second {
			out = append(out, probes.Point{At: noon.Add(time.Duration(i-400) * time.Second), Value: around * (0.2 + 30*steady.Float64()*steady.Float64())})
		}
		return out
	}
	for i := range s.Services {
		v := &s.Services[i]
		v.Rate.Value, v.ErrorRatio.Value = 100*random.Float64(), random.Float64()
		ms := func(most float64) time.Duration {
			return time.Duration(most * random.Float64() * float64(time.Millisecond))
		}
		v.Latency.Value = probes.Latency{P50: ms(5), P95: ms(50), P99: ms(900)}
		v.LatencyHistory, v.RateHistory = wild(3+float64(i)), wild(40+float64(i))
		for j := range v.Links {
			v.Links[j].FailureRate.Value = 10 * random.Float64()
			v.Links[j].Breaker.Value.Since = at.Add(-time.Duration(random.IntN(50)) * time.Second)
			v.Links[j].Breaker.Value.State = service.BreakerState(random.IntN(3))
		}
	}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		n.Info = healthy().Nodes[0].Info
		n.Info.At = at
		n.Info.Value.OpsPerSecond, n.Info.Value.UsedMemory = 1000*random.Float64(), random.Int64N(1<<30)
		n.Info.Value.Clients, n.Info.Value.Keys = random.Int64N(900), random.Int64N(90_000)
		n.Staleness.Value.Value, n.QueueDepth.Value = time.Duration(random.Int64N(1e11)), random.Int64N(9000)
		n.StalenessHistory, n.OpsHistory = wild(20+float64(i)), wild(180+float64(i))
	}
	for i := range 5 {
		s.Events = append(s.Events, probes.Event{At: at, Severity: probes.Severity(random.IntN(4)), Kind: "breaker",
			Text: fmt.Sprintf("app_ap's breaker before db_g2 changed its state for the %d. time", second*5+i)})
	}
	return s
}
