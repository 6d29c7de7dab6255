package main

import (
	"context"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service/node/nodetest"
)

func TestDrillCommands(t *testing.T) {
	g1, g2, dir := nodetest.Start(t), nodetest.Start(t), t.TempDir()
	expect := func(wantCode int, want string, args ...string) string {
		t.Helper()
		args = append(append([]string{"drill"}, args...), "--dir", dir)
		code, out, problem := capture(t, args...)
		if code != wantCode || !strings.Contains(out+problem, want) {
			t.Fatalf("captop %q ended with %d, wanted %d and %q:\n%s%s", args, code, wantCode, want, out, problem)
		}
		return out
	}
	expect(1, "there is no backup of either node")
	if code, out, problem := capture(t, "backup", "take", "--dir", dir, "--g1", g1.URL(), "--g2", g2.URL()); code != 0 {
		t.Fatal(out, problem)
	}
	if out := expect(0, "drill restore: OK"); !strings.Contains(out, "(target 5 min") || !strings.Contains(out, "RTO ") {
		t.Errorf("it printed\n%s", out)
	}
	if out := expect(0, `"ok":true`, "--json"); strings.Count(out, "\n") != 1 {
		t.Errorf("it printed\n%s", out)
	}
	page := httptest.NewRecorder()
	newBackupMetrics(dir).handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	text, err := io.ReadAll(page.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`captop_drill_success{kind="restore"} 1`, `captop_drill_rto_seconds{kind="restore"} `,
		`captop_drill_rpo_seconds{kind="restore"} `, `captop_drill_last_timestamp_seconds{kind="restore"} 1.`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s among\n%s", want, text)
		}
	}
	standby := func(of *nodetest.Server) *nodetest.Server {
		host, port, err := net.SplitHostPort(of.Addr())
		if err != nil {
			t.Fatal(err)
		}
		s := nodetest.Start(t, "--replicaof", host, port, "--repl-diskless-sync-delay", "0", "--appendonly", "no")
		client := redis.NewClient(&redis.Options{Addr: s.Addr(), Protocol: 2})
		defer client.Close()
		for limit := time.Now().Add(time.Minute); time.Now().Before(limit); time.Sleep(20 * time.Millisecond) {
			if info, err := client.Info(context.Background(), "replication").Result(); err == nil && strings.Contains(info, "master_link_status:up") {
				return s
			}
		}
		t.Fatal("no link")
		return nil
	}
	failover := []string{"failover", "--g1", g1.URL(), "--g2", g2.URL()}
	expect(exitUsage, "give both standbys", failover...)
	failover = append(failover, "--standby-g1", standby(g1).URL(), "--standby-g2", standby(g2).URL())
	expect(0, "drill failover: OK", failover...)
	expect(exitUsage, "say --yes", append(failover, "--stay")...)
	expect(0, "drill failover: OK", append(failover, "--stay", "--yes")...)
	expect(1, "the standby pair is promoted", failover...)
	expect(0, "follow their primaries again", append(failover, "--back", "--yes")...)
	expect(1, "was not promoted", append(failover, "--back", "--yes")...)
}

// TestSchedules: what the timer and cron call is a command that captop knows, with flags that it knows.
func TestSchedules(t *testing.T) {
	calls := regexp.MustCompile(`(?:ExecStart=/usr/local/bin/| captop )captop (.*?)(?: >/dev/null)?\n`)
	found := 0
	for _, name := range []string{"deploy/systemd/captop-backup.service", "deploy/cron/captop"} {
		text, err := os.ReadFile(filepath.Join(root(t), name))
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range calls.FindAllStringSubmatch(string(text), -1) {
			found++
			command, rest, err := newRoot(streams{}).Find(strings.Fields(call[1]))
			if err == nil {
				err = command.ParseFlags(rest)
			}
			if err != nil || !command.Runnable() {
				t.Errorf("%s calls captop %s: %v", name, call[1], err)
			}
		}
	}
	if found != 3 {
		t.Errorf("%d calls were found, not 3", found)
	}
	cron, err := os.ReadFile(filepath.Join(root(t), "deploy/cron/captop"))
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`^([0-9*/,-]+ ){5}captop captop `)
	for text := range strings.Lines(string(cron)) {
		if c := text[0]; (c == '*' || c >= '0' && c <= '9') && !line.MatchString(text) {
			t.Errorf("this is no line of cron.d: %s", text)
		}
	}
}

// TestSystemdUnits has systemd itself read them.
func TestSystemdUnits(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"captop-backup.service", "captop-backup.timer"} {
		text, err := os.ReadFile(filepath.Join(root(t), "deploy/systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		// It wants the program to be there.
		text = []byte(strings.ReplaceAll(string(text), "/usr/local/bin/captop", "/bin/true"))
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", filepath.Join(dir, "captop-backup.service"), filepath.Join(dir, "captop-backup.timer")).CombinedOutput()
	if err != nil || strings.Contains(string(out), dir) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
