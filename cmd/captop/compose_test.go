package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"captop/service"
	"captop/service/api"
	"captop/service/node/nodetest"
)

// withoutDocker says that this machine has no engine; run_tests.sh sets it, and says so where everybody sees it.
const withoutDocker = "CAPTOP_NO_DOCKER"

// airgapImages builds every image of the compose file without a registry, once for all tests, and gives the variables
// that name them.
var airgapImages = sync.OnceValues(func() ([]string, error) {
	build := exec.Command("../../deploy/airgap/build.sh", "test")
	build.Stderr = os.Stderr
	output, err := build.Output()
	if err != nil {
		return nil, fmt.Errorf("building the images (a Docker engine is needed; without one set %s=1): %w", withoutDocker, err)
	}
	return strings.Fields(string(output)), nil
})

// stack is a Compose project or a stack of Swarm, of the project's own file, with images, ports and a name of its test's own.
type stack struct {
	project string
	environ []string
	edge    map[service.Mode]string // where HAProxy is published

	prometheus string // its URL, with the profile monitoring
	certs      string // the folder of certificates
}

// newStack makes the images and the secrets, and starts nothing. What is started with Compose is gone when the test ends.
func newStack(t *testing.T, project string) *stack {
	t.Helper()
	s := prepareStack(t, project)
	t.Cleanup(func() {
		s.sh(t, "docker-compose --profile monitoring --profile dr --profile backup --profile logging --profile tools down -v --remove-orphans -t 1")
	})
	return s
}

// prepareStack makes the images and the secrets.
func prepareStack(t *testing.T, project string) *stack {
	t.Helper()
	if os.Getenv(withoutDocker) != "" {
		t.Skip("no Docker engine here: run_tests.sh has said so")
	}
	images, err := airgapImages()
	if err != nil {
		t.Fatal(err)
	}
	s := &stack{project: project, edge: map[service.Mode]string{}}
	s.environ = append(slices.Clone(images), "COMPOSE_PROJECT_NAME="+project)
	for mode, variable := range map[service.Mode]string{service.ModeCP: "CP_PORT", service.ModeAP: "AP_PORT"} {
		port := nodetest.FreePort(t)
		s.environ = append(s.environ, variable+"="+port)
		s.edge[mode] = "http://127.0.0.1:" + port
	}
	port := nodetest.FreePort(t)
	s.prometheus, s.certs = "http://127.0.0.1:"+port, t.TempDir()
	s.environ = append(s.environ, "PROMETHEUS_PORT="+port, "ALERTMANAGER_PORT="+nodetest.FreePort(t), "GRAFANA_PORT="+nodetest.FreePort(t), "CERTS_DIR="+s.certs, engineGroup(t))
	s.sh(t, "deploy/secrets.sh")
	return s
}

// engineGroup is the variable that lets the service operator use the engine's socket.
func engineGroup(t *testing.T) string {
	t.Helper()
	group, err := exec.Command("stat", "-c", "DOCKER_GID=%g", "/var/run/docker.sock").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(group))
}

// sh runs a line of shell at the root of the project, as somebody types it who has put the variables into .env.
func (s *stack) sh(t *testing.T, line string) string {
	t.Helper()
	command := exec.Command("bash", "-c", line)
	command.Dir, command.Env = root(t), append(os.Environ(), s.environ...)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, output)
	}
	return string(output)
}

// stackSecret reads what deploy/secrets.sh has made.
func stackSecret(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "secrets", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// client speaks to a service through HAProxy.
func (s *stack) client(t *testing.T, mode service.Mode) *api.Client {
	return api.NewClient(s.edge[mode], stackSecret(t, "token_write"), nil)
}

// locked looks at what a container may do.
func locked(t *testing.T, id string) {
	t.Helper()
	var all []struct {
		Name   string
		Config struct {
			User string
			Env  []string
		}
		HostConfig struct {
			ReadonlyRootfs              bool
			CapDrop                     []string
			Memory, NanoCpus, PidsLimit int64
			LogConfig                   struct{ Config map[string]string }
			PortBindings                map[string][]struct{ HostIp string }
			RestartPolicy               struct{ Name string }
		}
	}
	output, err := exec.Command("docker", "inspect", id).Output()
	if err == nil {
		err = json.Unmarshal(output, &all)
	}
	if err != nil || len(all) != 1 {
		t.Fatalf("inspecting %.12s: %v", id, err)
	}
	c, h := all[0], all[0].HostConfig
	if user, _, _ := strings.Cut(c.Config.User, ":"); user == "" || user == "0" || user == "root" {
		t.Errorf("%s runs as root", c.Name)
	}
	if !h.ReadonlyRootfs || !slices.Equal(h.CapDrop, []string{"ALL"}) || h.Memory == 0 || h.NanoCpus == 0 || h.PidsLimit == 0 {
		t.Errorf("%s: %+v; wanted a read-only root, no capabilities, and limits", c.Name, h)
	}
	if h.LogConfig.Config["max-size"] != "10m" || h.LogConfig.Config["max-file"] != "3" {
		t.Errorf("the log of %s grows: %v", c.Name, h.LogConfig.Config)
	}
	for port, bindings := range h.PortBindings {
		for _, binding := range bindings {
			if !strings.Contains(c.Name, "haproxy") && !strings.Contains(c.Name, "_ops_") || binding.HostIp != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q", c.Name, port, binding.HostIp)
			}
		}
	}
	for _, name := range []string{"redis.conf", "secret_key", "token_write"} {
		text := stackSecret(t, name)
		if name == "redis.conf" {
			text = strings.Fields(text)[1]
		}
		if strings.Contains(string(output), text) {
			t.Errorf("whoever may inspect %s reads the secret of %s", c.Name, name)
		}
	}
}

// writeUntil writes until the answer is as wanted.
func writeUntil(t *testing.T, client *api.Client, key string, wanted func(error) bool) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, err = client.Write(ctx, key, []byte("v"))
		if err == nil {
			_, err = client.Read(ctx, key, service.ReadOptions{})
		}
		cancel()
		if wanted(err) {
			return
		}
	}
	t.Fatalf("the last answer to a write was %v", err)
}

// well says of an answer that it was none of the refusals.
func well(err error) bool { return err == nil }

// TestReadmeCommands runs every command of the README's sh blocks, each as its row says; a command without a row fails.
func TestReadmeCommands(t *testing.T) {
	file, err := os.Open(root(t) + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows := readmeRows(t)
	seen, inside := 0, false
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		line := strings.TrimSpace(scanner.Text())
		if strings.HasPrefix(line, "```") {
			inside = line == "```sh"
			continue
		}
		if !inside || line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		command, _, _ := strings.Cut(line, "  #")
		seen++
		row, ok := rows[strings.TrimSpace(command)]
		if !ok {
			t.Errorf("no test runs this command of the README: %s", command)
			continue
		}
		t.Run(command, row)
	}
	if seen < 2 {
		t.Fatal("the README has lost its commands")
	}
}
