package tui

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

// osc52 is the sequence that carries text.
func osc52(text string) string {
	return "\x1b]52;c;" + base64.StdEncoding.EncodeToString([]byte(text)) + "\x07"
}

func TestCopy(t *testing.T) {
	var out bytes.Buffer
	options := demoOptions()
	options.Output = &out
	u := at80x24(t, options)
	copied := func() string {
		t.Helper()
		m := u.m.(model)
		text := m.copied()
		out.Reset()
		u.press("y")
		if text == "" {
			if out.Len() != 0 {
				t.Errorf("%q was sent for nothing", out.String())
			}
			return ""
		}
		if out.String() != osc52(text) {
			t.Errorf("sent %q, want %q", out.String(), osc52(text))
		}
		return text
	}
	verdict := copied()
	if m := u.m.(model); !strings.Contains(verdict, m.live.Verdict.Sentence) || !strings.Contains(verdict, m.live.Verdict.NextStep) {
		t.Errorf("on the overview: %q", verdict)
	}
	if !strings.Contains(u.lastLine(), "Sent to the terminal's clipboard") {
		t.Errorf("nothing says so: %q", u.lastLine())
	}
	u.press("2")
	if text := copied(); !strings.Contains(text, "runbook: ") {
		t.Errorf("on the alerts: %q", text)
	}
	u.press("5")
	if text := copied(); !strings.Contains(text, " UTC ") {
		t.Errorf("on the events: %q", text)
	}
	u.press("enter")
	if text := copied(); !strings.Contains(text, " UTC ") {
		t.Errorf("in the open event: %q", text)
	}
	u.press("esc", "/")
	if text := copied(); text != "" {
		t.Errorf("y is a letter of the filter, not %q", text)
	}
	u.press("esc", "1", ":restart db_g2", "enter")
	if text := copied(); text != "docker compose restart db_g2" {
		t.Errorf("of a question: %q", text)
	}
}

func TestClipboardInTmux(t *testing.T) {
	got := clipboard("hi", true)
	inner := strings.ReplaceAll(osc52("hi"), "\x1b", "\x1b\x1b")
	if want := osc52("hi") + "\x1bPtmux;" + inner + "\x1b\\"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestCopiedNextStep: who gets it is told what the screen tells, and not to find out what the stack knows.
func TestCopiedNextStep(t *testing.T) {
	options := demoOptions()
	s := g2Down()
	s.Verdict.NextStep, s.Verdict.Act = "See whether db_g1 is paused.", "heal db_g1"
	for _, stack := range []struct {
		remedy func(string) (better, fact string)
		next   string
	}{
		{nil, "See whether db_g1 is paused."},
		{func(act string) (better, fact string) { return act, "" }, "See whether db_g1 is paused."},
		{func(string) (better, fact string) { return "start db_g1", "db_g1 is stopped" }, "start db_g1: db_g1 is stopped"},
		{func(string) (better, fact string) { return "", "db_g1 is running" }, "db_g1 is running"},
	} {
		options.Remedy = stack.remedy
		if got := start(t, options, s, 80, 24).(model).copied(); !strings.HasSuffix(got, "\nnext: "+stack.next) {
			t.Errorf("%q, want the next step %q", got, stack.next)
		}
	}
}
