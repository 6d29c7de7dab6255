// Package demo runs the whole pair on this machine: two Redis nodes, both services, links between them that can be cut,
// and a gentle load. Everything ends with it, also when the process is killed.
package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"captop/deploy/stack"
	"captop/service"
	"captop/service/node/link"
)

// Addresses of the services unless they are taken.
const (
	AddrCP = "127.0.0.1:5001"
	AddrAP = "127.0.0.1:5002"
)

// Stack is a running demo. Its methods are safe for concurrent use.
type Stack struct {
	dir      string
	logger   *slog.Logger
	log      *os.File
	keeper   *keeper
	nodes    [2]redisNode // db_g1, db_g2
	links    [2]*link.Link
	services []*instance // cp, ap
	engine   string

	stop context.CancelFunc
	done sync.WaitGroup

	acting sync.Mutex // one action at a time
	mu     sync.Mutex
	parts  [2]part
}

// redisNode is one node, of whichever kind this machine can run.
type redisNode interface {
	addr() string // host:port
	start() error
	stop() error   // in an orderly way; the data stays
	pause() error  // it keeps its connections and answers nothing
	resume() error // after pause
	end()          // at once, also while paused
	alive() bool
	command(stack.Verb) string // what a person would type
}

// Start starts everything and gives the stack once both services are ready. keep is the command that Keep runs in: this
// program with the argument that leads there.
func Start(keep *exec.Cmd) (stack *Stack, err error) {
	removeLeftovers()
	dir, err := os.MkdirTemp("", dirPattern)
	if err != nil {
		return nil, fmt.Errorf("making a folder for the demo: %w", err)
	}
	s := &Stack{dir: dir}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.log, err = os.OpenFile(filepath.Join(dir, "services.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return nil, fmt.Errorf("opening the services' log: %w", err)
	}
	s.logger = slog.New(slog.NewJSONHandler(s.log, nil))
	if s.keeper, err = startKeeper(keep, dir); err != nil {
		return nil, err
	}
	if err := s.startNodes(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	for _, want := range []struct {
		mode service.Mode
		addr string
	}{{service.ModeCP, AddrCP}, {service.ModeAP, AddrAP}} {
		started, err := s.startInstance(want.mode, want.addr)
		if err != nil {
			return nil, err
		}
		s.services = append(s.services, started)
		s.done.Go(func() { started.serve(ctx) })
	}
	if err := s.awaitReady(ctx); err != nil {
		return nil, err
	}
	for _, i := range s.services {
		s.done.Go(func() { load(ctx, i.client(), time.Now().UnixNano()) })
	}
	return s, nil
}

// awaitReady waits until both services use both nodes: the first picture is that of a pair that is well.
func (s *Stack) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		waiting := ""
		for _, i := range s.services {
			if why := notReady(ctx, i); why != "" {
				waiting = fmt.Sprintf("app_%s: %s", i.mode, why)
			}
		}
		if waiting == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the nodes run, but are not settled yet (%s): %w", waiting, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func notReady(ctx context.Context, i *instance) string {
	health, err := i.client().Health(ctx)
	if err != nil {
		return err.Error()
	}
	for _, n := range health.Nodes {
		switch {
		case !n.Reachable:
			return "cannot reach " + n.Name
		case n.Rejoin.Active:
			return "is settling " + n.Name
		case n.Breaker != service.BreakerClosed.String():
			return "its breaker before " + n.Name + " is " + n.Breaker
		}
	}
	return ""
}

func (s *Stack) startNodes() error {
	for i, name := range []string{service.G1, service.G2} {
		err := s.startNode(i, name)
		for tries := 1; errors.Is(err, errTaken) && tries < 5; tries++ { // two demos that begin at once find the same ports free
			err = s.startNode(i, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Stack) startNode(i int, name string) error {
	n, engine, err := newNode(filepath.Join(s.dir, name), s.keeper)
	if err != nil {
		return fmt.Errorf("preparing %s: %w", name, err)
	}
	s.nodes[i], s.engine = n, engine
	if err := n.start(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	s.parts[i].since = time.Now()
	s.links[i], err = link.New("127.0.0.1:0", n.addr())
	return err
}

// Close ends everything that Start started and removes its files.
func (s *Stack) Close() {
	if s.stop != nil {
		s.stop()
	}
	for _, l := range s.links {
		if l != nil {
			l.Reset() // nothing in flight is worth waiting for
		}
	}
	s.done.Wait()
	for _, n := range s.nodes {
		if n != nil {
			n.end()
		}
	}
	for _, l := range s.links {
		if l != nil {
			l.Close()
		}
	}
	if s.log != nil {
		_ = s.log.Close()
	}
	if s.keeper != nil {
		s.keeper.close() // which removes the folder
	}
	_ = os.RemoveAll(s.dir)
}

// URL is the base URL of the service of a mode.
func (s *Stack) URL(mode service.Mode) string {
	for _, i := range s.services {
		if i.mode == mode {
			return "http://" + i.listener.Addr().String()
		}
	}
	return ""
}

// NodeURLs are the Redis URLs of db_g1 and db_g2, past the links that the services use: what is cut off from the
// services still answers who looks at it from here.
func (s *Stack) NodeURLs() (g1, g2 string) {
	return "redis://" + s.nodes[0].addr(), "redis://" + s.nodes[1].addr()
}

// About says in a few words what runs, and at which ports if they are not the usual ones.
func (s *Stack) About() string {
	text := "demo on " + s.engine
	for _, i := range s.services {
		if i.moved {
			_, port, _ := net.SplitHostPort(i.listener.Addr().String())
			text += fmt.Sprintf(", app_%s on port %s", i.mode, port)
		}
	}
	return text
}

// Log is the file that the services log to, for as long as the demo runs.
func (s *Stack) Log() string { return s.log.Name() }
