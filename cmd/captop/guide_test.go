package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"captop/service"
	"captop/service/api"
	"captop/tui/tmuxtest"
)

// guide is what the README's part "In containers" has its reader type, in the order in which TestGuide types it.
func guide(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(root(t) + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, _ := strings.Cut(string(text), "\n## In containers\n")
	_, block, _ := strings.Cut(part, "```sh\n")
	block, _, _ = strings.Cut(block, "```")
	var commands []string
	for line := range strings.Lines(block) {
		command, _, _ := strings.Cut(line, "  #")
		commands = append(commands, strings.TrimSpace(command))
	}
	if len(commands) < 2 {
		t.Fatal("the README has lost its guide to containers")
	}
	return commands
}

// reader goes through the guide. Each command has to be the next one of the README.
type reader struct {
	*stack
	left []string
}

// next is the next command of the guide, which has to be this one.
func (r *reader) next(t *testing.T, command string) string {
	t.Helper()
	if len(r.left) == 0 || r.left[0] != command {
		t.Fatalf("the README has %q next; this test would type %q", r.left, command)
	}
	r.left = r.left[1:]
	return command
}

// types runs the next command of the guide.
func (r *reader) types(t *testing.T, command string) string {
	t.Helper()
	return r.sh(t, r.next(t, command))
}

// terminal runs the next command of the guide in a terminal.
func (r *reader) terminal(t *testing.T, command string) *tmuxtest.Screen {
	t.Helper()
	return tmuxtest.Start(t, 120, 40, root(t), "env "+strings.Join(r.environ, " ")+" "+r.next(t, command))
}

// TestGuide goes through the README's part about containers from top to bottom, as its reader would, on the Docker engine
// here.
func TestGuide(t *testing.T) {
	r := &reader{stack: newStack(t, "captopguide"), left: guide(t)}
	r.types(t, "deploy/secrets.sh")
	r.types(t, "docker-compose up -d")
	cp, ap := r.client(t, service.ModeCP), r.client(t, service.ModeAP)
	both := []*api.Client{cp, ap}
	well := func(err error) bool { return err == nil }
	for _, client := range both {
		writeUntil(t, client, well)
	}
	if _, err := api.NewClient(r.edge[service.ModeCP], "", nil).Write(t.Context(), "compose", []byte("v")); service.CodeOf(err) != service.CodeUnauthorized {
		t.Errorf("a write without a token: %v", err)
	}
	for _, id := range strings.Fields(r.sh(t, "docker-compose ps -q")) {
		locked(t, id)
	}

	r.types(t, "docker-compose up -d --scale app_cp=3 --scale app_ap=3")
	r.spread(t, service.ModeCP, 3)
	r.spread(t, service.ModeAP, 3)
	screen := r.terminal(t, "docker-compose run --rm captop")
	screen.Wait("All is well", "app_cp ×3", "app_ap ×3")

	r.types(t, "docker-compose --profile backup up -d backup")
	r.sh(t, "docker-compose run --rm -T captop wait 'count(up) == 6' --timeout 60s")
	r.sh(t, "for i in $(seq 100); do docker-compose logs backup | grep 'db_g2: verified' && exit; sleep 1; done; exit 1")

	r.sh(t, "docker-compose kill db_g2")
	screen.Wait("CircuitBreakerChanged", "db_g2 ") // its name is gone with it, so nobody can tell why it does not answer
	writeUntil(t, cp, func(err error) bool { return err != nil })
	writeUntil(t, ap, well)
	r.sh(t, "docker-compose start db_g2")
	writeUntil(t, cp, well)
	r.sh(t, "docker-compose run --rm -T captop wait 'min(redis_up) == 1 and on () max(circuit_breaker_state) == 0' --timeout 60s")
	screen.Wait("8/8 up")

	r.types(t, "docker-compose --profile dr up -d db_g1_standby db_g2_standby")
	r.sh(t, `for n in 1 2; do
		for i in $(seq 100); do
			docker-compose exec -T db_g${n}_standby redis-cli --no-auth-warning -a `+redisPassword(t)+` info replication | grep master_link_status:up && continue 2
			sleep 1
		done
		exit 1
	done`)

	r.types(t, "deploy/airgap/build.sh 2")
	under := startLoad(t, r.stack)
	r.types(t, "go run ./cmd/captop rollout captop/capd:2")
	if failed, asked := under.failures(); len(failed) > 0 || asked < 1000 {
		t.Errorf("%d of %d requests failed during a rollout, the first one: %s", len(failed), asked, failed[0])
	}
	if len(r.left) > 0 {
		t.Errorf("nobody has typed %q", r.left)
	}
}

// redisPassword is the one that deploy/secrets.sh has made.
func redisPassword(t *testing.T) string {
	return regexp.MustCompile(`requirepass (\S+)`).FindStringSubmatch(stackSecret(t, "redis.conf"))[1]
}

// spread waits until HAProxy sends to so many instances of a service.
func (s *stack) spread(t *testing.T, mode service.Mode, want int) {
	t.Helper()
	client := api.NewClient(s.edge[mode], "", nil)
	seen := map[string]bool{}
	for deadline := time.Now().Add(time.Minute); len(seen) < want; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("HAProxy sends to %d instances of app_%s, not to %d", len(seen), mode, want)
		}
		if body, err := client.Health(t.Context()); err == nil {
			seen[body.Instance] = true
		}
	}
}
