package record

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDiskFull: a disk without room is said; what was written before stays whole; recording goes on when there is room
// again. It needs a small file system of its own; whoever may not mount one has TestFileLimit in its place.
func TestDiskFull(t *testing.T) {
	disk := t.TempDir()
	err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=200k")
	if errors.Is(err, syscall.EPERM) {
		TestFileLimit(t)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	}()
	ballast, dir := filepath.Join(disk, "ballast"), filepath.Join(disk, "captop")
	if err := os.WriteFile(ballast, make([]byte, 120_000), 0o600); err != nil {
		t.Fatal(err)
	}
	w := NewWriter(dir, DefaultLimits, header(1))
	second, problem := 0, ""
	step := func() {
		p := poll(1, second)
		if state := w.Record(p.At, p.Inputs); state.Problem != "" {
			problem = state.Problem
		}
		settle(t, w)
		second++
	}
	for limit := time.Now().Add(deadline); problem == "" && time.Now().Before(limit); {
		step()
	}
	if !strings.Contains(problem, "no space left on device") {
		t.Fatalf("after %d polls: %q", second, problem)
	}
	full := second
	for range 30 {
		step()
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		step()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	lost := int(w.state.Lost)
	got, damage := readAll(t, open(t, dir), time.Time{})
	if len(got) != second-lost || damage != nil || w.state.Problem != "" || lost < 20 {
		t.Errorf("%d polls are read of %d, %d were lost; damage %v, %+v", len(got), second, lost, damage, w.state)
	}
	same(t, got[:full-2], seconds(1, 0, full-2))
	same(t, got[len(got)-20:], seconds(1, second-20, second))
}
