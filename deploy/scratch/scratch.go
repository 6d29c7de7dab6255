// Package scratch runs redis-server processes that nobody else can reach, to see what a dump is worth.
package scratch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/deploy/dbnode"
)

// Errors that callers tell apart.
var (
	ErrNoServer = errors.New("there is no redis-server here to load it with (Debian: apt install redis-server)")
	ErrEnded    = errors.New("the scratch server ended")
)

// Server is a redis-server that listens at a socket in a private folder only, and saves nothing by itself.
type Server struct {
	socket string
	log    string
	home   string // of socket and log
	ended  chan struct{}
	cmd    *exec.Cmd
	client *redis.Client
}

// Start runs a server on the data in a folder and waits until it has loaded all of it. Stop it. used is how many bytes of
// memory that data took where it came from, 0 where nobody knows. Its errors are those above, ErrNoMemory, the context's, or the
// system's.
func Start(ctx context.Context, dir string, used int64, args ...string) (*Server, error) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, ErrNoServer
	}
	if err := roomFor(used); err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp("", "captop-scratch-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for the scratch server: %w", err)
	}
	s := &Server{socket: filepath.Join(home, "socket"), log: filepath.Join(home, "log"), home: home, ended: make(chan struct{})}
	s.cmd = exec.CommandContext(ctx, binary, append([]string{"--port", "0", "--unixsocket", s.socket, "--unixsocketperm", "700", "--dir", dir,
		"--save", "", "--logfile", s.log, "--loglevel", "warning"}, args...)...)
	s.cmd.SysProcAttr = endWithParent()
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the scratch server: %w", err), os.RemoveAll(home))
	}
	// Should memory run out nonetheless, then this server has to go and no other: 1000 is the first in turn. Not everywhere.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", s.cmd.Process.Pid), []byte("1000"), 0)
	go func() { _ = s.cmd.Wait(); close(s.ended) }()
	if s.client, err = dbnode.Connect(s.URL()); err == nil {
		err = s.await(ctx)
	}
	if err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// URL is the server's Redis URL.
func (s *Server) URL() string { return "unix://" + s.socket }

// Client is a client of the server for as long as that runs.
func (s *Server) Client() *redis.Client { return s.client }

// Stop ends the server at once and removes its socket; the data folder stays.
func (s *Server) Stop() {
	if s.client != nil {
		_ = s.client.Close()
	}
	_ = s.cmd.Process.Kill()
	<-s.ended
	_ = os.RemoveAll(s.home)
}

// await waits until the server has loaded its data.
func (s *Server) await(ctx context.Context) error {
	for {
		if _, err := os.Stat(s.socket); err == nil {
			standing, err := dbnode.Ask(ctx, s.client)
			if err == nil && !standing.Loading {
				return nil
			}
		}
		select {
		case <-s.ended:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
				return fmt.Errorf("%w: the server was killed while it loaded", ErrNoMemory)
			}
			reason, _ := os.ReadFile(s.log)
			return fmt.Errorf("%w: %.300s", ErrEnded, reason)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
