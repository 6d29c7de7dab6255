// Package lab runs processes on the loopback interface for measurements and long tests: Redis nodes, capd instances and
// what they are compared with. Whatever it starts ends with it, on Linux also when this process is killed.
package lab

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Lab is a folder and the processes that work in it. Safe for concurrent use.
type Lab struct {
	dir       string
	mu        sync.Mutex
	processes []*Process
}

// Open makes an empty lab. Close it.
func Open() (*Lab, error) {
	removeLeftovers()
	dir, err := os.MkdirTemp("", fmt.Sprintf("captop-lab-%d-*", os.Getpid()))
	if err != nil {
		return nil, fmt.Errorf("making a folder for the lab: %w", err)
	}
	return &Lab{dir: dir}, nil
}

// removeLeftovers removes the folders of labs whose processes were killed.
func removeLeftovers() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), "captop-lab-*")) // the pattern is well formed
	for _, dir := range dirs {
		var pid int
		if _, err := fmt.Sscanf(filepath.Base(dir), "captop-lab-%d-", &pid); err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir)
		}
	}
}

// Close ends every process and removes the folder.
func (l *Lab) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.processes {
		p.Kill()
	}
	_ = os.RemoveAll(l.dir)
}

// Processes are those that run.
func (l *Lab) Processes() (running []*Process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.processes {
		if p.Running() {
			running = append(running, p)
		}
	}
	return running
}

// Process is a program that was started. Its address stays the same over kills and restarts. Safe for concurrent use.
type Process struct {
	name string
	addr string // host:port that it listens at
	log  string // file of what it prints
	make func() *exec.Cmd

	mu      sync.Mutex
	command *exec.Cmd
	exited  chan struct{} // closed when command has ended
}

// startTimeout bounds how long a program may take until it listens.
const startTimeout = 30 * time.Second

// Start runs a program that listens at addr, and waits until it does. Its output goes to a file in the lab.
func (l *Lab) Start(name, addr string, environ []string, program string, args ...string) (*Process, error) {
	p := &Process{name: name, addr: addr, log: filepath.Join(l.dir, name+".log")}
	p.make = func() *exec.Cmd {
		command := exec.Command(program, args...)
		command.Dir, command.Env = l.dir, append(os.Environ(), environ...)
		command.SysProcAttr = endWithParent()
		return command
	}
	l.mu.Lock()
	l.processes = append(l.processes, p)
	l.mu.Unlock()
	return p, p.Restart()
}

// Addr is host:port.
func (p *Process) Addr() string { return p.addr }

// URL is the base URL of a service.
func (p *Process) URL() string { return "http://" + p.addr }

// RedisURL is redis://host:port.
func (p *Process) RedisURL() string { return "redis://" + p.addr }

// Running says whether it runs.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running()
}

func (p *Process) running() bool {
	if p.command == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Kill ends it with SIGKILL, also while it is paused.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kill()
}

func (p *Process) kill() {
	if p.command != nil {
		_ = p.command.Process.Kill()
		<-p.exited
		p.command = nil
	}
}

// Restart starts it again, killing it first if it runs, and waits until it listens.
func (p *Process) Restart() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kill()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log of %s: %w", p.name, err)
	}
	defer log.Close()
	command := p.make()
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	p.command, p.exited = command, make(chan struct{})
	go func(exited chan struct{}) {
		_ = command.Wait()
		close(exited)
	}(p.exited)
	return p.await()
}

func (p *Process) await() error {
	for limit := time.Now().Add(startTimeout); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", p.addr, time.Second)
		if err == nil {
			return conn.Close()
		}
		if !p.running() || time.Now().After(limit) {
			return fmt.Errorf("%s does not listen at %s; it printed: %s", p.name, p.addr, p.tail())
		}
	}
}

// tail is the end of what it printed.
func (p *Process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	const most = 2000
	return string(bytes.TrimSpace(text[max(0, len(text)-most):]))
}

// Pause stops it as a host does that hangs (SIGSTOP).
func (p *Process) Pause() { p.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (p *Process) Resume() { p.signal(syscall.SIGCONT) }

func (p *Process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		_ = p.command.Process.Signal(s)
	}
}

// PID is the process id; 0 while it does not run.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return 0
	}
	return p.command.Process.Pid
}

var errNoPort = errors.New("no free port between 16000 and 30000")

// FreeAddr finds a port below the range of outgoing connections, so that a client that dials a stopped server cannot
// end up connected to itself.
func FreeAddr() (string, error) {
	for port := 16000 + os.Getpid()%4000; port < 30000; port += 3 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if listener, err := net.Listen("tcp", addr); err == nil {
			return addr, listener.Close()
		}
	}
	return "", errNoPort
}
