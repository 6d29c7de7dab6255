// Package paint writes frames to the terminal as soon as they have changed.
//
// bubbletea v1 draws on a ticker: a key waits for its next tick, 17 ms at 60 a second, and the ticks cost more than
// all else on a quiet screen. Here the framework keeps the terminal (raw mode, alternate screen, suspension, what is
// restored after a panic), and its frames are a placeholder that is never written; the frames themselves are written
// right after the message that changed them.
package paint

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
)

// placeholder is what the framework takes for the frame.
const placeholder = "captop paints its own frames"

// pause is the least time between two frames: what comes sooner is drawn together.
const pause = time.Second / 120

// Settings are the options of a program that runs a Painter on a terminal.
func Settings(terminal io.Writer) []tea.ProgramOption {
	return []tea.ProgramOption{tea.WithAltScreen(), tea.WithOutput(output{terminal}), tea.WithFPS(1)}
}

// Painter is a program that shows what a model draws.
type Painter struct {
	model    tea.Model
	terminal io.Writer

	width   int
	shown   []string // the rows as they are on the terminal; nil when nothing is known of them
	painted time.Time
	due     bool // a frameMsg is on its way
}

// New makes a painter. Where the terminal's size is not known yet, nothing is drawn.
func New(model tea.Model, terminal io.Writer) *Painter {
	return &Painter{model: model, terminal: terminal}
}

type (
	frameMsg  struct{}
	redrawMsg struct{}
)

// Redraw draws every row anew: something else has written to the terminal.
func Redraw() tea.Msg { return redrawMsg{} }

// Init begins as the model does.
func (p *Painter) Init() tea.Cmd { return p.model.Init() }

// View is never seen.
func (p *Painter) View() string { return placeholder }

// Update hands a message to the model, and draws what has changed.
func (p *Painter) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case frameMsg:
		p.due = false
		p.paint()
		return p, nil
	case tea.WindowSizeMsg:
		p.width, p.shown = msg.Width, nil
	case redrawMsg, tea.ResumeMsg:
		p.shown = nil
	}
	model, cmd := p.model.Update(msg)
	p.model = model
	if wait := pause - time.Since(p.painted); wait > 0 {
		return p, tea.Batch(cmd, p.later(wait))
	}
	p.paint()
	return p, cmd
}

// later draws in a moment, once for all that comes until then.
func (p *Painter) later(wait time.Duration) tea.Cmd {
	if p.due {
		return nil
	}
	p.due = true
	return tea.Tick(wait, func(time.Time) tea.Msg { return frameMsg{} })
}

// paint writes the rows that differ from what is on the terminal.
func (p *Painter) paint() {
	frame := p.model.View()
	p.painted = time.Now()
	if p.width <= 0 || frame == "" {
		return
	}
	rows := strings.Split(frame, "\n")
	var out bytes.Buffer
	if p.shown == nil {
		out.WriteString(ansi.EraseEntireScreen)
	}
	for i, row := range rows {
		if i >= len(p.shown) || p.shown[i] != row {
			p.row(&out, i, row)
		}
	}
	if len(rows) < len(p.shown) {
		out.WriteString(ansi.CursorPosition(1, len(rows)+1) + ansi.EraseScreenBelow)
	}
	p.shown = rows
	if out.Len() > 0 {
		_, _ = p.terminal.Write(out.Bytes()) // a terminal that is gone ends the program by its own signal
	}
}

// row writes one row at its place.
func (p *Painter) row(out *bytes.Buffer, i int, row string) {
	out.WriteString("\x1b[" + strconv.Itoa(i+1) + "H")
	if ansi.StringWidth(row) > p.width {
		row = ansi.Truncate(row, p.width, "")
	}
	out.WriteString(row)
	if ansi.StringWidth(row) < p.width { // at the end of a full row, erasing would take its last cell
		out.WriteString(ansi.EraseLineRight)
	}
}

// output is the terminal without the framework's frames.
type output struct{ io.Writer }

// Write passes everything on but the placeholder.
func (o output) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(placeholder)) {
		return len(p), nil
	}
	return o.Writer.Write(p)
}

// Fd lets the framework know the terminal, for its size.
func (o output) Fd() uintptr {
	if file, ok := o.Writer.(interface{ Fd() uintptr }); ok {
		return file.Fd()
	}
	return ^uintptr(0)
}

// Read and Close are what the framework asks of a terminal, and never calls of an output.
func (o output) Read([]byte) (int, error) { return 0, io.EOF }

// Close leaves the terminal open: it is its owner's.
func (o output) Close() error { return nil }
