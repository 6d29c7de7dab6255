package restore

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"captop/deploy/dbnode"
	"captop/deploy/stack"
	"captop/service"
)

// TestNoRoomForTheSafetyCopy: a node that runs is not stopped for a copy that cannot be made; where nobody could know
// before, nothing is replaced and nothing is left.
func TestNoRoomForTheSafetyCopy(t *testing.T) {
	l := newLocal(t, "yes")
	backups := filepath.Join(l.dir, "backups")
	if err := os.Mkdir(backups, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", backups).CombinedOutput(); err != nil {
		t.Fatalf("mounting a small disk (this test needs root): %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", backups).Run() })
	p := newPair(t, l)
	p.seed(20, "v")
	l.take(t, nodes...)
	l.growAOF(t, service.G2, 8<<20)

	r := l.restorer()
	if _, err := r.Prepare(t.Context(), Request{Node: service.G2}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "the safety copy: there is not enough room for 8.") {
		t.Errorf("it runs: %v", err)
	}
	l.kill(service.G2)
	plan, err := r.Prepare(t.Context(), Request{Node: service.G2})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context(), plan); !errors.Is(err, syscall.ENOSPC) || plan.Step != Aborted {
		t.Errorf("it is stopped: %v, at %s", err, plan.Step)
	}
	if left, err := filepath.Glob(filepath.Join(backups, "*"+safetyEnding+"*")); err != nil || len(left) != 0 {
		t.Errorf("it left %q, %v", left, err)
	}
	l.do(t, service.G2, stack.Start)
	p.settled()
	p.holds(20, "v")
}

// growAOF makes a node's AOF larger by so many bytes, and the node no fuller.
func (l local) growAOF(t *testing.T, name string, size int) {
	t.Helper()
	client, err := dbnode.Connect(l.url(name))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	random := make([]byte, 1<<16)
	_, _ = rand.Read(random)
	for range size / len(random) {
		if err := client.Set(t.Context(), "other", random, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Del(t.Context(), "other").Err(); err != nil {
		t.Fatal(err)
	}
}

// TestPruneSafety: the copy that an undo needs stays, and the undo works.
func TestPruneSafety(t *testing.T) {
	l := newLocal(t, "yes")
	p := newPair(t, l)
	p.seed(20, "v")
	l.take(t, service.G2)
	r := l.restorer()
	first := r.must(t, Request{Node: service.G2}).Nodes[0].Safety
	second := r.must(t, Request{Node: service.G2}).Nodes[0].Safety
	for i, want := range [][]string{nil, {first}, nil} {
		keep := []int{2, 1, 0}[i] // as always, the newest stays
		if removed, err := PruneSafety(r.Store, keep); err != nil || !slices.Equal(removed, want) {
			t.Errorf("keeping %d, it removed %q, %v; wanted %q", keep, removed, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(r.Store.Dir, second)); err != nil {
		t.Error(err)
	}
	if err := r.byName(t.Context(), "undo"); err != nil {
		t.Fatal(err)
	}
	p.settled()
	p.holds(20, "v")
	text, err := os.ReadFile(filepath.Join(r.Store.Dir, recordBeginning+strings.TrimSuffix(strings.TrimPrefix(first, service.G2+"-"), safetyEnding)+".json"))
	if err != nil || !bytes.Contains(text, []byte(first)) {
		t.Errorf("the record of the first restore: %v, %s", err, text)
	}
}

// TestSafetyCopyThatChanged: what an undo would bring back is what was kept, to the last byte, or the node stays as it is.
func TestSafetyCopyThatChanged(t *testing.T) {
	l, p := backedUp(t, 20, service.G2)
	r := l.restorer()
	path := filepath.Join(r.Store.Dir, r.must(t, Request{Node: service.G2}).Nodes[0].Safety)
	p.settled()
	plan, err := r.PrepareUndo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	flip(t, path)
	if err := r.Run(t.Context(), plan); !errors.Is(err, errChanged) {
		t.Fatalf("it took it: %v", err)
	}
	flip(t, path)
	if _, err := r.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.settled()
	p.holds(20, "new")
}

// flip changes one bit in the middle of a file; twice, and it is what it was.
func flip(t *testing.T, path string) {
	t.Helper()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole[len(whole)/2] ^= 1
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
}
