package tui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"captop/probes"
	"captop/service"
	"captop/tui/tmuxtest"
)

// The test binary runs itself as a small captop where this variable is set: real terminals need a real process.
const childVariable = "TUI_TEST_CHILD"

func TestMain(m *testing.M) {
	if kind := os.Getenv(childVariable); kind != "" {
		if err := child(kind); err != nil {
			fmt.Fprint(os.Stderr, "\nended: ", err, "\n") // a panic leaves the cursor anywhere
			os.Exit(1)
		}
		fmt.Println("ended well")
		return
	}
	os.Exit(m.Run())
}

// child runs the dashboard on a scripted situation; kinds after a plus change how it behaves.
func child(kind string) error {
	name, twist, _ := strings.Cut(kind, "+")
	options := demoOptions()
	options.Now, options.Getenv, options.Output = nil, nil, nil
	options.Write = scriptedWrite
	snapshots := make(chan *probes.Snapshot, 1)
	options.Snapshots = snapshots
	switch twist {
	case "panic":
		options.Write = func(context.Context, service.Mode, string, string) (service.Written, error) { panic("on purpose") }
	case "readonly":
		options.Armed = false
	case "ascii":
		options.ASCII = true
	}
	go func() {
		for {
			snapshots <- shifted(situations[name](), time.Since(noon))
			time.Sleep(time.Second)
		}
	}()
	return Run(context.Background(), options)
}

// scriptedWrite answers by the key: refused, unknown, or applied.
func scriptedWrite(_ context.Context, mode service.Mode, key, _ string) (service.Written, error) {
	switch key {
	case "refused":
		return service.Written{}, &service.Error{Code: service.CodeCircuitOpen, Outcome: service.NotApplied, Node: "db_g2",
			Message: "the circuit breaker of db_g2 is OPEN; CP needs both nodes"}
	case "lost":
		return service.Written{}, &service.Error{Code: service.CodeUnknownOutcome, Outcome: service.Unknown,
			Message: "no answer from http://127.0.0.1:5001; the write may have taken effect"}
	}
	return service.Written{Key: key, Version: "42", Nodes: []string{"db_g1", "db_g2"}, Outcome: service.Applied}, nil
}

// shifted moves the times that freshness depends on, so that a fixture of noon looks like now.
func shifted(s *probes.Snapshot, by time.Duration) *probes.Snapshot {
	s.At, s.Started, s.Verdict.Since = s.At.Add(by), s.Started.Add(by), s.Verdict.Since.Add(by)
	for i := range s.Events {
		s.Events[i].At = s.Events[i].At.Add(by)
	}
	for i := range s.Services {
		v := &s.Services[i]
		for _, at := range []*time.Time{&v.Reach.At, &v.HealthAt, &v.BreakersAt, &v.MetricsAt, &v.Uptime.At, &v.ClockSkew.At,
			&v.Limit.At, &v.Rate.At, &v.ErrorRatio.At, &v.Latency.At} {
			*at = at.Add(by)
		}
		for j := range v.Links {
			l := &v.Links[j]
			l.Breaker.Value.Since = l.Breaker.Value.Since.Add(by)
			l.Seen.At, l.Breaker.At, l.FailureRate.At = l.Seen.At.Add(by), l.Breaker.At.Add(by), l.FailureRate.At.Add(by)
		}
		shiftSeries(v.LatencyHistory, by)
		shiftSeries(v.RateHistory, by)
	}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		n.Reach.Since, n.Reach.LastUp, n.Rejoin.Value.Since = n.Reach.Since.Add(by), n.Reach.LastUp.Add(by), n.Rejoin.Value.Since.Add(by)
		n.Info.Value.Persistence.LastSave = n.Info.Value.Persistence.LastSave.Add(by)
		for _, at := range []*time.Time{&n.Reach.At, &n.Info.At, &n.RTT.At, &n.Staleness.At, &n.QueueDepth.At, &n.Rejoin.At} {
			*at = at.Add(by)
		}
		shiftSeries(n.StalenessHistory, by)
		shiftSeries(n.OpsHistory, by)
	}
	return s
}

