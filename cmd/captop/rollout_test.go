package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"captop/service"
	"captop/service/api"
)

// load writes and reads through HAProxy until it is stopped, each client in its own way, and keeps what failed.
type load struct {
	t       *testing.T
	stop    context.CancelFunc
	workers sync.WaitGroup
	asked   atomic.Int64

	mu     sync.Mutex
	failed []string
}

// startLoad has four clients for each service: two that keep their connections, two that make one for each request.
func startLoad(t *testing.T, s *stack) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{t: t, stop: cancel}
	token := stackSecret(t, "token_write")
	for mode, edge := range s.edge {
		for n := range 4 {
			transport := &http.Transport{DisableKeepAlives: n%2 == 1}
			client := api.NewClient(edge, token, transport)
			l.workers.Go(func() { l.ask(ctx, client, mode, fmt.Sprintf("load-%d", n)) })
		}
	}
	t.Cleanup(func() { cancel(); l.workers.Wait() })
	return l
}

// ask writes a number under a key that is its own, and reads it again.
func (l *load) ask(ctx context.Context, client *api.Client, mode service.Mode, key string) {
	for n := 0; ctx.Err() == nil; n++ {
		value := fmt.Sprint(n)
		_, err := client.Write(context.WithoutCancel(ctx), key, []byte(value))
		l.note(mode, "write", err)
		if err != nil {
			continue
		}
		read, err := client.Read(context.WithoutCancel(ctx), key, service.ReadOptions{})
		if err == nil && read.Value.Value != value {
			err = fmt.Errorf("it holds %q, not %q, which was acknowledged", read.Value.Value, value)
		}
		l.note(mode, "read", err)
		time.Sleep(2 * time.Millisecond)
	}
}

func (l *load) note(mode service.Mode, what string, err error) {
	l.asked.Add(1)
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = append(l.failed, fmt.Sprintf("%s %s %s: %v", time.Now().UTC().Format("15:04:05.000"), mode, what, err))
}

// failures ends the load and gives what failed of how much.
func (l *load) failures() (failed []string, asked int64) {
	l.stop()
	l.workers.Wait()
	return l.failed, l.asked.Load()
}

// image makes another image of capd with one more line.
func image(t *testing.T, tag, line string) string {
	t.Helper()
	name := "captop/capd:" + tag
	build := exec.Command("docker", "build", "-q", "-t", name, "-")
	build.Stdin = strings.NewReader("FROM captop/capd:test\n" + line + "\n")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", name, err, output)
	}
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", name).Run() })
	return name
}

// images are those of the services' containers, running or not.
func (s *stack) images(t *testing.T) []string {
	t.Helper()
	output, err := exec.Command("docker", "ps", "-a", "--filter", "label=com.docker.compose.project="+s.project, "--format", "{{.Names}} {{.Image}} {{.State}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(output)), "\n"), func(line string) bool { return !strings.Contains(line, "_app_") })
	slices.Sort(lines)
	return lines
}

// all are the services' containers as they have to be: each with the name that Compose gave it, running the image.
func (s *stack) all(image string) []string {
	var lines []string
	for _, mode := range []string{"ap", "cp"} {
		for n := 1; n <= 2; n++ {
			lines = append(lines, fmt.Sprintf("%s_app_%s_%d %s running", s.project, mode, n, image))
		}
	}
	return lines
}

// drains waits until an instance has begun to drain.
func (s *stack) drains(t *testing.T, name string) {
	t.Helper()
	until(t, name+" drains", func() bool {
		log, err := exec.Command("docker", "logs", s.project+"_"+name).CombinedOutput()
		return err == nil && strings.Contains(string(log), "DRAINING")
	})
}

// TestRollout rolls the services to another image under load, to one that does not start, and is killed in the middle.
// No request fails in all of that.
func TestRollout(t *testing.T) {
	s := newStack(t, "captoprollout")
	captop := filepath.Join(t.TempDir(), "captop")
	finishes(t, nil, "go", "build", "-o", captop, "./cmd/captop")
	second, third := image(t, "test2", "LABEL version=2"), image(t, "test3", "LABEL version=3")
	broken := image(t, "broken", "ENV DB_G1_URL=redis://nowhere") // capd refuses that beside DB_G1_URL_FILE
	s.sh(t, "docker-compose up -d --scale app_cp=2 --scale app_ap=2")
	s.spread(t, service.ModeCP, 2)
	s.spread(t, service.ModeAP, 2)
	under := startLoad(t, s)
	environ := append(os.Environ(), "XDG_STATE_HOME="+t.TempDir())
	command := func(args ...string) *exec.Cmd {
		c := exec.Command(captop, slices.Concat([]string{"rollout", "--project", s.project}, args)...)
		c.Env = environ
		return c
	}
	roll := func(image string) string {
		t.Helper()
		output, err := command(image).CombinedOutput()
		if err != nil {
			t.Fatalf("rolling to %s: %v\n%s", image, err, output)
		}
		if got := s.images(t); !slices.Equal(got, s.all(image)) {
			t.Fatalf("after a rollout to %s there are\n%s\n%s", image, strings.Join(got, "\n"), output)
		}
		return string(output)
	}
	killed := func(image string, when func()) {
		t.Helper()
		c := command(image)
		stdout, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(stdout); lines.Scan() && !strings.Contains(lines.Text(), "draining"); {
		}
		when()
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait()
	}

	roll(second)
	output, err := command(broken).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(output), "every instance is of its old image again") ||
		!strings.Contains(string(output), "DB_G1_URL and DB_G1_URL_FILE are both set") {
		t.Errorf("rolling to an image that does not start: %v\n%s", err, output)
	}
	if got := s.images(t); !slices.Equal(got, s.all(second)) {
		t.Errorf("after that there are\n%s", strings.Join(got, "\n"))
	}
	killed(third, func() { s.drains(t, "app_ap_1_old") }) // the one that goes on with it stops that instance again
	if output := roll(third); !strings.Contains(output, "going on with") {
		t.Errorf("a rollout after one to the same image that was killed:\n%s", output)
	}
	killed(second, func() {})
	if output := roll(third); !strings.Contains(output, "going back with") {
		t.Errorf("a rollout after one to another image that was killed:\n%s", output)
	}
	failed, asked := under.failures()
	if len(failed) > 0 || asked < 1000 {
		t.Errorf("%d of %d requests failed, the first ones:\n%s", len(failed), asked, strings.Join(failed[:min(len(failed), 10)], "\n"))
		// What HAProxy says of the instances, and of the requests that one of them or a client broke off.
		t.Log(s.sh(t, `docker-compose logs -t --no-color haproxy | grep -E 'Server |backend|"end":"[^-]|"status":5|"status":-1' | tail -200`))
	}
	t.Logf("%d requests during six rollouts", asked)
}
