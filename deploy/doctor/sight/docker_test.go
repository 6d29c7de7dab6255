package sight

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"captop/deploy/doctor"
)

// sleeper is a program that stands for every part of a stack: it sleeps, and is healthy.
const sleeper = `package main

import (
	"os"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "healthy" {
		return
	}
	time.Sleep(time.Hour)
}
`

// docker runs the docker command.
func docker(t *testing.T, stdin []byte, args ...string) string {
	t.Helper()
	command := exec.Command("docker", args...)
	command.Stdin = bytes.NewReader(stdin)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("docker %v: %v\n%s", args, err, output)
	}
	return strings.TrimSpace(string(output))
}

// sleepers makes an image of the sleeper with HAProxy's configuration in it.
func sleepers(t *testing.T, haproxy string) string {
	t.Helper()
	if os.Getenv("CAPTOP_NO_DOCKER") != "" {
		t.Skip("no Docker engine here: run_tests.sh has said so")
	}
	dir := t.TempDir()
	write(t, dir+"/main.go", sleeper, 0o600)
	build := exec.Command("go", "build", "-o", dir+"/sleeper", dir+"/main.go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the sleeper: %v\n%s", err, output)
	}
	binary, err := os.ReadFile(dir + "/sleeper")
	if err != nil {
		t.Fatal(err)
	}
	var root bytes.Buffer
	archive := tar.NewWriter(&root)
	for name, content := range map[string][]byte{"sleeper": binary, "etc/haproxy/haproxy.cfg": []byte(haproxy)} {
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	image := docker(t, root.Bytes(), "import", "-c", `ENTRYPOINT ["/sleeper"]`, "-")
	t.Cleanup(func() { docker(t, nil, "rmi", "-f", image) })
	return image
}

// project runs a container of each service, with arguments of docker run for each.
func project(t *testing.T, image string, args func(service string) []string) string {
	t.Helper()
	name := fmt.Sprintf("captopdoctor%d", os.Getpid()) + strings.ToLower(strings.ReplaceAll(t.Name(), "/", ""))
	for _, service := range []string{"app_cp", "app_ap", "db_g1", "db_g2", "haproxy"} {
		id := docker(t, nil, append(append([]string{"run", "-d", "--label", labelProject + "=" + name, "--label", labelService + "=" + service}, args(service)...), image)...)
		t.Cleanup(func() { docker(t, nil, "rm", "-f", "-v", id) })
	}
	return name
}

func TestContainers(t *testing.T) {
	image := sleepers(t, "backend app_cp\n  retry-on conn-failure 503\n  http-request disable-l7-retry unless METH_GET\n")
	secrets := t.TempDir()
	if err := os.Chmod(secrets, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, secrets+"/key", "9f2c4be07d1a8836c5e4f0b97a2d6183\n", 0o444) // the folder keeps others out
	volume := fmt.Sprintf("captopdoctor%d", os.Getpid())
	t.Cleanup(func() { docker(t, nil, "volume", "rm", "-f", volume) })
	name := project(t, image, func(service string) []string {
		args := []string{"--user", "65532:65532", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--memory", "64m", "--cpus", "0.5",
			"--pids-limit", "32", "--log-opt", "max-size=10m", "--log-opt", "max-file=3", "--health-cmd", "none", "--health-interval", "1s"}
		args[len(args)-3] = "/sleeper healthy" // docker run knows only the form with a shell
		if strings.HasPrefix(service, "app_") {
			args = append(args, "-v", secrets+":/run/secrets:ro", "-e", "APP_ENV=production", "-e", "SECRET_KEY_FILE=/run/secrets/key", "-e", "RATE_LIMITS=10 per hour")
		}
		if strings.HasPrefix(service, "db_") {
			args = append(args, "-v", volume+":/data", "--sysctl", "net.core.somaxconn=300")
		}
		return args
	})
	l := newLooker(t, Config{Project: name, Folder: t.TempDir(), Backups: func(string) ([]doctor.Backup, error) { return nil, nil }})
	wanted := all(doctor.Pass, "app-env", "secret-key", "secret-files", "rate-limits", "retries", "redis-published", "published-ports", "non-root",
		"read-only-root", "capabilities", "no-new-privileges", "memory-limit", "cpu-limit", "pids-limit", "log-rotation")
	wanted["backup-age"] = doctor.Fail
	wanted["redis-password"] = doctor.Fail  // the services have none
	wanted["redis-aof"] = doctor.CannotTell // nobody listens in them
	outcomes(t, l, wanted)
	s, err := l.stack(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range s.units {
		if strings.HasPrefix(u.Service, "db_") && u.Local {
			if text, err := l.sysctl(context.Background(), u, "net.core.somaxconn"); err != nil || strings.TrimSpace(text) != "300" {
				t.Errorf("somaxconn of %s is %q, %v", u.Name, text, err)
			}
			if room, err := l.room(context.Background(), u, "/data"); err != nil || room.Total == 0 {
				t.Errorf("the room of %s is %+v, %v", u.Name, room, err)
			}
			if m := u.Mounts.Value; len(m) != 1 || m[0].Kind != "volume" || m[0].Name != volume {
				t.Errorf("the mounts of %s are %+v", u.Name, m)
			}
		}
	}
}

func TestCarelessContainers(t *testing.T) {
	image := sleepers(t, "listen app_cp\n  retry-on all-retryable-errors\n")
	secrets, err := os.MkdirTemp("/var/tmp", "captopdoctor") // a folder where others may go
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(secrets) })
	if err := os.Chmod(secrets, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(secrets, "key"), "changeme\n", 0o644)
	name := project(t, image, func(service string) []string {
		args := []string{"-p", "0:5001"}
		if strings.HasPrefix(service, "app_") {
			args = append(args, "-v", secrets+":/run/secrets:ro", "-e", "SECRET_KEY_FILE=/run/secrets/key")
		}
		return args
	})
	outcomes(t, newLooker(t, Config{Project: name}), all(doctor.Fail, "app-env", "secret-key", "secret-files", "rate-limits", "tokens", "retries", "redis-published",
		"published-ports", "non-root", "read-only-root", "capabilities", "no-new-privileges", "memory-limit", "cpu-limit", "pids-limit", "health-checks"))
}

func TestWhichProject(t *testing.T) {
	l := newLooker(t, Config{Project: "captop-no-such-project"})
	if _, err := l.containers(t.Context()); err == nil || os.Getenv("CAPTOP_NO_DOCKER") == "" && !strings.Contains(err.Error(), "captop-no-such-project") {
		t.Errorf("a project that is none gives %v", err)
	}
	t.Setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
	if _, err := newLooker(t, Config{}).containers(t.Context()); err == nil || !strings.Contains(err.Error(), "Docker engine") {
		t.Errorf("an engine that is away gives %v", err)
	}
}
