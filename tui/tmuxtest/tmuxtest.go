// Package tmuxtest runs programs in a real terminal, tmux's, for tests that type and read as a person does.
package tmuxtest

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience bounds each wait; a good run needs a small part of it.
const patience = time.Minute

// Screen is a shell in a terminal of its own. It ends with the test.
type Screen struct {
	t      testing.TB
	socket string
}

// Prompt is what the shell shows when it waits for a command.
const Prompt = "shell>"

// Start opens a shell in dir in a terminal of a size, and types command into it.
func Start(t testing.TB, width, height int, dir, command string) *Screen {
	t.Helper()
	s := &Screen{t: t, socket: filepath.Join(t.TempDir(), "tmux")} // a server that is ending takes no session: one each
	t.Cleanup(func() { _ = exec.Command("tmux", "-S", s.socket, "kill-server").Run() })
	s.Tmux("-f", "/dev/null", "new-session", "-d", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height), "-c", dir,
		"env PS1='"+Prompt+" ' LC_ALL=C.UTF-8 bash --norc --noprofile -i")
	s.Wait(Prompt)
	s.Keys(command, "Enter")
	return s
}

// Tmux runs a command of tmux and gives its output.
func (s *Screen) Tmux(args ...string) string {
	s.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-u", "-S", s.socket}, args...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("tmux %v: %v: %s", args, err, out)
	}
	return string(out)
}

// Keys types texts and keys by tmux's names, such as Enter and C-c.
func (s *Screen) Keys(names ...string) {
	s.t.Helper()
	s.Tmux(append([]string{"send-keys"}, names...)...)
}

// Resize gives the terminal another size.
func (s *Screen) Resize(width, height int) {
	s.t.Helper()
	s.Tmux("resize-window", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height))
}

// Text is what the terminal shows.
func (s *Screen) Text() string { return s.Tmux("capture-pane", "-p") }

// Wait waits until the terminal shows all of the texts at once.
func (s *Screen) Wait(texts ...string) {
	s.t.Helper()
	s.until(func(shown string) string {
		for _, text := range texts {
			if !strings.Contains(shown, text) {
				return "waited in vain for " + strconv.Quote(text)
			}
		}
		return ""
	})
}

// Gone waits until the terminal does not show the text.
func (s *Screen) Gone(text string) {
	s.t.Helper()
	s.until(func(shown string) string {
		if strings.Contains(shown, text) {
			return strconv.Quote(text) + " is still there"
		}
		return ""
	})
}

func (s *Screen) until(missing func(shown string) string) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		shown := s.Text()
		what := missing(shown)
		if what == "" {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s; the screen shows\n%s", what, shown)
		}
	}
}
