package local

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/deploy/stack"
	"captop/service"
	"captop/service/node/nodetest"
)

// endingPart makes the test binary a process that is ending: its first thread is gone, and another holds everything yet.
const endingPart = "CAPTOP_ENDING"

func init() {
	if os.Getenv(endingPart) != "" {
		runtime.LockOSThread() // on the first thread, for an init runs there
	}
}

func TestMain(m *testing.M) {
	if os.Getenv(endingPart) != "" {
		go func() { time.Sleep(time.Minute) }()
		_, _ = os.Stdin.Read(make([]byte, 1))
		_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
	}
	os.Exit(m.Run())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// server starts a redis-server as a person would, with a config file or without, and gives its port and data folder.
func server(t *testing.T, withFile bool) (port, dir string) {
	t.Helper()
	port, dir = nodetest.FreePort(t), t.TempDir()
	settings := []string{"port", port, "bind", "127.0.0.1", "dir", dir, "appendonly", "yes", "logfile", filepath.Join(dir, "redis.log"),
		"requirepass", "open sesame", "maxmemory", "77mb", "save", "900 1 300 10"}
	var args []string
	if withFile {
		text := ""
		for i := 0; i < len(settings); i += 2 {
			value := settings[i+1]
			if strings.Contains(value, " ") && settings[i] != "save" {
				value = `"` + value + `"`
			}
			text += settings[i] + " " + value + "\n"
		}
		path := filepath.Join(dir, "redis.conf")
		must(t, os.WriteFile(path, []byte(text), 0o600))
		args = []string{path}
	} else {
		for i := 0; i < len(settings); i += 2 {
			args = append(args, "--"+settings[i], settings[i+1])
		}
	}
	started := exec.Command("redis-server", args...)
	must(t, started.Start())
	go func() { _ = started.Wait() }()
	t.Cleanup(func() { _ = started.Process.Kill() })
	eventually(t, "redis-server answers", func() bool { return client(port).Ping(t.Context()).Err() == nil })
	return port, dir
}

func client(port string) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port, Password: "open sesame", Protocol: 2, DisableIdentity: true, MaxRetries: -1, PoolSize: 1, ReadTimeout: time.Second})
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func open(t *testing.T, port string) *Stack {
	t.Helper()
	s, err := Open(map[string]string{service.G2: "redis://:open%20sesame@127.0.0.1:" + port}, filepath.Join(t.TempDir(), "local"))
	must(t, err)
	t.Cleanup(func() {
		_, _ = s.Parts(context.Background()) // who runs now: a start notes nothing
		if note, ok := s.recall(service.G2); ok && note.runs() {
			_ = syscall.Kill(note.PID, syscall.SIGKILL)
		}
	})
	return s
}

func part(t *testing.T, s *Stack) stack.Part {
	t.Helper()
	parts, err := s.Parts(t.Context())
	if err != nil || len(parts) != 1 || parts[0].Service != service.G2 {
		t.Fatalf("%+v %v", parts, err)
	}
	return parts[0]
}

func TestLife(t *testing.T) {
	for name, withFile := range map[string]bool{"with a config file": true, "without one": false} {
		t.Run(name, func(t *testing.T) {
			port, dir := server(t, withFile)
			s := open(t, port)
			must(t, client(port).Set(t.Context(), "k", "v", 0).Err())
			before := part(t, s)
			config, err := client(port).ConfigGet(t.Context(), "*").Result()
			must(t, err)
			for _, step := range []struct {
				verb stack.Verb
				want stack.State
			}{{stack.Pause, stack.Paused}, {stack.Unpause, stack.Running}, {stack.Stop, stack.Stopped}, {stack.Start, stack.Running}, {stack.Restart, stack.Running}} {
				if command, err := s.Command(before, step.verb); err != nil || command == "" {
					t.Errorf("%s: %q %v", step.verb, command, err)
				}
				must(t, s.Do(t.Context(), before, step.verb))
				// Another captop, later, finds the same.
				other, err := Open(s.urls, s.dir)
				must(t, err)
				if now := part(t, other); now.State != step.want {
					t.Errorf("after %s it is %s", step.verb, now.State)
				}
			}
			eventually(t, "the data is there", func() bool { return client(port).Get(t.Context(), "k").Val() == "v" })
			after, err := client(port).ConfigGet(t.Context(), "*").Result()
			must(t, err)
			for key, value := range config {
				if after[key] != value {
					t.Errorf("%s is %q, was %q", key, after[key], value)
				}
			}
			if now := part(t, s); !now.Since.After(before.Since) {
				t.Errorf("since %v, before %v", now.Since, before.Since)
			}
			var log bytes.Buffer
			must(t, s.Logs(t.Context(), before, time.Time{}, &log))
			if strings.Count(log.String(), "Ready to accept connections") != 3 {
				t.Errorf("the log: %s", log.String())
			}
			log.Reset()
			must(t, s.Logs(t.Context(), before, time.Now().Add(time.Hour), &log))
			if log.Len() != 0 {
				t.Errorf("a log of the future: %s", log.String())
			}
			if err := s.Do(t.Context(), before, stack.Cut); !errors.Is(err, stack.ErrUnsupported) {
				t.Errorf("a cut: %v", err)
			}
			_ = dir
		})
	}
}

