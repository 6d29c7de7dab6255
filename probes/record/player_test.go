package record

import (
	"context"
	"errors"
	"testing"
	"time"

	"captop/probes"
)

// live gives what a dashboard shows of polls.
func live(t *testing.T, h Header, polls []Poll) (snapshots []*probes.Snapshot) {
	state, err := probes.NewState(h.setup())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range polls {
		for _, in := range p.Inputs {
			state.Apply(in)
		}
		snapshot := *state.Snapshot(p.At)
		snapshots = append(snapshots, &snapshot)
	}
	return snapshots
}

// sameSnapshot compares all but the Source.
func sameSnapshot(t *testing.T, got, want *probes.Snapshot) {
	t.Helper()
	if got == nil || got.Source.Kind != probes.SourceRecording {
		t.Fatalf("got %+v", got)
	}
	plain := *got
	plain.Source = want.Source
	if text(t, plain) != text(t, want) {
		t.Fatalf("replayed\n%s\nlive\n%s", text(t, plain), text(t, want))
	}
}

// TestReplay: a recording gives the Snapshots that the dashboard had.
func TestReplay(t *testing.T) {
	dir := t.TempDir()
	polls := seconds(2, 0, 100)
	record(t, dir, Limits{MaxBytes: 32 * 30 << 10, MaxAge: time.Hour}, header(2), polls...)
	player, err := open(t, dir).Play(time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer player.Close()
	events := 0
	for _, want := range live(t, header(2), polls) {
		got, err := player.Next()
		if err != nil {
			t.Fatal(err)
		}
		sameSnapshot(t, got, want)
		events = len(got.Events)
	}
	if _, err := player.Next(); !ended(err) || events == 0 {
		t.Errorf("at the end %v, after %d events", err, events)
	}
}

// TestHistory steps through a recording that grows.
func TestHistory(t *testing.T) {
	dir := t.TempDir()
	polls := seconds(1, 0, 900)
	want := live(t, header(1), polls)
	w := NewWriter(dir, DefaultLimits, header(1))
	defer w.Close()
	history := NewHistory(dir, w.Run(), nil)
	if _, err := history.At(t.Context(), epoch); !errors.Is(err, ErrTooEarly) {
		t.Fatalf("before the first poll: %v", err)
	}
	written := func(n int) {
		t.Helper()
		for limit := time.Now().Add(deadline); ; time.Sleep(time.Millisecond) {
			if _, to, err := history.Bounds(); err == nil && to.Equal(polls[n-1].At) {
				return
			}
			if time.Now().After(limit) {
				t.Fatal("the polls were not written")
			}
		}
	}
	at := func(second int, off time.Duration) {
		t.Helper()
		got, err := history.At(t.Context(), polls[second].At.Add(off))
		if err != nil {
			t.Fatal(err)
		}
		sameSnapshot(t, got, want[second])
	}
	for _, p := range polls[:600] {
		put(t, w, p)
	}
	written(600)
	for second := 599; second >= 0; second -= 10 {
		at(second, 0)
	}
	at(0, 999*time.Millisecond)
	at(300, 1)
	at(599, time.Minute) // the last one before it
	for _, p := range polls[600:] {
		put(t, w, p)
	}
	written(900)
	at(599, 0)
	at(650, 0)
	at(899, time.Hour)
	at(640, 0)
	if _, err := history.At(t.Context(), epoch.Add(-1)); !errors.Is(err, ErrTooEarly) {
		t.Errorf("before the beginning: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := history.At(ended, epoch.Add(10*time.Second)); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	at(10, 0)
	if len(history.window) > mostKept {
		t.Errorf("%d Snapshots are kept", len(history.window))
	}
}

// TestHistoryWarmsUp: no more than the warm-up and the window are replayed for a look back.
func TestHistoryWarmsUp(t *testing.T) {
	dir := t.TempDir()
	polls := seconds(1, 0, 900)
	record(t, dir, DefaultLimits, header(1), polls...)
	history := NewHistory(dir, "", nil)
	history.warmup = time.Minute
	got, err := history.At(t.Context(), polls[700].At)
	if err != nil {
		t.Fatal(err)
	}
	points := got.Services[0].RateHistory
	if first := points[0].At; !first.Equal(polls[700-300-60].At) || len(points) != 361 {
		t.Errorf("replayed from %s on, %d points", first, len(points))
	}
	if n := len(history.window); n != 302 {
		t.Errorf("%d Snapshots are kept, want those of five minutes and one beyond", n)
	}
}
