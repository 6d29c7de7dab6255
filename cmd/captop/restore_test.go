package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"captop/deploy/dbnode"
	"captop/service"
	"captop/service/api"
	"captop/service/node/nodetest"
	"captop/tui/tmuxtest"
)

// redisNodes are two real nodes, each with AOF, data of its own, and a port on the loopback interface.
type redisNodes struct {
	url  map[string]string
	stop func(node string)
}

// engine runs a docker command.
func engine(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %q: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// startRedisContainers has them in containers of a Compose project.
func startRedisContainers(t *testing.T) redisNodes {
	t.Helper()
	if os.Getenv("CAPTOP_NO_DOCKER") != "" {
		t.Skip("no Docker engine here: run_tests.sh has said so")
	}
	const image = "captop/test-restore:latest"
	// An image of this machine's redis-server and nothing else.
	line := `tar -C / -chf - $(ldd $(command -v redis-server) | grep -o '/[^ ]*' | sed 's|^/||') "$(command -v redis-server | sed 's|^/||')" | docker import - ` + image
	if out, err := exec.Command("bash", "-c", line).CombinedOutput(); err != nil {
		t.Fatalf("making an image: %v: %s", err, out)
	}
	server, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	project := fmt.Sprintf("captop-restore-%d", os.Getpid())
	n := redisNodes{url: map[string]string{}, stop: func(node string) { engine(t, "stop", project+"_"+node) }}
	for _, name := range []string{service.G1, service.G2} {
		container, address := project+"_"+name, nodetest.FreeAddr(t)
		engine(t, "run", "-d", "--name", container, "--label", "com.docker.compose.project="+project, "--label", "com.docker.compose.service="+name,
			"-v", container+":/data", "-p", address+":6379", image, server, "--dir", "/data", "--appendonly", "yes", "--requirepass", "secret")
		t.Cleanup(func() {
			_ = exec.Command("docker", "rm", "-f", "-v", container).Run()
			_ = exec.Command("docker", "volume", "rm", container).Run()
		})
		n.url[name] = "redis://:secret@" + address
	}
	return n
}

// startRedisProcesses has them as processes of this host.
func startRedisProcesses(t *testing.T) redisNodes {
	t.Helper()
	servers := map[string]*nodetest.Server{}
	n := redisNodes{url: map[string]string{}, stop: func(node string) { servers[node].Kill() }}
	for _, name := range []string{service.G1, service.G2} {
		server := nodetest.Start(t, "--requirepass", "secret")
		servers[name], n.url[name] = server, "redis://:secret@"+server.Addr()
		t.Cleanup(func() { // whom captop has started is no child of the test
			out, err := exec.Command("redis-cli", "-u", "redis://"+server.Addr(), "-a", "secret", "--no-auth-warning", "shutdown", "nosave").CombinedOutput()
			if err != nil || len(bytes.TrimSpace(out)) > 0 {
				t.Errorf("ending %s: %v: %s", name, err, out)
			}
		})
	}
	return n
}

// TestRestoreCommands: a backup of a node goes back into it, is taken back, and both nodes go back in time, by commands
// alone.
func TestRestoreCommands(t *testing.T) {
	for what, start := range map[string]func(*testing.T) redisNodes{"containers": startRedisContainers, "processes": startRedisProcesses} {
		t.Run(what, func(t *testing.T) { restoresByCommand(t, start(t)) })
	}
}

// serve runs both services on the nodes.
func (n redisNodes) serve(t *testing.T) served {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "capd")
	if out, err := exec.Command("go", "build", "-o", binary, "captop/cmd/capd").CombinedOutput(); err != nil {
		t.Fatalf("building capd: %v\n%s", err, out)
	}
	start := func(mode string) string { return startCapd(t, binary, mode, n.url[service.G1], n.url[service.G2]) }
	return served{cp: start("cp"), ap: start("ap")}
}

// served are the URLs of the two services.
type served struct{ cp, ap string }

