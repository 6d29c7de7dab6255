package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"captop/deploy/restore"
	"captop/service/node/nodetest"
	"captop/tui/backupview"
	"captop/tui/tmuxtest"
)

// TestBackupsFromTheScreen takes backups of the real demo from the screen, sees them verified in the list, and sees when
// one is broken.
func TestBackupsFromTheScreen(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "captop")
	if out, err := exec.Command("go", "build", "-o", binary, "captop/cmd/captop").CombinedOutput(); err != nil {
		t.Fatalf("building captop: %v\n%s", err, out)
	}
	s := tmuxtest.Start(t, 80, 24, t.TempDir(), "XDG_CONFIG_HOME=$PWD XDG_STATE_HOME=$PWD "+binary+" demo")
	s.Wait("All is well")
	s.Keys("6")
	s.Wait("■ NONE    db_g1", "■ NONE    db_g2", "no folder of backups yet", "backup take --dir")
	s.Keys("t")
	s.Wait("✓ DONE  back up db_g1 and db_g2", "● OK      db_g1", "● OK      db_g2", "✓ verified     db_g1", "✓ verified     db_g2")
	s.Keys("Escape")
	s.Gone("DONE")
	s.Keys("v")
	s.Wait("✓ DONE  verify db_g2-")
	s.Keys("Escape")
	s.Gone("DONE")
	s.Keys("R")
	s.Wait("Nothing is restored in the demo")
	found := regexp.MustCompile(`(?m)^file +(/\S+\.rdb)`).FindStringSubmatch(s.Text())
	if found == nil {
		t.Fatalf("the screen names no file:\n%s", s.Text())
	}
	if err := os.Truncate(found[1], 20); err != nil {
		t.Fatal(err)
	}
	s.Wait("✗ PROBLEM", "its dump has 20 bytes", "■ NONE    db_g2")
	s.Keys("q")
	s.Wait(tmuxtest.Prompt)
}

// TestVault takes and verifies on real nodes as the screen does, with progress that comes to the end.
func TestVault(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	v := newVault(context.Background(), settings{G1: g1.URL(), G2: g2.URL()}, filepath.Join(t.TempDir(), "backups"))
	if state, err := v.look(context.Background()); err != nil || state.Exists || len(state.Backups) > 0 {
		t.Fatalf("an absent folder is %+v, %v", state, err)
	}
	var last backupview.Progress
	steps := 0
	tell := func(p backupview.Progress) { last = p; steps++ }
	proof, err := v.take(context.Background(), tell)
	if err != nil || strings.Count(proof, "verified: ") != 2 {
		t.Fatalf("it proved %q, %v", proof, err)
	}
	if int64(steps) != last.Total || last.Done != last.Total-1 {
		t.Errorf("after %d steps the progress is %+v", steps, last)
	}
	state, err := v.look(context.Background())
	if err != nil || !state.Exists || len(state.Backups) != 2 || state.Backups[0].Verified == nil || state.Backups[0].SHA256 == "" {
		t.Fatalf("the screen sees %+v, %v", state, err)
	}
	steps = 0
	_, err = v.verify(state.Backups[0].File)(context.Background(), tell)
	if err != nil || int64(steps) != last.Total {
		t.Fatalf("verifying: %v, %d steps of %d", err, steps, last.Total)
	}
	g1.Kill()
	if proof, err = v.take(context.Background(), tell); err == nil || !strings.Contains(proof, "db_g2-") || !strings.Contains(err.Error(), "db_g1") {
		t.Errorf("db_g1 is away: %q, %v", proof, err)
	}
}

// TestUnfinished: what is left, and what can be taken back.
func TestUnfinished(t *testing.T) {
	began := time.Date(2026, 11, 23, 11, 40, 0, 0, time.UTC)
	record := func(kind restore.Kind, step restore.Step) *restore.Record {
		return &restore.Record{Kind: kind, Step: step, Began: began, Error: "no space left", Nodes: []*restore.Node{{Name: "db_g2"}}}
	}
	for _, one := range []struct {
		records         []*restore.Record
		left, broke, by string
	}{
		{nil, "", "", ""},
		{[]*restore.Record{record(restore.Restore, restore.Done)}, "", "", "the restore of db_g2"},
		{[]*restore.Record{record(restore.Restore, restore.Aborted)}, "", "", ""},
		{[]*restore.Record{record(restore.Undo, restore.Done), record(restore.Restore, restore.Undone)}, "", "", ""},
		{[]*restore.Record{record(restore.Restore, restore.Replace)}, `the restore of db_g2 from 2026-11-23 11:40:00 UTC is before the step "replace"`, "no space left", "the restore of db_g2"},
		{[]*restore.Record{record(restore.Undo, restore.Start), record(restore.Restore, restore.Done)}, `the undo of db_g2 from 2026-11-23 11:40:00 UTC is before the step "start"`, "no space left", ""},
	} {
		if left, broke, by := unfinished(one.records); left != one.left || broke != one.broke || by != one.by {
			t.Errorf("%q, %q and %q, wanted %q, %q and %q", left, broke, by, one.left, one.broke, one.by)
		}
	}
}
