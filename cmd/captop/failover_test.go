package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"captop/service"
	"captop/service/api"
)

// failoverSteps is what the page failover has its reader type, in that order.
func failoverSteps(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "deploy", "runbooks", "failover.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, steps, _ := strings.Cut(string(text), "\n## Steps\n")
	steps, _, _ = strings.Cut(steps, "\nOnce a month")
	var commands []string
	for _, found := range regexp.MustCompile("`((?:captop|docker-compose|export|sed) [^`]+|DB_G[12]_STANDBY_OF=[^`]+)`").FindAllStringSubmatch(steps, -1) {
		commands = append(commands, strings.Join(strings.Fields(found[1]), " "))
	}
	return commands
}

// TestFailoverPage loses both nodes, one killed and one hanging, and does what the page failover says, command by command: what
// was acknowledged before is there again, on the standbys, and the old nodes stay away.
func TestFailoverPage(t *testing.T) {
	s := newStack(t, "captopfailover")
	for _, name := range []string{"db_g1_url", "db_g2_url", "captop.toml"} { // the page changes them
		s.keep(t, filepath.Join(root(t), "secrets", name))
	}
	s.sh(t, "docker-compose --profile dr up -d")
	clients := []*api.Client{s.client(t, service.ModeCP), s.client(t, service.ModeAP)}
	for _, client := range clients {
		writeUntil(t, client, "before", well)
	}
	s.converged(t)
	s.linked(t)
	s.sh(t, s.filled(t, "docker kill {db_g1} && docker kill -s STOP {db_g2}"))

	for _, step := range failoverSteps(t) {
		switch {
		case strings.HasPrefix(step, "captop stop db_g1"): // killed, so there is nothing to stop
			s.sh(t, "! "+inContainer(step))
		case strings.HasPrefix(step, "captop "):
			s.sh(t, inContainer(step))
		case strings.HasPrefix(step, "export "), strings.HasPrefix(step, "DB_"):
			name, value, _ := strings.Cut(strings.TrimPrefix(step, "export "), "=")
			s.environ = append(s.environ, name+"="+strings.TrimSpace(s.sh(t, "echo "+value)))
		case strings.HasSuffix(step, " info replication"):
			if out := s.sh(t, step); !strings.Contains(out, "master_link_down_since_seconds:") {
				t.Errorf("%s says\n%s", step, out)
			}
		default:
			s.sh(t, step)
		}
	}

	s.converged(t)
	for _, client := range clients {
		for _, node := range []string{service.G1, service.G2} {
			if _, err := client.Read(t.Context(), "before", service.ReadOptions{Node: node}); err != nil {
				t.Errorf("after the failover %s has lost what was acknowledged: %v", node, err)
			}
		}
		writeUntil(t, client, "after", well)
	}
	s.sh(t, s.filled(t, `test "$(docker inspect -f '{{.State.Running}}' {db_g1} {db_g2} | sort -u)" = false`))
	s.sh(t, "docker restart "+s.project+"_db_g1_standby_1 "+s.project+"_db_g2_standby_1") // they stay what they are now
	s.converged(t)
	for _, client := range clients {
		writeUntil(t, client, "after a restart", well)
	}
}

// inContainer is a command of captop as one gives it in the network, beside the engine.
func inContainer(command string) string {
	return strings.Replace(command, "captop ", "docker-compose run --rm -T operator ", 1)
}

// keep puts a file back when the test ends.
func (s *stack) keep(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(path, text, 0o444); err != nil {
			t.Error(err)
		}
	})
}

// linked waits until both standbys follow their primaries.
func (s *stack) linked(t *testing.T) {
	t.Helper()
	s.sh(t, `for n in 1 2; do
		for i in $(seq 100); do
			docker-compose exec -T db_g${n}_standby redis-cli --no-auth-warning -a `+redisPassword(t)+` info replication | grep master_link_status:up && continue 2
			sleep 1
		done
		exit 1
	done`)
}
