package logtail

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"captop/probes"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// follow starts to follow a file, and gives a function that waits for the next event.
func follow(t *testing.T, path string) func() probes.Event {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	events := Follow(ctx, []string{path}, func() time.Time { return noon })
	t.Cleanup(func() {
		cancel()
		for range events { // it ends
		}
	})
	return func() probes.Event {
		t.Helper()
		select {
		case e := <-events:
			return e
		case <-time.After(30 * time.Second):
			t.Fatal("no event came")
		}
		return probes.Event{}
	}
}

func write(t *testing.T, path string, flags int, text string) {
	t.Helper()
	file, err := os.OpenFile(path, flags|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRotationTruncationAndPartsOfLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app_cp.log")
	next := follow(t, path)
	if e := next(); !strings.Contains(e.Text, "cannot be followed") || e.Severity != probes.Unknown {
		t.Fatalf("a log that is not there: %+v", e)
	}
	want := func(text string) {
		t.Helper()
		if e := next(); e.Text != text || e.Target != "app_cp" || e.Kind != "log" {
			t.Fatalf("got %+v, want the line %q", e, text)
		}
	}
	write(t, path, os.O_APPEND, "one\nhalf a ")
	want("one")
	write(t, path, os.O_APPEND, "line\n")
	want("half a line")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(t, path+".1", os.O_APPEND, "late in the old file\n")
	write(t, path, os.O_APPEND, "first of the new file\n")
	want("late in the old file")
	want("first of the new file")
	write(t, path, os.O_TRUNC, "cut\n")
	want("cut")
}

func TestAnOldLogIsReadNearItsEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app_ap.log")
	var log strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&log, "line %d\n", i)
	}
	write(t, path, 0, log.String())
	first := next(t, path)
	var number int
	if _, err := fmt.Sscanf(first.Text, "line %d", &number); err != nil || number < 10000 {
		t.Errorf("the first line is %q, want a whole one near the end", first.Text)
	}
}

func next(t *testing.T, path string) probes.Event {
	t.Helper()
	return follow(t, path)()
}

func TestWhatIsSaidOverAndOverIsCounted(t *testing.T) {
	var got []string
	now := noon
	follower := &tail{path: "app_cp.log"}
	for range 40 {
		follower.take([]byte(`{"level":"WARN","msg":"write","code":"unavailable","key":"`+now.Format("050")+`"}`+"\n"), func() time.Time { return now },
			func(e probes.Event) { got = append(got, e.Text) })
		now = now.Add(time.Second)
	}
	if len(got) != 4 || strings.Contains(got[0], "more like it") || !strings.HasSuffix(got[1], "and 9 more like it since 12:00:00 UTC") {
		t.Errorf("%d lines: %q", len(got), got)
	}
}

func TestWhatTellsOfSomebodyElseIsNotTheSame(t *testing.T) {
	count := 0
	follower := &tail{path: "services.log"}
	for _, line := range []string{`"mode":"cp","to":"OPEN"`, `"mode":"ap","to":"OPEN"`, `"mode":"cp","to":"CLOSED"`, `"mode":"cp","to":"CLOSED","took":7`} {
		follower.take([]byte(`{"level":"WARN","msg":"BREAKER",`+line+"}\n"), func() time.Time { return noon }, func(probes.Event) { count++ })
	}
	if count != 3 {
		t.Errorf("of three different lines and a repeated one %d are given, want 3", count)
	}
}

func TestLines(t *testing.T) {
	for line, want := range map[string]probes.Event{
		`{"time":"2026-11-23T11:59:45.5Z","level":"WARN","msg":"DB_CONNECT_FAILURE","node":"db_g2","took_ms":12345678901234567890}`: {
			At: time.Date(2026, 11, 23, 11, 59, 45, 5e8, time.UTC), Severity: probes.Warning, Text: "DB_CONNECT_FAILURE\nnode=db_g2\ntook_ms=12345678901234567890"},
		`{"time":"x","level":"ERROR+4","msg":"no","err":{"a":1}}`: {At: noon, Severity: probes.Critical, Text: "no\nerr={\"a\":1}"},
		`{"msg":"write","error":"i/o timeout","client":"::1","status":503,"code":"timeout","mode":"cp"}`: {At: noon, Severity: probes.Unknown,
			Text: "write\nmode=cp\ncode=timeout\nerror=i/o timeout\nclient=::1\nstatus=503"},
		`{"level":"INFO","msg":"listening"}`:                   {At: noon, Severity: probes.OK, Text: "listening"},
		`{"level":"ERROR","msg":"write","code":"unavailable"}`: {At: noon, Severity: probes.Critical, Text: "write\ncode=unavailable"},
		`panic: oops`: {At: noon, Severity: probes.Unknown, Text: "panic: oops"},
		`{"broken`:    {At: noon, Severity: probes.Unknown, Text: `{"broken`},
	} {
		got, ok := parse(line, "app_cp.log", noon)
		want.Kind, want.Target = "log", "app_cp"
		if !ok || got != want {
			t.Errorf("%s gives %+v, want %+v", line, got, want)
		}
	}
	for _, line := range []string{"", "  ", `{"level":"INFO","msg":"write","key":"a"}`} {
		if event, ok := parse(line, "x.log", noon); ok {
			t.Errorf("%q gives %+v, want nothing", line, event)
		}
	}
}
