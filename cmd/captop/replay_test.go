package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"captop/probes"
	"captop/probes/record"
	"captop/service"
	"captop/service/node/nodetest"
)

// recorded is when the recording of these tests begins.
var recorded = time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)

// downRules fire once a node was down for so many seconds.
func downRules(seconds int) string {
	return fmt.Sprintf("groups:\n- name: g\n  rules:\n  - alert: NodeDown\n    expr: redis_up == 0\n    for: %ds\n    labels: {severity: critical}\n", seconds)
}

// makeRecording records 20 minutes of two nodes. db_g2 is down for 30 seconds from 03:10:00 on, and for 5 from 03:15:00 on.
func makeRecording(t *testing.T, dir string) {
	t.Helper()
	h := record.Header{Captop: "test", Poll: time.Second, Started: recorded, Rules: record.Rules{File: "old.yml", Text: downRules(10)},
		Targets: probes.Targets{Nodes: []probes.NodeTarget{{Name: service.G1, URL: "redis://g1:6379"}, {Name: service.G2, URL: "redis://g2:6379"}}}}
	w := record.NewWriter(dir, record.DefaultLimits, h)
	lost := uint64(0)
	for second := range 20 * 60 {
		at := recorded.Add(time.Duration(second) * time.Second)
		var inputs []probes.Input
		for _, node := range []string{service.G1, service.G2} {
			in := probes.Input{At: at, Took: time.Millisecond, Target: node, Part: probes.PartInfo, Fault: probes.Up,
				Body: fmt.Sprintf("# Server\r\nredis_version:7.0.15\r\nrun_id:run%s\r\nrole:master\r\nuptime_in_seconds:%d\r\nmaxmemory:0\r\n", node, second)}
			if node == service.G2 && (second >= 360 && second < 390 || second >= 660 && second < 665) {
				in.Fault, in.Error, in.Body = probes.Down, "connection refused", ""
			}
			inputs = append(inputs, in)
		}
		for { // this is faster than any dashboard: again where the writer is behind
			state := w.Record(at, inputs)
			if state.Lost == lost {
				break
			}
			lost = state.Lost
			time.Sleep(5 * time.Millisecond)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReplayPlain: events and changes of alerts with their times, of the whole and of a part.
func TestReplayPlain(t *testing.T) {
	dir := t.TempDir()
	makeRecording(t, dir)
	code, out, problem := capture(t, "replay", dir)
	for _, want := range []string{
		"2026-01-02 03:04:00 UTC to 2026-01-02 03:23:59 UTC (19m59s), a poll every 1s, by captop test\n",
		"2026-01-02 03:10:00 UTC target critical: db_g2 is down: connection refused\n",
		"2026-01-02 03:10:00 UTC alert NodeDown{", " is pending, value 0\n", "2026-01-02 03:10:10 UTC alert NodeDown{", " fires, value 0\n",
		"2026-01-02 03:10:30 UTC target ok: db_g2 answers again after 30s\n", " is resolved, value ",
		"2026-01-02 03:15:05 UTC alert NodeDown{", " is no longer pending, value ",
	} {
		if code != 0 || problem != "" || !strings.Contains(out, want) {
			t.Errorf("exit code %d, %s; no %q in\n%s", code, problem, want, out)
		}
	}
	_, out, _ = capture(t, "replay", dir, "--from", "03:14", "--to", "-5m", "--json")
	var part struct {
		Events []struct{ Text string }
		Edges  []struct{ To string }
	}
	if err := json.Unmarshal([]byte(out), &part); err != nil {
		t.Fatal(err)
	}
	if len(part.Edges) != 2 || part.Edges[0].To != "pending" || len(part.Events) == 0 || !strings.Contains(part.Events[0].Text, "db_g2 is down") {
		t.Errorf("from 03:14 to five minutes before the end: %s", out)
	}
}

// TestReplayRules: another threshold pages twice where the recorded one paged once.
func TestReplayRules(t *testing.T) {
	dir := t.TempDir()
	makeRecording(t, dir)
	other := filepath.Join(dir, "other.yml")
	if err := os.WriteFile(other, []byte(downRules(2)), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, problem := capture(t, "replay", dir, "--rules", other)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	want := [][]string{
		{"The recorded rules paged once", "would have paged 2 times."},
		{"NodeDown", "01-02 03:10:10", "03:10:30", "20s", "01-02 03:10:02", "03:10:30", "28s"},
		{"NodeDown", "–", "–", "–", "01-02 03:15:02", "03:15:05", "3s", "db_g2"},
	}
	for i, at := range []int{1, 4, 5} {
		if code != 0 || problem != "" || len(lines) != 6 {
			t.Fatalf("exit code %d, %s\n%s", code, problem, out)
		}
		from := 0
		for _, cell := range want[i] {
			place := strings.Index(lines[at][from:], cell)
			if place < 0 {
				t.Fatalf("no %q where it should be in %q", cell, lines[at])
			}
			from += place + len(cell)
		}
	}
	_, out, _ = capture(t, "replay", dir, "--rules", other, "--json", "--from", "03:12")
	var c comparison
	if err := json.Unmarshal([]byte(out), &c); err != nil {
		t.Fatal(err)
	}
	if c.Old != 0 || c.New != 1 || len(c.Alerts) != 1 || c.Alerts[0].New.Lasted != 3 {
		t.Errorf("from 03:12 on: %s", out)
	}
	// An alert that fires when the part begins is there with the time at which it began to.
	_, out, _ = capture(t, "replay", dir, "--rules", other, "--json", "--from", "03:10:20", "--to", "03:10:25")
	if err := json.Unmarshal([]byte(out), &c); err != nil {
		t.Fatal(err)
	}
	if c.Old != 1 || c.New != 1 || c.Alerts[0].New.FiredAt != recorded.Add(362*time.Second) || !c.Alerts[0].Old.ResolvedAt.IsZero() {
		t.Errorf("in the midst of it: %s", out)
	}
}

// TestCut: a slice has what its part has, and its pages are those of the whole.
func TestCut(t *testing.T) {
	dir := t.TempDir()
	makeRecording(t, dir)
	slice := filepath.Join(dir, "slice")
	code, out, problem := capture(t, "cut", dir, "03:10:05", "-9m", "-o", slice)
	if code != 0 || problem != "" || !strings.Contains(out, "295 polls from 2026-01-02 03:10:05 UTC to 2026-01-02 03:14:59 UTC, after 365 polls of warm-up") {
		t.Fatalf("exit code %d, %s%s", code, out, problem)
	}
	_, out, _ = capture(t, "replay", slice)
	if !strings.Contains(out, "2026-01-02 03:10:10 UTC alert NodeDown{") || strings.Contains(out, "03:10:00 UTC alert") {
		t.Errorf("the slice shows\n%s", out)
	}
}

// TestReplayMistakes: what is said of each wrong call.
func TestReplayMistakes(t *testing.T) {
	dir := t.TempDir()
	makeRecording(t, dir)
	page := filepath.Join(dir, "page.html")
	if err := os.WriteFile(page, []byte("<html>"), 0o600); err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"replay", page}, page + ": this is no recording of captop"},
		{[]string{"replay", dir + "/none"}, "no such file or directory"},
		{[]string{"replay", state}, "nothing is recorded there"},
		{[]string{"replay", "--record-dir", state + "/none"}, "captop has recorded nothing here yet"},
		{[]string{"replay", dir, "--rules", page}, page + ", line 1"},
		{[]string{"replay", dir, "--rules", page + "s"}, "reading the rules"},
		{[]string{"replay", dir, "--speed", "0"}, "give a number from 0.1 to 1000"},
		{[]string{"replay", dir, "--from", "yesterday"}, `"yesterday" is no time: give one such as 15:04`},
		{[]string{"replay", dir, "--from", "17:00"}, "17:00 is not within the recording, which goes from 2026-01-02 03:04:00 UTC to 2026-01-02 03:23:59 UTC"},
		{[]string{"replay", dir, "--from", "2027-01-01T00:00:00Z"}, "the recording goes from 2026-01-02 03:04:00 UTC"},
		{[]string{"replay", dir, "--from", "-1m", "--to", "-2m"}, "-2m is before -1m"},
		{[]string{"cut", dir, "-2m", "-1m"}, "add -o SLICE"},
		{[]string{"cut", dir, "-2m", "-o", "x"}, "cut takes a recording and two times, or one part of the stack, not 2 words"},
		{[]string{"cut", dir, "-2m", "-1m", "-o", page}, page + ": the file is there already"},
		{[]string{"cut", dir, "-2m", "-1m", "-o", dir + "/no/x"}, "no such file or directory"},
	} {
		if code, out, problem := capture(t, c.args...); code != exitUsage || out != "" || !strings.Contains(problem, c.want) {
			t.Errorf("%v: exit code %d, %s%s; want %q", c.args, code, out, problem, c.want)
		}
	}
}

// TestMoment reads times of a recording that goes over midnight.
func TestMoment(t *testing.T) {
	from := time.Date(2026, 1, 2, 23, 50, 0, 0, time.UTC)
	to := from.Add(20 * time.Minute)
	for text, want := range map[string]time.Time{
		"23:55": from.Add(5 * time.Minute), "00:05:30": from.Add(15*time.Minute + 30*time.Second), "-10m": from.Add(10 * time.Minute),
		"2026-01-03T01:05:00+01:00": from.Add(15 * time.Minute), "-0s": to,
	} {
		if got, err := moment(text, from, to, time.UTC); err != nil || !got.Equal(want) {
			t.Errorf("%s: %s, %v, want %s", text, got, err, want)
		}
	}
}

// TestRecordsWhatItSees: the command that people run records, and its recording replays to the very same Snapshots.
func TestRecordsWhatItSees(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	dir := t.TempDir()
	s := defaultSettings()
	s.G1, s.G2, s.CP, s.AP, s.RecordDir, s.Interval = g1.URL(), g2.URL(), nil, nil, dir, 200*time.Millisecond
	config, err := s.probeConfig()
	if err != nil {
		t.Fatal(err)
	}
	kept := s.record(&config)
	engine, err := probes.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var live []*probes.Snapshot
	for snapshot := range kept.watch(ctx, engine.Watch(ctx)) {
		live = append(live, snapshot)
		switch len(live) {
		case 5:
			g2.Kill()
		case 12:
			g2.Restart()
		case 25:
			cancel()
		}
	}
	cancel()
	if err := engine.Close(); err != nil {
		t.Error(err)
	}
	past, err := kept.lookBack()(t.Context(), live[10].At, 0)
	if err != nil || past != live[10] {
		t.Errorf("back in time: %v, %v", past, err)
	}
	kept.Close()
	recording, err := record.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	if _, err := recording.Replay(t.Context(), record.Span{}, nil, func(s *probes.Snapshot) error {
		plain := *s
		plain.Source = live[0].Source
		seen[asJSON(t, plain)] = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for i, snapshot := range live {
		if !seen[asJSON(t, snapshot)] {
			t.Errorf("Snapshot %d of %d is not among the %d replayed ones", i, len(live), len(seen))
		}
	}
	if !slices.ContainsFunc(live[24].Events, func(e probes.Event) bool { return e.Kind == "target" }) {
		t.Error("nothing happened in this recording")
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
