package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"captop/service/node/nodetest"
)

func TestBackupCommands(t *testing.T) {
	g1, g2, dir := nodetest.Start(t), nodetest.Start(t), t.TempDir()
	nodes := []string{"--dir", dir, "--g1", g1.URL(), "--g2", g2.URL()}
	expect := func(wantCode int, want string, args ...string) string {
		t.Helper()
		code, out, problem := capture(t, append([]string{"backup"}, args...)...)
		if code != wantCode || !strings.Contains(out+problem, want) {
			t.Fatalf("captop backup %q ended with %d, wanted %d and %q:\n%s%s", args, code, wantCode, want, out, problem)
		}
		return out
	}
	expect(0, "there are no backups", "list", "--dir", dir)
	expect(1, "db_g2 has no verified backup", "list", "--within", "10m", "--dir", dir)
	expect(exitUsage, "there is no backup yet", "verify", "--dir", dir)
	out := expect(0, "db_g2: verified: db_g2-", append([]string{"take"}, nodes...)...)
	if !strings.Contains(out, "db_g1: verified: db_g1-") || !strings.Contains(out, "loading it into a scratch redis-server") {
		t.Errorf("it printed %s", out)
	}
	expect(0, "db_g2: verified", append([]string{"take", "db_g2"}, nodes...)...)
	if list := expect(0, "verified 20", "list", "--dir", dir); strings.Count(list, "\n") != 3 || !strings.HasPrefix(list, "db_g2-") {
		t.Errorf("the list is\n%s", list)
	}
	expect(0, `"sha256":"`, "list", "--json", "--dir", dir)
	expect(0, "verified 20", "list", "--within", "10m", "--dir", dir)
	expect(1, "the newest verified backup of db_g1 is ", "list", "--within", "1ns", "--dir", dir)
	expect(exitUsage, "give 0 or more", "list", "--within", "-1m", "--dir", dir)
	expect(0, "db_g1-", "verify", "--dir", dir)
	expect(exitUsage, "there is no such backup", "verify", "db_g9.rdb", "--dir", dir)
	expect(exitUsage, "give 1 or more", "prune", "--dir", dir)
	expect(0, "removed db_g2-", "prune", "--keep", "1", "--dir", dir)
	if list := expect(0, "", "list", "--dir", dir); strings.Count(list, "\n") != 2 {
		t.Errorf("after pruning\n%s", list)
	}
	expect(exitUsage, `"db_g3" is no node`, append([]string{"take", "db_g3"}, nodes...)...)
	expect(exitUsage, "give 10s or more", append([]string{"take", "--every", "1s"}, nodes...)...)
	expect(exitUsage, "--listen goes with --every", append([]string{"take", "--listen", ":0"}, nodes...)...)
	g1.Kill()
	if out := expect(1, "connection refused", append([]string{"take"}, nodes...)...); !strings.Contains(out, "db_g2: verified") {
		t.Errorf("db_g1 is away, and db_g2 got no backup:\n%s", out)
	}
	dumps, err := filepath.Glob(filepath.Join(dir, "db_g2-*.rdb"))
	if err != nil || len(dumps) == 0 {
		t.Fatal(dumps, err)
	}
	if err := os.Truncate(dumps[0], 20); err != nil {
		t.Fatal(err)
	}
	expect(0, "PROBLEM: its dump has 20 bytes", "list", "--dir", dir)
	expect(1, "not a whole Redis dump", "verify", filepath.Base(dumps[0]), "--dir", dir)
}

// lockedBuffer may be read while it is written.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// TestBackupEvery: the schedule exports 0 before its first backup, the time of it afterwards, and failures.
func TestBackupEvery(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	g1.Kill()
	ctx, cancel := context.WithCancel(t.Context())
	var out lockedBuffer
	ended := make(chan error)
	go func() {
		ended <- run(ctx, []string{"backup", "take", "--every", "10s", "--listen", "127.0.0.1:0", "--dir", t.TempDir(), "--g1", g1.URL(), "--g2", g2.URL()},
			streams{in: strings.NewReader(""), out: &out, err: &out})
	}()
	address := regexp.MustCompile(`http://\S+/metrics`)
	var page string
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if found := address.FindString(out.String()); found != "" {
			response, err := http.Get(found)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			page = string(body)
		}
		if strings.Contains(page, `captop_backup_last_verified_timestamp_seconds{node="db_g1"} 0`) &&
			strings.Contains(page, `captop_backup_last_verified_timestamp_seconds{node="db_g2"} 1.`) &&
			strings.Contains(page, `captop_backup_failures_total{node="db_g1"} 1`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it exports\n%s\nand says\n%s", page, out.String())
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
