//go:build unix

package record

import (
	"errors"
	"os"
	"syscall"
)

// lock takes a lock on an open file that ends with the process, however it ends. Others that look whether it is taken
// hold it for a moment: it is waited for.
func lock(file *os.File) error {
	for {
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// locked says whether somebody has the lock.
func locked(file *os.File) bool {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
}
