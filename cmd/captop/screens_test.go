package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	"captop/tui/tmuxtest"
)

// TestJourneyNodesAndKeys goes through the screens of the nodes and of the keys of the real demo, well and cut.
func TestJourneyNodesAndKeys(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "captop")
	if out, err := exec.Command("go", "build", "-o", binary, "captop/cmd/captop").CombinedOutput(); err != nil {
		t.Fatalf("building captop: %v\n%s", err, out)
	}
	s := tmuxtest.Start(t, 80, 24, t.TempDir(), "XDG_CONFIG_HOME=$PWD XDG_STATE_HOME=$PWD "+binary+" demo")
	s.Wait("All is well")
	s.Keys("w")
	s.Wait("write a key")
	s.Keys("journey", "Tab", "hello", "Enter")
	s.Wait("APPLIED")
	s.Keys("Escape")
	s.Gone("write a key")
	s.Keys("3")
	s.Wait("nothing stands out", "no limit (maxmemory 0)", "CLOSED", "looked ")
	s.Keys("Tab")
	s.Wait("commands that took more than 10 ms")
	s.Keys("Tab")
	s.Wait("last commands", "captop")
	s.Keys("Tab")
	s.Wait("the monitor is off")
	s.Keys("4")
	s.Wait("type a key")
	s.Keys("/")
	s.Wait("cancel")
	s.Keys("journey", "Enter")
	s.Wait("the first is exactly it", "12          ")
	s.Keys("Enter")
	s.Wait("CP ● same", "from db_g", "AP ● absent")
	s.Keys("s")
	s.Wait("● 0 different", "compares again")
	s.Keys("c")
	s.Wait("DONE", "cannot reach db_g2")
	s.Keys("Enter")
	s.Gone("DONE")
	s.Keys("3")
	s.Wait("the monitor is off")
	s.Keys("Tab")
	s.Wait("do not reach it", "captop does", "away", "OPEN", "to be carried to its peer")
	s.Keys("4")
	s.Wait("comparison")
	s.Keys("s")
	s.Wait("● 0 different", "under way", "db_g2 lacks the newest write")
	s.Keys("Enter")
	s.Wait("▲ in flight", "≠") // of AP, or a write that CP had to leave in the middle
	s.Keys("q")
	s.Wait(tmuxtest.Prompt)
}
