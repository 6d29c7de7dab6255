package restore

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"captop/deploy/backup"
	"captop/deploy/dbnode"
	"captop/deploy/stack"
	"captop/service"
	"captop/service/node/nodetest"
)

// local is a stack of two redis-servers that outlive the process which starts them, as those of a real stack do: a
// child of the test may be killed in the middle of its work. It is told by its folder alone.
type local struct {
	dir string
	aof string // yes or no
}

func (l local) folder(name string) string { return filepath.Join(l.dir, name) }
func (l local) data(name string) string   { return filepath.Join(l.dir, name, "data") }

func (l local) port(name string) string {
	text, err := os.ReadFile(filepath.Join(l.folder(name), "port"))
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (l local) url(name string) string { return "redis://127.0.0.1:" + l.port(name) }

func (l local) pid(name string) int {
	text, err := os.ReadFile(filepath.Join(l.folder(name), "pid"))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	if !runs(pid) {
		return 0
	}
	return pid
}

// runs says whether a redis-server is still there. Its command line and its pid file go before its port is free.
func runs(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	name, rest, _ := strings.Cut(string(text), ") ")
	state := strings.Fields(rest)
	return err == nil && strings.Contains(name, "(redis-server") && len(state) > 17 && (state[0] != "Z" || state[17] != "1")
}

func (l local) About() string { return "test stack" }

func (l local) Parts(context.Context) ([]stack.Part, error) {
	var parts []stack.Part
	for _, name := range nodes {
		p := stack.Part{Service: name, Instance: l.folder(name), State: stack.Stopped}
		if l.pid(name) != 0 {
			p.State = stack.Running
		}
		if _, err := os.Stat(filepath.Join(l.folder(name), "paused")); err == nil {
			p.State = stack.Paused
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func (l local) Command(part stack.Part, verb stack.Verb) (string, error) {
	return string(verb) + " " + part.Service, nil
}

func (l local) Do(_ context.Context, part stack.Part, verb stack.Verb) error {
	name := part.Service
	if verb == stack.Stop {
		pid := l.pid(name)
		if pid == 0 {
			return nil
		}
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			return err
		}
		for range 600 {
			if !runs(pid) {
				return nil
			}
			time.Sleep(50 * time.Millisecond)
		}
		return errors.New("it does not stop")
	}
	out, err := exec.Command("redis-server", "--port", l.port(name), "--bind", "127.0.0.1", "--dir", l.data(name), "--appendonly", l.aof,
		"--save", "", "--daemonize", "yes", "--pidfile", filepath.Join(l.folder(name), "pid"), "--logfile", filepath.Join(l.folder(name), "log")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	for range 400 { // it writes its pid when it is ready
		if _, err := dbnode.AskAt(context.Background(), l.url(name)); err == nil && l.pid(name) != 0 {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	log, err := os.ReadFile(filepath.Join(l.folder(name), "log"))
	return errors.Join(fmt.Errorf("it does not start: %s", log), err)
}

func (l local) Logs(context.Context, stack.Part, time.Time, io.Writer) error {
	return stack.ErrUnsupported
}

func (l local) Data(part stack.Part) (stack.Data, error) { return localData(l.data(part.Service)), nil }

// localData is a folder.
type localData string

func (d localData) Save(_ context.Context, to io.Writer) error {
	out := tar.NewWriter(to)
	err := filepath.WalkDir(string(d), func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(string(d), path)
		if err != nil || name == "." {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		header, err := tar.FileInfoHeader(info, "")
		if err != nil {
			return err
		}
		if header.Name = name; entry.IsDir() {
			header.Name += "/"
			return out.WriteHeader(header)
		}
		content, err := os.ReadFile(path)
		if err == nil {
			err = out.WriteHeader(header)
		}
		if err == nil {
			_, err = out.Write(content)
		}
		return err
	})
	return errors.Join(err, out.Close())
}

func (d localData) Replace(_ context.Context, from io.Reader) error {
	fresh := string(d) + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := os.MkdirAll(fresh, 0o755); err != nil {
		return err
	}
	if err := stack.EachFile(from, func(header *tar.Header, content io.Reader) error {
		path := filepath.Join(fresh, header.Name)
		if header.Typeflag == tar.TypeDir {
			return os.MkdirAll(path, 0o755)
		}
		text, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		return os.WriteFile(path, text, 0o644)
	}); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(string(d)), os.Rename(fresh, string(d))) // either fails where Redis, started meanwhile, writes
}

// newLocal starts both nodes until the test ends.
func newLocal(t *testing.T, aof string) local {
	t.Helper()
	l := local{dir: t.TempDir(), aof: aof}
	for _, name := range nodes {
		if err := os.MkdirAll(l.data(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(l.folder(name), "port"), []byte(nodetest.FreePort(t)), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.kill(name) })
		l.do(t, name, stack.Start)
	}
	return l
}

func (l local) do(t *testing.T, name string, verb stack.Verb) {
	t.Helper()
	if err := l.Do(t.Context(), stack.Part{Service: name}, verb); err != nil {
		t.Fatal(err)
	}
}

// kill ends a node at once.
func (l local) kill(name string) {
	pid := l.pid(name)
	if pid == 0 {
		return
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	for runs(pid) {
		time.Sleep(10 * time.Millisecond)
	}
}

// wipe loses a node's disk.
func (l local) wipe(t *testing.T, name string) {
	t.Helper()
	l.kill(name)
	if err := errors.Join(os.RemoveAll(l.data(name)), os.MkdirAll(l.data(name), 0o755)); err != nil {
		t.Fatal(err)
	}
}

// restorer restores into a local stack.
func (l local) restorer() *Restorer {
	return &Restorer{Store: backup.Store{Dir: filepath.Join(l.dir, "backups"), Now: time.Now}, Stack: l,
		URLs: map[string]string{service.G1: l.url(service.G1), service.G2: l.url(service.G2)}, Now: time.Now,
		Patience: 2 * time.Minute, Tell: func(Progress) {}}
}

// take backs nodes up.
func (l local) take(t *testing.T, names ...string) map[string]backup.Manifest {
	t.Helper()
	taken := map[string]backup.Manifest{}
	for _, name := range names {
		m, err := l.restorer().Store.Take(t.Context(), name, l.url(name), func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		taken[name] = m
	}
	return taken
}