func shiftSeries(series probes.Series, by time.Duration) {
	for i := range series {
		series[i].At = series[i].At.Add(by)
	}
}

// waitLong bounds the waits of these tests; a good run needs a small part of it.
const waitLong = 30 * time.Second

// eventually waits until check gives no error.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(waitLong)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Millisecond)
	}
}

// startTmux runs the child through a shell, so that it can be suspended, in a terminal of the given size.
func startTmux(t *testing.T, kind string, width, height int, environment ...string) *tmuxtest.Screen {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return tmuxtest.Start(t, width, height, t.TempDir(), strings.Join(append(environment, childVariable+"="+kind, self), " "))
}

func TestJourneyWrite(t *testing.T) {
	s := startTmux(t, "healthy", 80, 24)
	s.Wait("Both services serve", "Nothing to do")
	s.Keys("w")
	s.Wait("write a key")
	s.Keys("Enter")
	s.Wait("NOT SENT", "the key is empty")
	s.Keys("user:7", "Tab", "hello", "Enter")
	s.Wait("APPLIED", "version 42", "db_g1 and db_g2")
	s.Keys("BTab", "C-u", "refused", "Enter")
	s.Wait("REFUSED, not applied", "circuit_open", "OPEN; CP needs both nodes")
	s.Keys("C-u", "lost", "Enter")
	s.Wait("UNKNOWN, it may have been applied", "unknown_outcome")
	s.Keys("Escape")
	s.Gone("write a key")
	s.Keys("q")
	s.Wait("ended well", tmuxtest.Prompt)
}

func TestJourneyRestart(t *testing.T) {
	s := startTmux(t, "g2_down", 80, 24)
	s.Wait("press  r  restart db_g2")
	s.Keys("r")
	s.Wait("restart db_g2?", "docker compose restart db_g2", "enter does it")
	s.Keys("Enter")
	s.Wait("DONE in", "run id changed", "PING answered PONG", "stopping db_g2")
	s.Keys("Enter")
	s.Gone("DONE in")
	s.Keys("r")
	s.Wait("enter does it")
	s.Keys("Enter")
	s.Wait("DONE in")
	s.Keys("5") // what has ended is in nobody's way
	s.Gone("DONE in")
	s.Wait("follow")
	s.Keys("C-c")
	s.Wait("ended well")
}

func TestJourneyInterlock(t *testing.T) {
	s := startTmux(t, "nothing", 80, 24)
	s.Wait("Nothing answers")
	s.Keys("r")
	s.Wait("NOT NOW", "start db_g1 first")
	s.Keys("Enter")
	s.Wait("NOT NOW") // enter does nothing while an interlock holds
	s.Keys("Escape")
	s.Gone("NOT NOW")
}

func TestJourneyReadOnly(t *testing.T) {
	s := startTmux(t, "healthy+readonly", 80, 24)
	s.Wait("read-only", "A arm")
	s.Keys("w")
	s.Wait("Read-only: press A")
	s.Keys("A")
	s.Wait("ARMED 4:5", "Armed for five minutes")
	s.Keys("w")
	s.Wait("write a key")
	s.Keys("Escape")
	s.Wait("A disarm")
}

func TestJourneyHelpNamesEveryKey(t *testing.T) {
	s := startTmux(t, "healthy", 80, 24)
	s.Wait("? help")
	s.Keys("?")
	s.Wait("restart db_g2", "heal db_g2", "ctrl+z", "older than five polls", "▲ WARNING")
	s.Keys("?")
	s.Gone("ctrl+z")
}

func TestJourneyResize(t *testing.T) {
	s := startTmux(t, "g2_down", 80, 24)
	s.Wait("events")
	s.Tmux("resize-window", "-x", "200", "-y", "50")
	s.Wait("requests/s", "127.0.0.1:6380")
	s.Tmux("resize-window", "-x", "30", "-y", "8")
	s.Wait("CRITICAL", "db_g2 is down", "needs 76x16")
	s.Tmux("resize-window", "-x", "80", "-y", "24")
	s.Wait("events", "next: press")
}

