package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"captop/deploy/grafana"
	"captop/service"
	"captop/service/api"
	"captop/tui/tmuxtest"
)

// guide is what the README's part "In containers" has its reader type, in the order in which TestGuide types it.
func guide(t *testing.T) []string {
	t.Helper()
	return typedAfter(t, "README.md", "\n## In containers\n")
}

// typedAfter gives the commands of the next sh block of a file after a text.
func typedAfter(t *testing.T, name, mark string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), name))
	if err != nil {
		t.Fatal(err)
	}
	_, part, _ := strings.Cut(string(text), mark)
	_, block, _ := strings.Cut(part, "```sh\n")
	block, _, _ = strings.Cut(block, "```")
	var commands []string
	for line := range strings.Lines(block) {
		command, _, _ := strings.Cut(line, "  #")
		commands = append(commands, strings.TrimSpace(command))
	}
	if len(commands) == 0 {
		t.Fatalf("%s has lost its commands after %q", name, strings.TrimSpace(mark))
	}
	return commands
}

// reader goes through a guide. Each command has to be the next one of it.
type reader struct {
	*stack
	left []string
}

// next is the next command of the guide, which has to be this one.
func (r *reader) next(t *testing.T, command string) string {
	t.Helper()
	if len(r.left) == 0 || r.left[0] != command {
		t.Fatalf("the guide has %q next; this test would type %q", r.left, command)
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
	for _, client := range both {
		writeUntil(t, client, "compose", well)
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

	r.types(t, "docker-compose --profile monitoring up -d prometheus alertmanager ops")
	r.types(t, "docker-compose --profile backup up -d backup")
	r.sh(t, "docker-compose run --rm -T captop wait 'count(up) == 6' --timeout 60s")
	r.sh(t, "for i in $(seq 200); do docker ps --filter health=healthy | grep "+r.project+"_backup && exit; sleep 1; done; exit 1")
	r.monitored(t)

	r.sh(t, "docker-compose kill db_g2")
	screen.Wait("FIRING ", "db_g2 ") // its name is gone with it, so nobody can tell why it does not answer
	writeUntil(t, cp, "compose", func(err error) bool { return err != nil })
	writeUntil(t, ap, "compose", well)
	desk := r.terminal(t, "docker-compose run --rm operator")
	desk.Wait("db_g2 ", "A arm", "r restart") // a slow engine is asked behind the screen
	desk.Keys("A")
	desk.Wait("ARMED")
	desk.Keys("r")
	desk.Wait("restart db_g2?")
	desk.Keys("Enter")
	desk.Wait("DONE in")
	desk.Keys("Enter")
	writeUntil(t, cp, "compose", well)
	r.converged(t)
	screen.Wait("8/8 up")
	desk.Wait("8/8 up")
	desk.Keys("q")

	// The disk of db_g2 is lost: what was written before and after its backup comes back, from there and from db_g1.
	if _, err := ap.Write(t.Context(), "after the backup", []byte("1")); err != nil {
		t.Fatal(err)
	}
	r.sh(t, "docker-compose rm -fs db_g2 && docker volume rm "+r.project+"_db_g2 && docker-compose up --no-start db_g2 && docker-compose start db_g2")
	r.types(t, "docker-compose run --rm operator backup restore db_g2 --yes")
	r.converged(t)
	for _, key := range []string{"compose", "after the backup"} {
		if _, err := ap.Read(t.Context(), key, service.ReadOptions{Node: service.G2}); err != nil {
			t.Errorf("after the restore db_g2 has lost %q: %v", key, err)
		}
	}

	if out := r.types(t, "docker-compose run --rm operator drill"); !strings.Contains(out, "drill restore: OK") {
		t.Errorf("the drill says\n%s", out)
	}

	r.types(t, "docker-compose --profile dr up -d db_g1_standby db_g2_standby")
	r.linked(t)

	r.types(t, "deploy/airgap/build.sh 2")
	second := image(t, "2", "LABEL release=2") // or it would be the image that runs already: nothing has changed since
	under := startLoad(t, r.stack)
	r.types(t, "go run ./cmd/captop rollout "+second)
	if failed, asked := under.failures(); len(failed) > 0 || asked < 1000 {
		t.Errorf("%d of %d requests failed during a rollout, the first ones:\n%s", len(failed), asked, strings.Join(failed[:min(len(failed), 10)], "\n"))
	}
	for _, line := range r.images(t) {
		if !strings.Contains(line, " "+second+" running") {
			t.Errorf("after the rollout there is %s", line)
		}
	}

	r.types(t, "deploy/haproxy/testca.sh")
	r.types(t, "EDGE_TLS=on docker-compose up -d haproxy")
	r.speaksTLS(t)
	// One that still runs would be removed by its own docker-compose run and by this down, and the second of them fails.
	screen.Keys("q")
	r.sh(t, "for i in $(seq 300); do docker ps -aq --filter label=com.docker.compose.project="+r.project+" --filter label=com.docker.compose.oneoff=True | grep -q . || exit 0; sleep .1; done; exit 1")
	r.types(t, "docker-compose down --remove-orphans")
	if len(r.left) > 0 {
		t.Errorf("nobody has typed %q", r.left)
	}
}

// converged waits until both nodes are up, agree, and are believed.
func (s *stack) converged(t *testing.T) {
	t.Helper()
	s.sh(t, "docker-compose run --rm -T captop wait 'min(redis_up) == 1 and on () max(circuit_breaker_state) == 0 and on () max(rejoin_active) == 0' --timeout 120s")
}

// monitored asks Prometheus what it scrapes, and everything that the dashboard of Grafana asks it.
func (s *stack) monitored(t *testing.T) {
	t.Helper()
	for until := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Second) {
		targets := s.query(t, `count(up == 1)`)
		if targets == "8" { // six instances, HAProxy, the backups
			break
		}
		if time.Now().After(until) {
			t.Fatalf("Prometheus scrapes %q targets", targets)
		}
	}
	s.sh(t, `for i in $(seq 120); do
		docker ps -a --filter label=com.docker.compose.project=$COMPOSE_PROJECT_NAME --format '{{.Names}} {{.Status}}' | grep -E 'unhealthy|starting|Restarting|Exited' || exit 0
		sleep 1
	done
	exit 1`) // every container is well
	s.sh(t, "curl -fsS "+s.prometheus+"/api/v1/alertmanagers | grep -q 'http://alertmanager:9093/api/v2/alerts'")
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(grafana.Dashboard, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			// A rate takes two scrapes.
			for until := time.Now().Add(time.Minute); s.query(t, strings.ReplaceAll(target.Expr, "$job", "app_cp|app_ap")) == ""; time.Sleep(time.Second) {
				if time.Now().After(until) {
					t.Errorf("the panel %q has nothing to show for %s", panel.Title, target.Expr)
					break
				}
			}
		}
	}
}

