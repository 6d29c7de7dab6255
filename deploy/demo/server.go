package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/deploy/stack"
)

// errTaken: another program has taken the server's port since it was found free.
var errTaken = errors.New("its port is another program's")

// startTimeout bounds how long a Redis server may take to answer or to end.
const startTimeout = 20 * time.Second

// newNode gives a node of the better kind that this machine can run, and that kind's name.
func newNode(dir string, k *keeper) (redisNode, string, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return newEmbedded(), "miniredis (no redis-server found; nothing survives a restart)", nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", err
	}
	address, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	version, err := exec.Command(path, "--version").Output()
	if err != nil {
		return nil, "", fmt.Errorf("running redis-server --version: %w", err)
	}
	name := "redis-server"
	for word := range strings.FieldsSeq(string(version)) {
		if number, ok := strings.CutPrefix(word, "v="); ok {
			name += " " + number
		}
	}
	return &server{path: path, dir: dir, address: address, keeper: k}, name, nil
}

// server is a redis-server of its own process group's keeper, on the loopback interface, with AOF.
type server struct {
	path, dir, address string
	keeper             *keeper
	process            *exec.Cmd

	mu     sync.Mutex
	exited chan struct{} // of the process that was started last
}

func (s *server) addr() string { return s.address }

// command is what a person would type.
func (s *server) command(verb stack.Verb) string {
	_, port, _ := net.SplitHostPort(s.address)
	stop, start := "redis-cli -p "+port+" shutdown nosave", "redis-server --port "+port+" --appendonly yes"
	switch verb {
	case stack.Stop:
		return stop
	case stack.Start:
		return start
	case stack.Pause:
		return "kill -STOP $(pgrep -f 'redis-server.*:" + port + "')"
	case stack.Unpause:
		return "kill -CONT $(pgrep -f 'redis-server.*:" + port + "')"
	}
	return stop + " && " + start
}

// ended is closed when the process that was started last has ended.
func (s *server) ended() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.exited
}

func (s *server) alive() bool {
	select {
	case <-s.ended():
		return false
	default:
		return true
	}
}

func (s *server) start() error {
	_, port, _ := net.SplitHostPort(s.address)
	s.process = exec.Command(s.path, "--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--appendonly", "yes",
		"--appendfsync", "everysec", "--hash-max-listpack-value", "1024", "--save", "", "--logfile", filepath.Join(s.dir, "redis.log"))
	s.keeper.adopt(s.process)
	if err := s.process.Start(); err != nil {
		return fmt.Errorf("starting redis-server: %w", err)
	}
	exited := make(chan struct{})
	s.mu.Lock()
	s.exited = exited
	s.mu.Unlock()
	go func(process *exec.Cmd) {
		_ = process.Wait()
		close(exited)
	}(s.process)
	return s.await()
}

// await waits until the server, and no other at its port, answers with its data loaded. Errors: errTaken.
func (s *server) await() error {
	client := s.client()
	defer client.Close()
	var last error
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		last = s.answers(ctx, client)
		cancel()
		if last == nil {
			return nil
		}
		select {
		case <-s.ended():
			return s.endedAtStart()
		default:
		}
	}
	return fmt.Errorf("redis-server did not answer within %s: %w", startTimeout, last)
}

// answers reports whether this very process serves what is asked.
func (s *server) answers(ctx context.Context, client *redis.Client) error {
	if err := client.Ping(ctx).Err(); err != nil {
		return err
	}
	info, err := client.Info(ctx, "server").Result()
	if err == nil && !strings.Contains(info, fmt.Sprintf("\r\nprocess_id:%d\r\n", s.process.Process.Pid)) {
		return errTaken
	}
	return err
}

func (s *server) endedAtStart() error {
	path := filepath.Join(s.dir, "redis.log")
	if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text[max(len(text)-400, 0):]), "Address already in use") {
		return fmt.Errorf("starting redis-server at %s: %w", s.address, errTaken)
	}
	return fmt.Errorf("redis-server ended at its start; its log: %s", path)
}

func (s *server) client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: s.address, Protocol: 2, MaxRetries: -1, DialerRetries: 1, DisableIdentity: true})
}

// stop asks the server itself first: one that is busy with a script hears no signal.
func (s *server) stop() error {
	client := s.client()
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = client.ShutdownNoSave(ctx).Err() // there are no snapshots; if it did not hear, the signal is next
	err := s.process.Process.Signal(syscall.SIGTERM)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping redis-server: %w", err)
	}
	select {
	case <-s.ended():
		return nil
	case <-time.After(startTimeout):
		return errors.New("redis-server did not stop")
	}
}

func (s *server) pause() error  { return s.process.Process.Signal(syscall.SIGSTOP) }
func (s *server) resume() error { return s.process.Process.Signal(syscall.SIGCONT) }

func (s *server) end() {
	if s.process == nil || s.process.Process == nil {
		return
	}
	_ = s.process.Process.Kill()
	<-s.ended()
}

// freeAddr finds a port below the range of outgoing connections, so that a client that dials a stopped server cannot
// end up connected to itself.
func freeAddr() (string, error) {
	for port := 16379; port < 30000; port += 7 {
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if listener, err := net.Listen("tcp", address); err == nil {
			return address, listener.Close()
		}
	}
	return "", errors.New("no free port between 16379 and 30000")
}
