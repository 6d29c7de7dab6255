package act

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lock makes this process the only one that acts on the stack. Who is at it already is in the file.
func (e *Engine) lock(plan Plan) (release func(), err error) {
	sum := sha256.Sum256([]byte(e.Stack.About()))
	path := filepath.Join(filepath.Dir(e.Journal.Path), "acting-"+hex.EncodeToString(sum[:6])+".lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("locking the stack: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the stack: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder, _ := os.ReadFile(path)
		_ = file.Close()
		return nil, refuse("one act at a time: %s", orSomebody(string(holder)))
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("locking the stack: %w", err)
	}
	// The words are for people: the lock is what holds.
	_ = file.Truncate(0)
	_, _ = file.WriteAt(fmt.Appendf(nil, "%s is at %q since %s", e.Who, plan.Title(), e.Now().UTC().Format("15:04:05")), 0)
	return func() { _ = file.Close() }, nil
}

func orSomebody(holder string) string {
	if holder == "" {
		return "somebody is at it"
	}
	return holder
}