// query asks the stack's Prometheus, and gives the value of the first sample, "" without any.
func (s *stack) query(t *testing.T, expr string) string {
	t.Helper()
	response, err := http.Get(s.prometheus + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct{ Value [2]any }
		}
	}
	_ = json.NewDecoder(response.Body).Decode(&answer) // HAProxy's own page while Prometheus starts
	if answer.Error != "" {
		t.Fatalf("%s: %s", expr, answer.Error)
	}
	if len(answer.Data.Result) == 0 {
		return ""
	}
	return fmt.Sprint(answer.Data.Result[0].Value[1])
}

// speaksTLS asks the edge as a client does who trusts the authority for tests.
func (s *stack) speaksTLS(t *testing.T) {
	t.Helper()
	authority, err := os.ReadFile(filepath.Join(s.certs, "ca", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
	asker := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	plain := strings.Replace(s.edge[service.ModeCP], "127.0.0.1", "localhost", 1)
	secure := strings.Replace(plain, "http:", "https:", 1)
	writeUntil(t, api.NewClient(secure, stackSecret(t, "token_write"), transport), "compose", well)

	response, err := asker.Get(plain + "/read/compose?node=db_g1")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if where := response.Header.Get("Location"); response.StatusCode != http.StatusPermanentRedirect || where != secure+"/read/compose?node=db_g1" {
		t.Errorf("plain HTTP is answered with %s to %q", response.Status, where)
	}
	request, err := http.NewRequest(http.MethodPost, secure+"/write/compose/tls", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+stackSecret(t, "token_write"))
	response, err = asker.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if cookie := response.Header.Get("Set-Cookie"); response.StatusCode != http.StatusOK || !strings.HasSuffix(cookie, "; Secure") ||
		response.Header.Get("Strict-Transport-Security") != "max-age=31536000" {
		t.Errorf("%s: the cookie is %q, HSTS %q", response.Status, cookie, response.Header.Get("Strict-Transport-Security"))
	}
	if _, err := http.Get(secure + "/health"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("who does not know the authority is told %v", err)
	}
	old := &tls.Config{RootCAs: trusted, MaxVersion: tls.VersionTLS11}
	if connection, err := tls.Dial("tcp", strings.TrimPrefix(secure, "https://"), old); err == nil {
		_ = connection.Close()
		t.Error("TLS 1.1 is spoken")
	}
}

// redisPassword is the one that deploy/secrets.sh has made.
func redisPassword(t *testing.T) string {
	return regexp.MustCompile(`requirepass (\S+)`).FindStringSubmatch(stackSecret(t, "redis.conf"))[1]
}

// spread waits until HAProxy sends to so many instances of a service that are well: one that has looked for a node before
// that was there leaves it alone for a moment, and refuses.
func (s *stack) spread(t *testing.T, mode service.Mode, want int) {
	t.Helper()
	client := api.NewClient(s.edge[mode], "", nil)
	seen := map[string]bool{}
	for deadline := time.Now().Add(2 * time.Minute); len(seen) < want; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("HAProxy sends to %d instances of app_%s that are well, not to %d", len(seen), mode, want)
		}
		if body, err := client.Health(t.Context()); err == nil && body.Status == api.StatusOK {
			seen[body.Instance] = true
		}
	}
}
