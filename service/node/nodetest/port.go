package nodetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// FreeAddr is a host:port on the loopback interface that no test of this machine is given a second time while this one
// runs, also while the server on it is dead. It lies below the range from which the kernel takes the ports of outgoing
// connections: a client that dials a dead server's port in that range may end up connected to itself.
func FreeAddr(t testing.TB) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(15000))
		if reserve(t, addr) {
			return addr
		}
	}
	t.Fatal("no free port between 15000 and 30000")
	return ""
}

// FreePort is the port of a FreeAddr.
func FreePort(t testing.TB) string {
	t.Helper()
	_, port, _ := strings.Cut(FreeAddr(t), ":")
	return port
}

// reserve takes a lock that the tests of all packages see. Nobody removes the files: an unlinked one would no longer
// keep two tests apart.
func reserve(t testing.TB, addr string) bool {
	t.Helper()
	locks := filepath.Join(os.TempDir(), "captop-test-ports")
	if err := os.MkdirAll(locks, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(filepath.Join(locks, addr), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	// A listener that is opened to see whether the port is free and closed again may live on for an instant in a child that
	// is being forked, and be in the way of the one who asked. To be refused needs no listener.
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		_ = conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) || syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		_ = lock.Close()
		return false
	}
	t.Cleanup(func() { _ = lock.Close() })
	return true
}
