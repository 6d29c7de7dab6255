package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/deploy/scratch"
	"captop/service/node/nodetest"
)

// killedPart makes the test binary take a backup of the node at this URL, to be killed over it.
const killedPart = "CAPTOP_BACKUP_OF"

func TestMain(m *testing.M) {
	if url := os.Getenv(killedPart); url != "" {
		s := Store{Dir: os.Args[1], Now: time.Now}
		_, err := s.Take(context.Background(), "db_g2", url, func(step string) { fmt.Println(step) })
		fmt.Println("ended:", err)
		return
	}
	os.Exit(m.Run())
}

func quiet(string) {}

// filled is a server with n keys of size bytes, a tenth of which expire some day.
func filled(t *testing.T, n, size int) *nodetest.Server {
	t.Helper()
	server := nodetest.Start(t)
	client := connect(t, server)
	pipe := client.Pipeline()
	for i := range n {
		ttl := time.Duration(0)
		if i%10 == 0 {
			ttl = time.Hour
		}
		// Redis compresses what repeats: these do not.
		pipe.Set(t.Context(), fmt.Sprintf("key:%d", i), unlike(i, size), ttl)
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	return server
}

func unlike(seed, size int) []byte {
	p := make([]byte, size)
	x := uint32(seed)*2654435761 + 1
	for i := range p {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		p[i] = byte(x)
	}
	return p
}

func connect(t *testing.T, server *nodetest.Server) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), Protocol: 2})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, file := range files {
		if file.Name() != ".lock" {
			all = append(all, file.Name())
		}
	}
	return all
}

func TestTakesWhatRedisHolds(t *testing.T) {
	server := filled(t, 500, 100)
	s := Store{Dir: filepath.Join(t.TempDir(), "backups"), Now: time.Now}
	var steps []string
	m, err := s.Take(t.Context(), "db_g2", server.URL(), func(step string) { steps = append(steps, step) })
	if err != nil {
		t.Fatal(err)
	}
	if m.Verified == nil || m.Verified.Keys != 500 || m.Content.Keys != 500 || m.Content.Expiring != 50 || m.RunID == "" {
		t.Errorf("%+v", m)
	}
	if len(steps) != 5 {
		t.Errorf("the steps were %q", steps)
	}
	if got := names(t, s.Dir); len(got) != 2 || got[0] != m.File || got[1] != m.File+".json" {
		t.Errorf("the folder holds %q", got)
	}
	entries, err := s.List()
	if err != nil || len(entries) != 1 || entries[0].Problem != "" || entries[0].SHA256 != m.SHA256 || entries[0].Verified == nil {
		t.Errorf("%+v, %v", entries, err)
	}
}

