package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	"captop/tui/tmuxtest"
)

// TestJourneyDemo shows a room what a partition does: cut, write, heal, restart, quit, on the real demo.
func TestJourneyDemo(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "captop")
	if out, err := exec.Command("go", "build", "-o", binary, "captop/cmd/captop").CombinedOutput(); err != nil {
		t.Fatalf("building captop: %v\n%s", err, out)
	}
	s := tmuxtest.Start(t, 120, 40, t.TempDir(), "XDG_CONFIG_HOME=$PWD XDG_STATE_HOME=$PWD "+binary+" demo")
	s.Wait("All is well")
	s.Keys("c")
	s.Wait("DONE", "cannot reach db_g2")
	s.Keys("Enter")
	s.Wait("CRITICAL", "OPEN", "refuses")
	s.Keys("w")
	s.Wait("write a key")
	s.Keys("user:7", "Tab", "hello", "Enter")
	s.Wait("REFUSED, not applied")
	s.Keys("Escape")
	s.Gone("write a key")
	s.Keys("h")
	s.Wait("DONE", "db_g2 is running")
	s.Keys("Enter")
	s.Wait("CircuitBreakerChanged fires", "nothing else that is") // for five minutes; all else is well
	s.Keys("w")
	s.Wait("write a key")
	s.Keys("user:7", "Tab", "hello", "Enter")
	s.Wait("APPLIED", "db_g1 and db_g2")
	s.Keys("Escape")
	s.Keys("r")
	s.Wait("restart db_g2?", "enter does it")
	s.Keys("Enter")
	s.Wait("DONE in", "under a new run id", "have settled it")
	s.Keys("Enter")
	s.Wait("CircuitBreakerChanged fires", "nothing else that is") // for five minutes; all else is well
	s.Keys("q")
	s.Wait(tmuxtest.Prompt)
}
