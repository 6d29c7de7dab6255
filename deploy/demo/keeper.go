package demo

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const dirPattern = "captop-demo-*"

// keeper is a small process that outlives this one by a moment: it holds the reading end of a pipe, and when that
// closes, however this process ended, it kills the process group that the Redis servers are in and removes their files.
type keeper struct {
	process *exec.Cmd
	pipe    io.WriteCloser
}

func startKeeper(command *exec.Cmd, dir string) (*keeper, error) {
	command.Args = append(command.Args, dir)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a group of its own, which a Ctrl-C does not reach
	pipe, err := command.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the demo's keeper: %w", err)
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting the demo's keeper: %w", err)
	}
	return &keeper{process: command, pipe: pipe}, nil
}

// adopt puts a command that is about to start under the keeper's care.
func (k *keeper) adopt(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: k.process.Process.Pid}
	endWithParent(command.SysProcAttr)
}

// close ends the keeper and what it keeps, and waits for it.
func (k *keeper) close() {
	_ = k.pipe.Close()
	_ = k.process.Wait() // it kills itself with its group
}

// Keep is the keeper's side: it waits for the end of in, removes dir, and kills its own process group. It only comes
// back with an error.
func Keep(in io.Reader, dir string) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP, syscall.SIGTERM)
	if pgid, err := syscall.Getpgid(0); err != nil || pgid != os.Getpid() {
		return fmt.Errorf("the keeper of a demo is started by captop demo only")
	}
	if match, err := filepath.Match(dirPattern, filepath.Base(dir)); err != nil || !match {
		return fmt.Errorf("%s is not the folder of a demo", dir)
	}
	// The file's age tells a later start that nobody keeps this folder any more.
	go touch(filepath.Join(dir, "kept"))
	_, _ = io.Copy(io.Discard, in)
	_ = os.RemoveAll(dir)
	return syscall.Kill(0, syscall.SIGKILL)
}

// keptFor is how old a demo's mark may be before a later start takes its folder for left over.
const keptFor = time.Minute

func touch(path string) {
	for ; ; time.Sleep(keptFor / 6) {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			return
		}
	}
}

// removeLeftovers removes the folders of demos whose keeper was killed too.
func removeLeftovers() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPattern)) // the pattern is a good one
	for _, dir := range dirs {
		mark, err := os.Stat(filepath.Join(dir, "kept"))
		if err == nil && time.Since(mark.ModTime()) > keptFor {
			_ = os.RemoveAll(dir)
		}
	}
}
