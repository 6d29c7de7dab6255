package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"captop/service"
)

// swarm is the stack of deploy/swarm on a swarm that this host alone is, or manages.
type swarm struct {
	*reader
	host string // its ID in the swarm
}

// inSwarm is how a test names things in the swarm; docker stack ls shows it while the test runs.
const inSwarm = "captopswarm"

// newSwarm makes the images, the swarm if there is none, and the label of its host. All of that is gone when the test ends, and
// what one that was killed has left is gone before.
func newSwarm(t *testing.T) *swarm {
	t.Helper()
	s := prepareStack(t, inSwarm)
	commands := append(typedAfter(t, "deploy/GUIDE.md", "\nOn several hosts"), typedAfter(t, "deploy/GUIDE.md", "\nA new version, of one service after the other")...)
	w := &swarm{reader: &reader{stack: s, left: commands}}
	w.join(t, w.next(t, "docker swarm init"))
	w.removeAll(t)
	zone := w.label(t, w.next(t, "docker node update --label-add zone=a HOST"))
	s.environ = append(s.environ, "SWARM_PREFIX="+inSwarm, "ZONE_G1="+zone, "ZONE_G2="+zone) // one host is in one zone
	return w
}

// join makes a swarm where there is none. One that is there stays.
func (w *swarm) join(t *testing.T, command string) {
	t.Helper()
	switch state := strings.TrimSpace(w.sh(t, "docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}'")); state {
	case "inactive false":
		bridged := exec.Command("docker", "network", "inspect", "docker_gwbridge").Run() == nil
		w.sh(t, command+" --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1")
		t.Cleanup(func() {
			w.sh(t, "docker swarm leave --force")
			if !bridged { // the engine leaves that behind
				w.sh(t, "for i in $(seq 30); do docker network rm docker_gwbridge && exit; sleep 1; done; exit 1")
			}
		})
	case "active true":
	default:
		t.Fatalf("the engine's swarm is %q: this test wants one that it may make, or whose manager this host is", state)
	}
	w.host = strings.TrimSpace(w.sh(t, "docker info --format '{{.Swarm.NodeID}}'"))
}

// label makes sure that the host has a zone, and gives it.
func (w *swarm) label(t *testing.T, command string) string {
	t.Helper()
	if zone := strings.TrimSpace(w.sh(t, `docker node inspect --format '{{index .Spec.Labels "zone"}}' `+w.host)); zone != "" {
		return zone
	}
	w.sh(t, strings.Replace(command, "HOST", w.host, 1))
	t.Cleanup(func() { w.sh(t, "docker node update --label-rm zone "+w.host) })
	return "a"
}

// types runs the next command of the guide, with the names of this test.
func (w *swarm) types(t *testing.T, command string) string {
	t.Helper()
	return w.sh(t, strings.Replace(w.next(t, command), " captop", " "+inSwarm, 1))
}

// removeAll removes what the test has in the swarm and on this host; where that is nothing it does nothing.
func (w *swarm) removeAll(t *testing.T) {
	t.Helper()
	w.sh(t, `docker stack rm $COMPOSE_PROJECT_NAME
		left() {
			docker ps -aq --filter label=com.docker.stack.namespace=$COMPOSE_PROJECT_NAME
			docker network ls -q --filter label=com.docker.stack.namespace=$COMPOSE_PROJECT_NAME
		}
		for i in $(seq 180); do
			[ -n "$(left)" ] || break
			sleep 1
		done
		docker secret ls -q --filter name=${COMPOSE_PROJECT_NAME}_ | xargs -r docker secret rm
		docker volume ls -q --filter name=${COMPOSE_PROJECT_NAME}_ | xargs -r docker volume rm
		[ -z "$(left)" ]`)
}

// ready waits until every service of the stack has its replicas.
func (w *swarm) ready(t *testing.T, command string) {
	t.Helper()
	command = strings.Replace(command, " captop", " --format '{{.Name}} {{.Replicas}}' "+inSwarm, 1)
	for deadline := time.Now().Add(4 * time.Minute); ; time.Sleep(500 * time.Millisecond) {
		missing := slices.DeleteFunc(strings.Split(strings.TrimSpace(w.sh(t, command)), "\n"), func(line string) bool {
			running, wanted, found := strings.Cut(line[strings.LastIndex(line, " ")+1:], "/")
			return found && running == wanted && running != "0"
		})
		if len(missing) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("these lack replicas:\n%s", strings.Join(missing, "\n"))
		}
	}
}