func TestVerifyNoticesDamage(t *testing.T) {
	server := filled(t, 200, 100)
	s := Store{Dir: t.TempDir(), Now: time.Now}
	m, err := s.Take(t.Context(), "db_g1", server.URL(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.Dir, m.File)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := filled(t, 200, 100)
	m2, err := s.Take(t.Context(), "db_g2", other.URL(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(filepath.Join(s.Dir, m2.File))
	if err != nil {
		t.Fatal(err)
	}
	turned := bytes.Clone(whole)
	turned[len(turned)/2] ^= 1
	for name, content := range map[string][]byte{"a bit turned": turned, "cut": whole[:len(whole)-1], "another's": foreign, "empty": {}} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if bad, err := s.Verify(t.Context(), m, quiet); err == nil || bad.Verified != nil {
			t.Errorf("%s: it counts as verified: %v", name, err)
		}
	}
	if err := os.WriteFile(path, whole[:len(whole)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	entries, err := s.List()
	if err != nil || entries[1].Problem == "" || entries[1].Verified != nil || entries[0].Problem != "" {
		t.Errorf("%+v, %v", entries, err)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if good, err := s.Verify(t.Context(), m, quiet); err != nil || good.Verified == nil {
		t.Errorf("whole again: %v", err)
	}
}

// TestProofStays: where there is nothing to load it with, an earlier proof is still one.
func TestProofStays(t *testing.T) {
	server := filled(t, 10, 10)
	s := Store{Dir: t.TempDir(), Now: time.Now}
	m, err := s.Take(t.Context(), "db_g1", server.URL(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", t.TempDir())
	if m, err = s.Verify(t.Context(), m, quiet); !errors.Is(err, scratch.ErrNoServer) || m.Verified == nil {
		t.Errorf("%v, %+v", err, m.Verified)
	}
	if entries, err := s.List(); err != nil || entries[0].Verified == nil {
		t.Errorf("%v, %+v", err, entries)
	}
	if m, err = s.Take(t.Context(), "db_g1", server.URL(), quiet); !errors.Is(err, scratch.ErrNoServer) || m.Verified != nil {
		t.Errorf("a new one: %v, %+v", err, m.Verified)
	}
}

// TestRefusedLeavesNothing: what cannot be done says why, and leaves no file.
func TestRefusedLeavesNothing(t *testing.T) {
	server := filled(t, 10, 10)
	if err := connect(t, server).ConfigSet(t.Context(), "requirepass", "secret").Err(); err != nil {
		t.Fatal(err)
	}
	away := nodetest.Start(t)
	away.Kill()
	for name, c := range map[string]struct{ url, want string }{
		"no password":    {"redis://" + server.Addr(), "NOAUTH"},
		"wrong password": {"redis://:wrong@" + server.Addr(), "WRONGPASS"},
		"node away":      {away.URL(), "refused"},
		"no URL":         {"redis://:secret@%%", "invalid URL escape"},
	} {
		s := Store{Dir: t.TempDir(), Now: time.Now}
		_, err := s.Take(t.Context(), "db_g2", c.url, quiet)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: %v", name, err)
		}
		if left := names(t, s.Dir); len(left) != 0 {
			t.Errorf("%s: it left %q", name, left)
		}
	}
	s := Store{Dir: t.TempDir(), Now: time.Now}
	if m, err := s.Take(t.Context(), "db_g2", "redis://:secret@"+server.Addr(), quiet); err != nil || m.Verified == nil {
		t.Errorf("with the password: %v", err)
	}
}

// TestFullDisk: a folder without room is said before it is filled.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Fatalf("mounting a small disk (this test needs root): %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", dir).Run() })
	server := filled(t, 300, 10000)
	s := Store{Dir: dir, Now: time.Now}
	if _, err := s.Take(t.Context(), "db_g2", server.URL(), quiet); !errors.Is(err, ErrNoSpace) {
		t.Errorf("%v", err)
	}
	if left := names(t, dir); len(left) != 0 {
		t.Errorf("it left %q", left)
	}
}

// TestKilledMidBackup: whatever moment a backup is killed at, the folder holds no backup that is not one, and the next
// one cleans up.
func TestKilledMidBackup(t *testing.T) {
	server := filled(t, 2000, 2000)
	s := Store{Dir: t.TempDir(), Now: time.Now}
	for _, at := range []string{"asking", "fetching", "reading", "comparing", "loading"} {
		child := exec.Command(os.Args[0], s.Dir)
		child.Env = append(os.Environ(), killedPart+"="+server.URL())
		out, err := child.StdoutPipe()
		if err == nil {
			err = child.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		buffer := make([]byte, 4096)
		for !strings.Contains(said.String(), at) {
			n, err := out.Read(buffer)
			if err != nil {
				t.Fatalf("it ended before %q: %s", at, said.String())
			}
			said.Write(buffer[:n])
		}
		_ = child.Process.Kill()
		_ = child.Wait()
		entries, err := s.List()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Problem == "" {
				if _, hash, err := inspect(filepath.Join(s.Dir, e.File)); err != nil || hash != e.SHA256 {
					t.Errorf("killed at %s: %s is no backup: %v", at, e.File, err)
				}
			}
		}
	}
	if _, err := s.Take(t.Context(), "db_g2", server.URL(), quiet); err != nil {
		t.Fatal(err)
	}
	for _, name := range names(t, s.Dir) {
		if strings.HasSuffix(name, partialEnding) {
			t.Errorf("%s is left", name)
		}
	}
}

func TestOneAtATime(t *testing.T) {
	server := filled(t, 10, 10)
	s := Store{Dir: t.TempDir(), Now: time.Now}
	_, err := s.Take(t.Context(), "db_g2", server.URL(), func(step string) {
		if _, err := s.Prune(1); !errors.Is(err, ErrBusy) {
			t.Errorf("pruning while %s: %v", step, err)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// TestCancelled: an operator who stops it gets the reason and no files.
func TestCancelled(t *testing.T) {
	server := filled(t, 100, 1000)
	s := Store{Dir: t.TempDir(), Now: time.Now}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Take(ctx, "db_g2", server.URL(), func(step string) {
		if strings.HasPrefix(step, "fetching") {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	for _, name := range names(t, s.Dir) {
		if strings.HasSuffix(name, partialEnding) {
			t.Errorf("%s is left", name)
		}
	}
}

func TestPruneKeepsTheNewestVerified(t *testing.T) {
	server := filled(t, 10, 10)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := Store{Dir: t.TempDir(), Now: func() time.Time { now = now.Add(time.Second); return now }}
	var files []string
	for range 4 {
		m, err := s.Take(t.Context(), "db_g2", server.URL(), quiet)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, m.File)
	}
	// The newest is not verified, and the one before has lost its dump.
	entries, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	newest := entries[0].Manifest
	newest.Verified = nil
	if err := errors.Join(s.write(newest), os.Remove(filepath.Join(s.Dir, files[2]))); err != nil {
		t.Fatal(err)
	}
	removed, err := s.Prune(1)
	if err != nil || len(removed) != 1 || removed[0] != files[0] {
		t.Errorf("it removed %q, %v; wanted %s alone", removed, err, files[0])
	}
	if removed, err = s.Prune(0); err != nil || len(removed) != 0 {
		t.Errorf("then %q, %v; the last verified one must stay", removed, err)
	}
}
