package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func open(t *testing.T) *Lab {
	t.Helper()
	l, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// TestProcessesAreKilledAndStartedAgain at the same address, and all end with the lab.
func TestProcessesAreKilledAndStartedAgain(t *testing.T) {
	l := open(t)
	p, err := l.Redis("db")
	if err != nil {
		t.Fatal(err)
	}
	first, addr := p.PID(), p.Addr()
	if held, err := Memory(first); err != nil || held < 1<<20 {
		t.Errorf("it holds %d bytes, %v", held, err)
	}
	p.Pause()
	p.Kill()
	if p.Running() || p.PID() != 0 || len(l.Processes()) != 0 {
		t.Error("it runs after Kill")
	}
	if err := p.Restart(); err != nil {
		t.Fatal(err)
	}
	if p.PID() == first || p.Addr() != addr || len(l.Processes()) != 1 {
		t.Errorf("process %d at %s came after %d at %s", p.PID(), p.Addr(), first, addr)
	}
	l.Close()
	if p.Running() {
		t.Error("it outlived its lab")
	}
	if _, err := os.Stat(l.dir); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// TestWhatDoesNotStart says what it printed.
func TestWhatDoesNotStart(t *testing.T) {
	l := open(t)
	if _, err := l.Redis("db", "--no-such-setting", "1"); err == nil || !strings.Contains(err.Error(), "no-such-setting") {
		t.Errorf("%v", err)
	}
	if _, err := l.Start("nothing", "127.0.0.1:1", nil, "/nowhere/at/all"); err == nil || !strings.Contains(err.Error(), "starting nothing: ") {
		t.Errorf("%v", err)
	}
}

// TestLeftovers: the folder of a process that was killed goes with the next lab, that of one that runs stays.
func TestLeftovers(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(os.TempDir(), fmt.Sprintf("captop-lab-%d-1", gone.Process.Pid))
	live := filepath.Join(os.TempDir(), fmt.Sprintf("captop-lab-%d-1", os.Getpid()))
	for _, dir := range []string{old, live} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	open(t)
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the folder of a process that is gone: %v", err)
	}
	if _, err := os.Stat(live); err != nil {
		t.Errorf("the folder of a process that runs: %v", err)
	}
}