// keeps writes through a service, and reads that from both nodes.
func (w *swarm) keeps(t *testing.T, mode service.Mode) {
	t.Helper()
	client := w.client(t, mode)
	writeUntil(t, client, "compose", well)
	for _, node := range []string{service.G1, service.G2} {
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
			read, err := client.Read(t.Context(), "compose", service.ReadOptions{Node: node})
			if err == nil && read.Value.Value == "v" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("app_%s wrote v; from %s it reads %q, %v", mode, node, read.Value.Value, err)
			}
		}
	}
}

// updated waits until the update of a service has ended well, with every instance on the image.
func (w *swarm) updated(t *testing.T, name, image string) {
	t.Helper()
	state := "docker service inspect --format '{{.UpdateStatus.State}}' " + inSwarm + "_" + name
	for deadline := time.Now().Add(4 * time.Minute); strings.TrimSpace(w.sh(t, state)) != "completed"; time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			t.Fatalf("the update of %s is %s%s", name, w.sh(t, state), w.sh(t, "docker service ps --no-trunc "+inSwarm+"_"+name))
		}
	}
	running := strings.Fields(w.sh(t, "docker service ps --filter desired-state=running --format '{{.Image}}' "+inSwarm+"_"+name))
	if !slices.Equal(running, []string{image, image, image}) {
		t.Errorf("after the update of %s to %s the images are %q", name, image, running)
	}
}

// examined goes through checks of captop doctor: of one host nothing is apart, and what Swarm mounts is seen by root.
func (w *swarm) examined(t *testing.T) {
	t.Helper()
	w.next(t, "captop doctor zones --project captop")
	code, out, _ := capture(t, "doctor", "zones", "--project", inSwarm)
	for _, want := range []string{"FAIL  zones ", "seen  db_g1 and db_g2 both run on ", "seen  of app_cp 3 instances run, all in the zone ", "docker stack deploy -c deploy/swarm/stack.yml " + inSwarm} {
		if code != int(exitFails) || !strings.Contains(out, want) {
			t.Errorf("exit %d, without %q:\n%s", code, want, out)
		}
	}
	wanted := 0
	if os.Geteuid() != 0 {
		wanted = int(exitCannotTell)
	}
	if code, out, problem := capture(t, "doctor", "secret-key", "secret-files", "retries", "--project", inSwarm); code != wanted {
		t.Errorf("exit %d, wanted %d\n%s%s", code, wanted, out, problem)
	}
}

// tells says how things stood, if the test has failed.
func (w *swarm) tells(t *testing.T) {
	t.Helper()
	if t.Failed() {
		t.Log(w.sh(t, `docker stack ps --no-trunc $COMPOSE_PROJECT_NAME
			docker stack services -q $COMPOSE_PROJECT_NAME | xargs -n 1 -r docker service logs --tail 15`))
	}
}

// TestSwarm goes through the guide's part about several hosts, on a swarm of one.
func TestSwarm(t *testing.T) {
	w := newSwarm(t)
	second := image(t, "swarm2", "LABEL release=swarm2") // before what runs on it, so that it goes after that
	t.Cleanup(func() { w.tells(t); w.removeAll(t) })
	w.sh(t, "deploy/haproxy/testca.sh")
	w.types(t, "deploy/secrets.sh")
	w.types(t, "deploy/swarm/secrets.sh")
	w.types(t, "docker stack deploy -c deploy/swarm/stack.yml captop")
	w.ready(t, w.next(t, "docker stack services captop"))
	modes := []service.Mode{service.ModeCP, service.ModeAP}
	for _, mode := range modes {
		w.keeps(t, mode)
		w.spread(t, mode, 3)
	}
	w.examined(t)

	under := startLoad(t, w.stack)
	w.sh(t, strings.NewReplacer("IMAGE", second, "captop_app_cp", inSwarm+"_app_cp").Replace(w.next(t, "docker service update --image IMAGE captop_app_cp")))
	w.updated(t, "app_cp", second)
	failed, asked := under.failures()
	if len(failed) > 0 || asked < 100 {
		t.Errorf("%d of %d requests failed during the update, the first ones:\n%s", len(failed), asked, strings.Join(failed[:min(len(failed), 10)], "\n"))
	}
	t.Logf("%d requests during an update", asked)
	for _, mode := range modes {
		w.keeps(t, mode)
	}
	if len(w.left) > 0 {
		t.Errorf("nobody has typed %q", w.left)
	}
}
