package tui

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/creack/pty"
)

// terminal is a dashboard in a process and a terminal of its own, whose output is read as it comes.
type terminal struct {
	b      *testing.B
	file   *os.File
	chunks chan []byte
}

func openTerminal(b *testing.B, width, height uint16) *terminal {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	command := exec.Command(self)
	command.Env = append(os.Environ(), childVariable+"=g2_down", "TERM=xterm-256color")
	file, err := pty.StartWithSize(command, &pty.Winsize{Cols: width, Rows: height})
	if err != nil {
		b.Fatal(err)
	}
	t := &terminal{b: b, file: file, chunks: make(chan []byte, 1024)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 1<<16)
		for {
			n, err := file.Read(buffer)
			t.chunks <- bytes.Clone(buffer[:n])
			if err != nil {
				return
			}
		}
	}()
	b.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		_ = file.Close()
		for { // until the reader has ended, which may have something to say first
			select {
			case <-t.chunks:
			case <-ended:
				return
			}
		}
	})
	return t
}

// until reads what comes until it holds text, and gives the time at which it did.
func (t *terminal) until(text string) time.Time {
	t.b.Helper()
	var seen []byte
	deadline := time.After(waitLong)
	for {
		select {
		case chunk := <-t.chunks:
			if seen = append(seen, chunk...); bytes.Contains(seen, []byte(text)) {
				return time.Now()
			}
		case <-deadline:
			t.b.Fatalf("%q never came; the terminal was sent %q", text, seen)
		}
	}
}

// BenchmarkKeyToFrame is the time from a key to the last byte of the frame that answers it.
func BenchmarkKeyToFrame(b *testing.B) {
	t := openTerminal(b, 200, 50)
	t.until("quit")
	var took []float64
	press := func(key, text string) {
		time.Sleep(37 * time.Millisecond) // so that keys meet the framework at every point between two of its frames
		began := time.Now()
		if _, err := t.file.WriteString(key); err != nil {
			b.Fatal(err)
		}
		took = append(took, t.until(text).Sub(began).Seconds()*1000)
	}
	for b.Loop() {
		press("?", "keys of overview")
		if _, err := t.file.WriteString("?"); err != nil { // closes it
			b.Fatal(err)
		}
		t.until("UTC") // the next second: what closing writes has come by then
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2], "ms-median")
	b.ReportMetric(took[len(took)*99/100], "ms-p99")
}

// BenchmarkFirstFrame is the time from the start of the process to its first frame.
func BenchmarkFirstFrame(b *testing.B) {
	var took []float64
	for b.Loop() {
		began := time.Now()
		t := openTerminal(b, 200, 50)
		took = append(took, t.until("captop").Sub(began).Seconds()*1000)
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2], "ms-median")
}