// each does a thing with each service until it works.
func (s served) each(t *testing.T, what string, do func(c *api.Client) error) {
	t.Helper()
	for _, url := range []string{s.cp, s.ap} {
		// A session of its own each time: one that has written refuses to read what went back in time.
		c, err := api.NewClient(url, "", nil), error(nil)
		for limit := time.Now().Add(time.Minute); time.Now().Before(limit); time.Sleep(50 * time.Millisecond) {
			if err = do(c); err == nil {
				break
			}
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// writes sets the one key.
func (s served) writes(t *testing.T, value string) {
	t.Helper()
	s.each(t, "writing", func(c *api.Client) error { _, err := c.Write(t.Context(), "k", []byte(value)); return err })
}

// reads waits until the key has a value at both nodes.
func (s served) reads(t *testing.T, value string) {
	t.Helper()
	for _, at := range []string{service.G1, service.G2} {
		s.each(t, "reading at "+at, func(c *api.Client) error {
			got, err := c.Read(t.Context(), "k", service.ReadOptions{Node: at})
			if err == nil && got.Value.Value != value {
				err = fmt.Errorf("it is %q, wanted %q", got.Value.Value, value)
			}
			return err
		})
	}
}

// TestRestoreFromTheScreen: a backup goes back into a node that was lost, and is taken back, by keys alone.
func TestRestoreFromTheScreen(t *testing.T) {
	binary := captopBinary(t)
	for what, start := range map[string]func(*testing.T) redisNodes{"containers": startRedisContainers, "processes": startRedisProcesses} {
		t.Run(what, func(t *testing.T) {
			nodes := start(t)
			pair := nodes.serve(t)
			pair.writes(t, "old")
			pair.reads(t, "old")
			s := tmuxtest.Start(t, 120, 40, t.TempDir(), fmt.Sprintf("XDG_CONFIG_HOME=$PWD XDG_STATE_HOME=$PWD %s --cp %s --ap %s --g1 %s --g2 %s",
				binary, pair.cp, pair.ap, nodes.url[service.G1], nodes.url[service.G2]))
			s.Wait("All is well", "r restart") // who has not seen a process run does not know how to start it
			s.Keys("6")
			s.Wait("no folder of backups yet")
			s.Keys("A")
			s.Wait("ARMED")
			s.Keys("t")
			s.Wait("DONE  back up db_g1 and db_g2", "OK      db_g2")
			s.Keys("Escape")
			s.Gone("DONE")
			pair.writes(t, "new")
			nodes.stop(service.G2)
			s.Wait("3/4 up")
			s.Keys("R")
			s.Wait("restore db_g2?", "Type db_g2 to confirm")
			s.Keys("d", "b", "_", "g", "2", "Enter")
			s.Wait("DONE  restore db_g2", "db_g2 is settled and holds 2 keys")
			s.Keys("Escape")
			s.Gone("DONE")
			pair.reads(t, "new")
			s.Keys("u")
			s.Wait("undo db_g2?", "Type db_g2 to confirm")
			s.Keys("d", "b", "_", "g", "2", "Enter")
			s.Wait("DONE  undo db_g2")
			pair.reads(t, "new")
			s.Keys("q")
			s.Wait(tmuxtest.Prompt)
		})
	}
}

func restoresByCommand(t *testing.T, nodes redisNodes) {
	pair := nodes.serve(t)
	state := t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	expect := func(wantCode int, want string, args ...string) string {
		t.Helper()
		args = append([]string{"backup"}, args...)
		args = append(args, "--g1", nodes.url[service.G1], "--g2", nodes.url[service.G2])
		code, out, problem := capture(t, args...)
		if code != wantCode || !strings.Contains(out+problem, want) || strings.Contains(out+problem, "secret") {
			t.Fatalf("captop %q ended with %d, wanted %d and %q:\n%s%s", args, code, wantCode, want, out, problem)
		}
		return out
	}
	pair.writes(t, "old")
	pair.reads(t, "old")
	expect(0, "db_g2: verified", "take")
	pair.writes(t, "new")
	expect(exitUsage, "give the node", "restore")
	expect(exitUsage, "is no node", "restore", "db_g3")
	expect(1, "there is nothing to finish", "restore", "--resume")
	expect(exitUsage, "say --yes", "restore", "db_g2")
	plan := expect(0, "db_g2", "restore", "db_g2", "--dry-run")
	if !strings.Contains(plan, "the base of a new AOF") {
		t.Errorf("the plan is\n%s", plan)
	}
	expect(1, "there is no restore to take back", "undo", "--yes")
	nodes.stop(service.G2)
	expect(0, "done: restore of db_g2 in ", "restore", "db_g2", "--yes")
	pair.reads(t, "new")
	expect(0, "done: undo of db_g2 in ", "undo", "--yes")
	pair.reads(t, "new")
	expect(0, "done: restore of db_g1 and db_g2 in ", "restore", "--both", "--yes")
	pair.reads(t, "old")
	expect(0, "done: undo of db_g1 and db_g2 in ", "undo", "--yes")
	pair.reads(t, "new")
	text, err := os.ReadFile(filepath.Join(state, "captop", "journal.jsonl"))
	if err != nil || strings.Count(string(text), `"outcome":"done"`) != 4 {
		t.Errorf("the journal is %s, %v", text, err)
	}
	standing, err := dbnode.AskAt(t.Context(), nodes.url[service.G2])
	if err != nil {
		t.Fatal(err)
	}
	left := fmt.Sprintf(`{"format":1,"id":"99","kind":"undo","step":"start","nodes":[{"node":"db_g2","run_before":%q}]}`, standing.RunID)
	if err := os.WriteFile(filepath.Join(state, "captop", "backups", "restore-99.json"), []byte(left), 0o600); err != nil {
		t.Fatal(err)
	}
	said := expect(1, "The undo of db_g2 is not finished: captop backup restore --resume finishes it\n", "restore", "--resume", "--yes")
	if strings.Contains(said, "done:") {
		t.Errorf("it says %s", said)
	}
	expect(1, "captop backup restore --resume finishes it\n", "undo", "--yes")
}
