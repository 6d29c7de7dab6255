// Package nodetest runs real redis-server processes for tests, and puts links before them that can be cut and slowed.
//
// What it starts ends with the test, and with the test process if that is killed. A missing redis-server fails the test.
package nodetest

import (
	"bufio"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startTimeout bounds how long a redis-server may take until it answers.
const startTimeout = 20 * time.Second

// Server is one redis-server on the loopback interface, with AOF everysec in a folder of its own. Its address stays
// the same over kills and restarts. Its methods fail the test where they cannot do what they say.
type Server struct {
	t       testing.TB
	addr    string
	dir     string
	command []string // the arguments of redis-server

	mu      sync.Mutex
	process *exec.Cmd
	exited  chan struct{} // closed when process has ended
}

// Start runs a redis-server until the test ends; args are added to its command line, as in "--requirepass", "x".
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatalf("these tests need redis-server (Debian: apt-get install redis-server): %v", err)
	}
	s := &Server{t: t, addr: FreeAddr(t), dir: dataFolder(t)}
	_, port, _ := net.SplitHostPort(s.addr)
	s.command = append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--appendonly", "yes",
		"--appendfsync", "everysec", "--hash-max-listpack-value", "1024", "--save", "", "--logfile", filepath.Join(s.dir, "log")}, args...)
	t.Cleanup(s.Kill)
	s.Restart()
	return s
}

// dataRoom is how many bytes memory must have left for the data of tests.
const dataRoom = 1 << 30

// dataFolder is where a server keeps its data: in memory where there is room for it. A machine that builds images meanwhile
// may let a disk hang for seconds, and with it every server that writes to its AOF: a fault that no test has asked for. What a
// benchmark measures is written to a disk.
func dataFolder(t testing.TB) string {
	t.Helper()
	const memory = "/dev/shm"
	var disk syscall.Statfs_t
	_, measured := t.(*testing.B)
	if err := syscall.Statfs(memory, &disk); err != nil || measured || disk.Bavail*uint64(disk.Bsize) < dataRoom {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "captop-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Addr is host:port.
func (s *Server) Addr() string { return s.addr }

// URL is redis://host:port.
func (s *Server) URL() string { return "redis://" + s.addr }

// PID is the process that runs now.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.Process.Pid
}

// Kill ends the server with SIGKILL, also while it is paused. Nothing happens if it does not run.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	<-s.exited
	s.process = nil
}

// Restart starts the server on the data it has, killing it first if it runs, and waits until it answers.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process = exec.Command("redis-server", s.command...)
	s.process.SysProcAttr = endWithParent()
	if err := s.process.Start(); err != nil {
		s.t.Fatalf("starting redis-server: %v", err)
	}
	s.exited = make(chan struct{})
	go func(process *exec.Cmd, exited chan struct{}) {
		_ = process.Wait()
		close(exited)
	}(s.process, s.exited)
	s.await()
}

// Pause stops the server as a host does that hangs (SIGSTOP): it keeps its connections and answers nothing.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

// Wipe kills the server and empties its disk. Restart brings it back as an empty volume would.
func (s *Server) Wipe() {
	s.t.Helper()
	s.Kill()
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Fatalf("emptying the disk of redis-server: %v", err)
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		s.t.Fatalf("emptying the disk of redis-server: %v", err)
	}
}

// SaveDisk copies what is on the server's disk and gives the copy's folder; the server may run meanwhile.
func (s *Server) SaveDisk() string {
	s.t.Helper()
	to := s.t.TempDir()
	if err := copyTree(s.dir, to); err != nil {
		s.t.Fatalf("copying the disk of redis-server: %v", err)
	}
	return to
}

// LoadDisk kills the server and replaces its disk by a copy that SaveDisk made. Restart brings it back.
func (s *Server) LoadDisk(from string) {
	s.t.Helper()
	s.Wipe()
	if err := copyTree(from, s.dir); err != nil {
		s.t.Fatalf("replacing the disk of redis-server: %v", err)
	}
}

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		_ = s.process.Process.Signal(sig)
	}
}

// await waits until the server has loaded its data and answers PING.
func (s *Server) await() {
	s.t.Helper()
	deadline := time.Now().Add(startTimeout)
	last := "no answer"
	for time.Now().Before(deadline) {
		select {
		case <-s.exited:
			s.t.Fatalf("redis-server ended at its start:\n%s", s.log())
		default:
		}
		if last = s.ping(); last == "+PONG" || strings.HasPrefix(last, "-NOAUTH") {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.t.Fatalf("redis-server did not answer within %s (%s):\n%s", startTimeout, last, s.log())
}

func (s *Server) ping() string {
	conn, err := net.DialTimeout("tcp", s.addr, time.Second)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err.Error()
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

func (s *Server) log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// copyTree copies the files below from that still exist when their turn comes (Redis renames some meanwhile).
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		data, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o644)
	})
}