// TestBusyIsRestarted: a server that is busy with a script hears no signal, and after its first write can't end the script alone.
func TestBusyIsRestarted(t *testing.T) {
	for name, script := range map[string]string{
		"it reads":  "while true do redis.call('GET', 'k') end",
		"it writes": "while true do redis.call('SET', 'own', '1') end",
	} {
		t.Run(name, func(t *testing.T) {
			port, _ := server(t, true)
			c := client(port)
			must(t, c.ConfigSet(t.Context(), "lua-time-limit", "10").Err())
			must(t, c.Set(t.Context(), "k", "v", 0).Err())
			s := open(t, port)
			before := part(t, s)
			go client(port).Eval(context.Background(), script, nil)
			eventually(t, "it is busy", func() bool { return redis.HasErrorPrefix(client(port).Ping(t.Context()).Err(), "BUSY ") })
			must(t, s.Do(t.Context(), before, stack.Restart))
			eventually(t, "the data is there", func() bool { return client(port).Get(t.Context(), "k").Val() == "v" })
			if now := part(t, s); !now.Since.After(before.Since) {
				t.Errorf("since %v, before %v", now.Since, before.Since)
			}
		})
	}
}

// TestCrashedIsStarted: it was killed, and is started as it was.
func TestCrashedIsStarted(t *testing.T) {
	port, _ := server(t, false)
	s := open(t, port)
	part(t, s)
	note, _ := s.recall(service.G2)
	must(t, syscall.Kill(note.PID, syscall.SIGKILL))
	eventually(t, "it counts as stopped", func() bool { return part(t, s).State == stack.Stopped })
	must(t, s.Do(t.Context(), part(t, s), stack.Start))
	if p := part(t, s); p.State != stack.Running {
		t.Errorf("%+v", p)
	}
}

// TestEndingIsNotGone: a process of several threads is a zombie before the last of them has given its memory and its port
// back. With a big memory that lasts long enough for a start to fail.
func TestEndingIsNotGone(t *testing.T) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), endingPart+"=1")
	in, err := child.StdinPipe()
	must(t, err)
	must(t, child.Start())
	t.Cleanup(func() { _ = child.Process.Kill() })
	p, err := readProcess(child.Process.Pid)
	must(t, err)
	must(t, in.Close())
	eventually(t, "the first thread is gone", func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
		return err == nil && strings.Contains(string(text), ") Z ")
	})
	note := known{PID: p.pid, Started: p.started}
	if !note.runs() {
		t.Error("it counts as gone")
	}
	must(t, child.Process.Kill())
	eventually(t, "it counts as gone", func() bool { return !note.runs() }) // though nobody has waited for it
	_ = child.Wait()
}

func TestData(t *testing.T) {
	port, dir := server(t, true)
	s := open(t, port)
	p := part(t, s)
	must(t, client(port).Set(t.Context(), "k", "old", 0).Err())
	data, err := s.Data(p)
	must(t, err)
	if err := data.Replace(t.Context(), strings.NewReader("")); err == nil {
		t.Fatal("replaced under a running node")
	}
	must(t, s.Do(t.Context(), p, stack.Stop))
	var saved bytes.Buffer
	must(t, data.Save(t.Context(), &saved))
	precious := filepath.Join(dir, "precious")
	must(t, os.WriteFile(precious, []byte("not the node's"), 0o600))
	for what, broken := range map[string][]byte{"torn": saved.Bytes()[:saved.Len()/2], "leads out": tarOf(t, "../evil"), "not the node's": tarOf(t, "precious")} {
		if err := data.Replace(t.Context(), bytes.NewReader(broken)); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	must(t, s.Do(t.Context(), p, stack.Start))
	eventually(t, "the data is there after what was refused", func() bool { return client(port).Get(t.Context(), "k").Val() == "old" })
	must(t, client(port).Set(t.Context(), "k", "new", 0).Err())
	must(t, s.Do(t.Context(), p, stack.Stop))
	must(t, data.Replace(t.Context(), bytes.NewReader(saved.Bytes())))
	must(t, s.Do(t.Context(), p, stack.Start))
	eventually(t, "the old data is back", func() bool { return client(port).Get(t.Context(), "k").Val() == "old" })
	if text, err := os.ReadFile(precious); err != nil || string(text) != "not the node's" {
		t.Errorf("%q %v", text, err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".captop-*"))
	if len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func tarOf(t *testing.T, name string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	must(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: 3, Typeflag: tar.TypeReg}))
	_, err := w.Write([]byte("new"))
	must(t, errors.Join(err, w.Close()))
	return out.Bytes()
}

func TestNobodyThere(t *testing.T) {
	s := open(t, nodetest.FreePort(t))
	parts, err := s.Parts(t.Context())
	if err != nil || len(parts) != 0 {
		t.Errorf("%v %v", parts, err)
	}
	if err := s.Do(t.Context(), stack.Part{Service: service.G2}, stack.Stop); !errors.Is(err, stack.ErrNoPart) {
		t.Error(err)
	}
	if _, err := Open(map[string]string{"db_g1": "nonsense"}, ""); err == nil {
		t.Error("nonsense is no URL")
	}
}
