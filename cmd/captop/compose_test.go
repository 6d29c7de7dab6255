package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"captop/service"
	"captop/service/api"
)

// withoutDocker says that this machine has no engine; run_tests.sh sets it, and says so where everybody sees it.
const withoutDocker = "CAPTOP_NO_DOCKER"

// compose runs docker-compose on the project's file with images and ports of the test's own.
func compose(t *testing.T, environ []string, args ...string) string {
	t.Helper()
	command := exec.Command("docker-compose", append([]string{"-p", "captoptest"}, args...)...)
	command.Dir, command.Env = root(t), append(os.Environ(), environ...)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("docker-compose %v: %v\n%s", args, err, output)
	}
	return string(output)
}

// composeStack builds both images without a registry, brings the compose file up, writes and reads through both
// services, takes db_g2 away, and looks at what the containers may do.
func composeStack(t *testing.T) {
	if os.Getenv(withoutDocker) != "" {
		t.Skip("no Docker engine here: run_tests.sh has said so")
	}
	build := exec.Command(root(t) + "/deploy/airgap/build.sh")
	build.Stderr = os.Stderr
	output, err := build.Output()
	if err != nil {
		t.Fatalf("building the images (a Docker engine is needed; without one set %s=1): %v", withoutDocker, err)
	}
	environ := strings.Fields(strings.TrimPrefix(strings.TrimSpace(string(output)), "export "))
	ports := map[string]string{}
	for _, name := range []string{"CP_PORT", "AP_PORT", "G1_PORT", "G2_PORT"} {
		ports[name] = freePort(t)
		environ = append(environ, name+"="+ports[name])
	}
	compose(t, environ, "config", "-q")
	t.Cleanup(func() { compose(t, environ, "down", "-v", "-t", "1") })
	compose(t, environ, "up", "-d", "--no-build")
	cp := api.NewClient("http://127.0.0.1:"+ports["CP_PORT"], "", nil)
	ap := api.NewClient("http://127.0.0.1:"+ports["AP_PORT"], "", nil)
	for _, client := range []*api.Client{cp, ap} {
		writeUntil(t, client, func(err error) bool { return err == nil })
	}
	for _, id := range strings.Fields(compose(t, environ, "ps", "-q")) {
		inspected, err := exec.Command("docker", "inspect", "-f", "{{.HostConfig.ReadonlyRootfs}} {{.Config.User}} {{.HostConfig.CapDrop}} {{.HostConfig.Memory}}", id).Output()
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(inspected))
		if len(fields) != 4 || fields[0] != "true" || fields[1] == "0:0" || fields[2] != "[ALL]" || fields[3] == "0" {
			t.Errorf("container %.12s runs with %q; wanted a read-only root, a user, no capabilities, a memory limit", id, fields)
		}
	}
	compose(t, environ, "kill", "db_g2")
	writeUntil(t, cp, func(err error) bool { return err != nil })
	writeUntil(t, ap, func(err error) bool { return err == nil })
	compose(t, environ, "start", "db_g2")
	writeUntil(t, cp, func(err error) bool { return err == nil })
}

// writeUntil writes until the answer is as wanted.
func writeUntil(t *testing.T, client *api.Client, wanted func(error) bool) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, err = client.Write(ctx, "compose", []byte("v"))
		if err == nil {
			_, err = client.Read(ctx, "compose", service.ReadOptions{})
		}
		cancel()
		if wanted(err) {
			return
		}
	}
	t.Fatalf("the last answer to a write was %v", err)
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)
}

// TestReadmeCommands runs every command of the README's sh blocks, each as its row says; a command without a row fails.
func TestReadmeCommands(t *testing.T) {
	file, err := os.Open(root(t) + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows := readmeRows()
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
