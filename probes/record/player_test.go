package record

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"captop/probes"
	"captop/probes/alerts"
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
	if _, err := history.At(t.Context(), epoch, 0); !errors.Is(err, ErrTooEarly) {
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
		got, err := history.At(t.Context(), polls[second].At.Add(off), 0)
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
	if _, err := history.At(t.Context(), epoch.Add(-1), 0); !errors.Is(err, ErrTooEarly) {
		t.Errorf("before the beginning: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := history.At(ended, epoch.Add(10*time.Second), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	at(10, 0)
	if len(history.window) > 2*mostKept {
		t.Errorf("%d Snapshots are kept", len(history.window))
	}
}

// TestHistoryWarmsUp: no more than the warm-up and the window are replayed for a look back.
func TestHistoryWarmsUp(t *testing.T) {
	dir := t.TempDir()
	polls := seconds(1, 0, 900)
	record(t, dir, DefaultLimits, header(1), polls...)
	history := NewHistory(dir, "", nil)
	history.warmup, history.span = time.Minute, windowSpan
	got, err := history.At(t.Context(), polls[700].At, 0)
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

// TestHistoryOfTheLive: what the dashboard saw lately is given as it was, without a recording.
func TestHistoryOfTheLive(t *testing.T) {
	want := live(t, header(1), seconds(1, 0, 1300))
	history := NewHistory(t.TempDir(), "none", nil)
	for _, snapshot := range want {
		history.Saw(snapshot)
	}
	for _, second := range []int{1298, 1299 - mostKept/fullShare} {
		if got, err := history.At(t.Context(), want[second].At.Add(time.Millisecond), 0); err != nil || got != want[second] {
			t.Errorf("second %d: %v, %v", second, got, err)
		}
	}
	// Further back they lie some seconds apart: enough for a step, and not for a moment that is asked for.
	exact := 0
	for second := 1299 - mostKept; second < 1299-mostKept/fullShare; second++ {
		at := want[second].At
		if got, err := history.At(t.Context(), at, thinStep); err != nil || got.At.After(at) || at.Sub(got.At) >= thinStep {
			t.Fatalf("second %d, or nearly: %v", second, err)
		}
		if got, err := history.At(t.Context(), at, 0); err == nil && got == want[second] {
			exact++
		} else if !errors.Is(err, ErrTooEarly) {
			t.Fatalf("second %d: %v", second, err)
		}
	}
	if all := mostKept - mostKept/fullShare; exact < all/20 || exact > all-100 {
		t.Errorf("%d of them are exact", exact)
	}
	if _, err := history.At(t.Context(), want[1].At, 0); !errors.Is(err, ErrTooEarly) {
		t.Errorf("what is not kept any more: %v", err)
	}
	if len(history.live.kept) > mostKept {
		t.Errorf("%d are kept", len(history.live.kept))
	}
}

// TestChangesWhileRecording: rules and targets that change are replayed as they were seen, from wherever one begins.
func TestChangesWhileRecording(t *testing.T) {
	const rules = "groups:\n- name: g\n  rules:\n  - alert: Always\n    expr: vector(%d) > 5\n    for: 5s\n"
	dir := t.TempDir()
	polls := seconds(1, 0, 200)
	own := func(second int, part probes.Part, body string) {
		polls[second].Inputs = append([]probes.Input{{At: polls[second].At, Target: "captop", Part: part, Fault: probes.Up, Body: body}}, polls[second].Inputs...)
	}
	own(50, probes.PartRulesFile, fmt.Sprintf(rules, 7))
	own(60, probes.PartRulesFile, "groups: 7")
	own(100, probes.PartTargets, `{"services":[{"name":"app_ap-0","mode":"ap","url":"http://ap0:5001/"}]}`)
	own(150, probes.PartRulesFile, fmt.Sprintf(rules, 3))
	own(55, probes.PartAcks, `[{"labels":{"alertname":"Always"},"reason":"known","at":"2026-01-02T03:05:00Z","expires":"2026-01-03T03:05:00Z"}]`)
	want := live(t, header(1), polls)
	if n := len(want[120].Services); n != 1 || len(want[120].Rules) != 1 || want[120].Rules[0].State != alerts.Firing {
		t.Fatalf("%d services, rules %+v", n, want[120].Rules)
	}
	record(t, dir, smallLimits, header(1), polls...)
	r := open(t, dir)
	if len(r.files) < 3 {
		t.Fatalf("%d segments: the changes are to lie in several", len(r.files))
	}
	player, err := r.Play(time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer player.Close()
	for i := range want {
		got, err := player.Next()
		if err != nil {
			t.Fatal(err)
		}
		sameSnapshot(t, got, want[i])
	}
	// From the midst on, the rules and the targets are those of that time, though their changes were before it.
	for _, from := range []int{0, 70, 120, 180} {
		player, err := r.Play(polls[from].At, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got *probes.Snapshot
		for range 15 {
			if got, err = player.Next(); err != nil {
				t.Fatal(err)
			}
		}
		is, was := summary(got), summary(want[from+14])
		if is != was {
			t.Errorf("from %d: %s, want %s", from, is, was)
		}
		if err := player.Close(); err != nil {
			t.Error(err)
		}
	}
	// Other rules stay in force whatever was recorded.
	damage, err := r.Replay(t.Context(), Span{}, &Rules{File: "other.yml", Text: fmt.Sprintf(rules, 9)}, func(s *probes.Snapshot) error {
		if fires := s.At.Sub(epoch) >= 5*time.Second; s.RulesFile != "other.yml" || (s.Rules[0].State == alerts.Firing) != fires {
			t.Errorf("%s: rules %+v of %s", s.At, s.Rules, s.RulesFile)
		}
		return nil
	})
	if err != nil || damage != nil {
		t.Errorf("%v, damage %v", err, damage)
	}
}

// summary is what of a Snapshot does not depend on when its replay began.
func summary(s *probes.Snapshot) string {
	text := fmt.Sprint(len(s.Services), " ", len(s.Acks))
	for _, rule := range s.Rules {
		text += fmt.Sprint(" ", rule.Expr, rule.State)
	}
	return text
}

// TestSlice: a slice replays alone, with the alerts as they were; a slice of a slice, too.
func TestSlice(t *testing.T) {
	const rules = "groups:\n- name: g\n  rules:\n  - alert: Slow\n    expr: vector(7) > 5\n    for: 8m\n"
	h := header(1)
	h.Rules.Text = rules
	dir := t.TempDir()
	h.Poll = 10 * time.Second
	var polls []Poll
	for i := range 240 {
		polls = append(polls, poll(1, 10*i))
	}
	record(t, dir, DefaultLimits, h, polls...)
	first := filepath.Join(t.TempDir(), "first"+suffix)
	slice, err := open(t, dir).Cut(t.Context(), Span{From: polls[200].At, To: polls[220].At}, first)
	if err != nil {
		t.Fatal(err)
	}
	warmup := int((samplesKept + 8*time.Minute) / h.Poll)
	if slice.Polls != 21 || slice.Warmup != warmup || !slice.From.Equal(polls[200].At) || !slice.To.Equal(polls[220].At) || slice.Damage != nil {
		t.Errorf("the slice is %+v", slice)
	}
	second := filepath.Join(t.TempDir(), "second"+suffix)
	if slice, err = open(t, first).Cut(t.Context(), Span{To: polls[210].At}, second); err != nil || slice.Polls != 11 || slice.Warmup != warmup {
		t.Fatalf("a slice of the slice: %+v, %v", slice, err)
	}
	var seen []*probes.Snapshot
	if _, err := open(t, second).Replay(t.Context(), Span{}, nil, func(s *probes.Snapshot) error { seen = append(seen, s); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 11 || !seen[0].At.Equal(polls[200].At) || seen[0].Rules[0].State != alerts.Firing {
		t.Fatalf("%d Snapshots from %s, %+v", len(seen), seen[0].At, seen[0].Rules[0])
	}
	if _, err := open(t, dir).Cut(t.Context(), Span{}, first); !errors.Is(err, ErrExists) {
		t.Errorf("over a file that is there: %v", err)
	}
	beyond := filepath.Join(filepath.Dir(first), "beyond"+suffix)
	if _, err := open(t, dir).Cut(t.Context(), Span{From: polls[239].At.Add(1)}, beyond); !errors.Is(err, ErrEmpty) {
		t.Errorf("of no poll: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t, dir).Cut(gone, Span{}, beyond); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(first)); err != nil || len(left) != 1 {
		t.Errorf("%d files beside the slice, %v", len(left)-1, err)
	}
}