func TestJourneySuspend(t *testing.T) {
	s := startTmux(t, "healthy", 80, 24)
	s.Wait("Both services serve")
	s.Keys("C-z")
	s.Wait("Stopped", tmuxtest.Prompt)
	s.Gone("Both services serve")
	s.Keys("fg", "Enter")
	s.Wait("Both services serve", "q quit")
	s.Keys("q")
	s.Wait("ended well")
}

func TestJourneyPanicRestoresTheTerminal(t *testing.T) {
	s := startTmux(t, "healthy+panic", 80, 24)
	s.Wait("Both services serve")
	s.Keys("w")
	s.Wait("write a key")
	s.Keys("k", "Enter")
	s.Wait("ended: running the dashboard", tmuxtest.Prompt)
	s.Keys("clear; stty -a", "Enter")
	s.Wait(" icanon", " echo ", "opost")
	if shown := s.Text(); strings.Contains(shown, "-opost") || strings.Contains(shown, "-icanon") {
		t.Errorf("the terminal is still raw:\n%s", shown)
	}
}

func TestJourneyASCIIWithoutColours(t *testing.T) {
	s := startTmux(t, "g2_down+ascii", 80, 24, "NO_COLOR=1")
	s.Wait("X CRITICAL", "X down", "X OPEN", "db_g2 is down")
	shown := s.Tmux("capture-pane", "-p", "-e")
	for i, r := range s.Text() {
		if r > 126 {
			t.Fatalf("character %q at %d is not ASCII", r, i)
		}
	}
	for _, match := range sgr.FindAllStringSubmatch(shown, -1) {
		for _, parameter := range strings.Split(match[1], ";") {
			if n, _ := strconv.Atoi(parameter); n >= 30 && n != 39 && n != 49 {
				t.Fatalf("NO_COLOR is set, but the screen has %q", match[0])
			}
		}
	}
}

// sgr finds the sequences that set colours and weights.
var sgr = regexp.MustCompile("\x1b\\[([0-9;]*)m")

// silent is a terminal that shows, and never answers what it is asked.
type silent struct {
	mu    sync.Mutex
	shown bytes.Buffer
}

func (s *silent) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.Write(p)
}

func (s *silent) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

func TestSilentTerminalIsNeverAsked(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self)
	command.Env = append(os.Environ(), childVariable+"=healthy", "TERM=xterm-256color", "COLORTERM=", "COLORFGBG=", "NO_COLOR=")
	terminal, err := pty.StartWithSize(command, &pty.Winsize{Cols: 80, Rows: 24})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	screen := &silent{}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		buffer := make([]byte, 4096)
		for {
			n, err := terminal.Read(buffer)
			_, _ = screen.Write(buffer[:n])
			if err != nil {
				return
			}
		}
	}()
	eventually(t, func() error {
		if !strings.Contains(screen.String(), "Both services serve") {
			return fmt.Errorf("no frame yet; the terminal was sent %q", screen.String())
		}
		return nil
	})
	// Colour queries are OSC 10 to 12, cursor position ESC [6n, device attributes ESC [c.
	for _, question := range []string{"\x1b]10;?", "\x1b]11;?", "\x1b]12;?", "\x1b[6n", "\x1b[c", "\x1b[0c"} {
		if strings.Contains(screen.String(), question) {
			t.Errorf("the terminal was asked %q", question)
		}
	}
	if _, err := terminal.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Errorf("q ended the dashboard with %v", err)
	}
	<-copied
}

func TestDumbTerminalIsRefused(t *testing.T) {
	options := demoOptions()
	options.Getenv = env("TERM", "dumb")
	if err := Run(context.Background(), options); !errors.Is(err, ErrDumbTerminal) {
		t.Errorf("Run on TERM=dumb gave %v, want ErrDumbTerminal", err)
	}
}
