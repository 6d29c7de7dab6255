package paint

import (
	"bytes"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"
)

// page is a model that shows the text it was sent last.
type page string

func (p page) Init() tea.Cmd { return nil }

func (p page) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if text, ok := msg.(string); ok {
		return page(text), nil
	}
	return p, nil
}

func (p page) View() string { return string(p) }

// wrote gives what the terminal was sent since it was asked last.
func wrote(terminal *bytes.Buffer) string {
	defer terminal.Reset()
	return terminal.String()
}

func TestOnlyWhatChangedIsWritten(t *testing.T) {
	terminal := &bytes.Buffer{}
	p := New(page("one\ntwo\nthree"), terminal)
	p.paint()
	if got := wrote(terminal); got != "" {
		t.Errorf("before the size is known: %q", got)
	}
	send := func(msg tea.Msg) string {
		p.Update(msg)
		p.paint()
		return wrote(terminal)
	}
	const all = "\x1b[2J\x1b[1Hone\x1b[K\x1b[2Htwo\x1b[K\x1b[3Hthree\x1b[K"
	for _, c := range []struct {
		msg  tea.Msg
		want string
	}{
		{tea.WindowSizeMsg{Width: 6, Height: 3}, all},
		{"one\ntwo\nthree", ""},
		{"one\nzwei\nthree", "\x1b[2Hzwei\x1b[K"},
		{"one\nfull up\nthree", "\x1b[2Hfull u"}, // a full row: erasing behind it would take its last cell
		{"one", "\x1b[2;1H\x1b[J"},
		{"one\ntwo\nthree", "\x1b[2Htwo\x1b[K\x1b[3Hthree\x1b[K"},
		{Redraw(), all},
		{tea.ResumeMsg{}, all},
		{"\x1b[1mone\x1b[m\ntwo\nthree", "\x1b[1H\x1b[1mone\x1b[m\x1b[K"},
		{"", ""},
	} {
		if got := send(c.msg); got != c.want {
			t.Errorf("%#v wrote %q, want %q", c.msg, got, c.want)
		}
	}
}

// TestFramesComeTogether: what comes right after a frame waits a moment, and is drawn once.
func TestFramesComeTogether(t *testing.T) {
	terminal := &bytes.Buffer{}
	p := New(page("one"), terminal)
	p.Update(tea.WindowSizeMsg{Width: 6, Height: 3})
	wrote(terminal)
	_, first := p.Update("two")
	_, second := p.Update("three")
	if first != nil && second != nil { // on a slow machine each may have been drawn at once
		t.Error("what comes within one pause is to be drawn once")
	}
	if p.due {
		if got := wrote(terminal); got != "" {
			t.Errorf("too soon: %q", got)
		}
		p.Update(frameMsg{})
	}
	if got := wrote(terminal); !strings.HasSuffix(got, "three\x1b[K") {
		t.Errorf("in the end: %q", got)
	}
}

func TestThePlaceholderIsNeverWritten(t *testing.T) {
	terminal := &bytes.Buffer{}
	out := output{terminal}
	if n, err := out.Write([]byte("\x1b[H" + placeholder + "\x1b[K")); err != nil || n != len(placeholder)+6 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := out.Write([]byte("\x1b[?25l")); err != nil || wrote(terminal) != "\x1b[?25l" {
		t.Error("what else the framework writes has to pass")
	}
	if New(page(""), terminal).View() != placeholder {
		t.Error("the framework's frame is another one")
	}
	if out.Fd() != ^uintptr(0) {
		t.Error("a buffer has no descriptor")
	}
}
