package sight

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"captop/deploy/doctor"
)

func ownerOf(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}

func roomOf(path string) (doctor.Room, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return doctor.Room{}, fmt.Errorf("asking for the room on a disk: %w", err)
	}
	return doctor.Room{Free: stat.Bavail * uint64(stat.Bsize), Total: stat.Blocks * uint64(stat.Bsize)}, nil
}

// clockSynchronised asks the kernel, whom the time daemon tells.
func clockSynchronised() (bool, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, fmt.Errorf("asking the kernel for its clock: %w", err)
	}
	return state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, nil
}

// sysctlOf reads a file below /proc/sys in the network namespace of a process. What a thread sees there goes by its own
// namespace, so a thread goes there and never comes back.
func sysctlOf(pid int, path string) (string, error) {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("/proc/%d/ns/net", pid)
	theirs, err := os.Readlink(name)
	if err != nil {
		return "", err
	}
	if own == theirs {
		text, err := os.ReadFile(path)
		return string(text), err
	}
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	onSpareThread(func() {
		text, err := readIn(name, path)
		answers <- answer{text, err}
	})
	a := <-answers
	return a.text, a.err
}

// onSpareThread runs f on a thread that ends with it. The first thread of a process would not end, and stands for the
// whole process in /proc: where the goroutine meets that one, it holds it until another has done the work.
func onSpareThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			f() // the lock is kept, so the thread ends
			return
		}
		done := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			f()
			close(done)
		}()
		<-done
		runtime.UnlockOSThread()
	}()
}

func readIn(namespace, path string) (string, error) {
	opened, err := os.Open(namespace)
	if err != nil {
		return "", err
	}
	defer opened.Close()
	if err := unix.Setns(int(opened.Fd()), unix.CLONE_NEWNET); err != nil {
		return "", errors.Join(errors.New("entering the container's network needs root"), err)
	}
	text, err := os.ReadFile(path)
	return string(text), err
}
