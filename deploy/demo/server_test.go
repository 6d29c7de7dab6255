package demo

import (
	"errors"
	"os"
	"os/exec"
	"testing"
)

// TestPortOfAnother: two demos that begin at once find the same port free, and one server gets it. That one's answers are not
// the other's.
func TestPortOfAnother(t *testing.T) {
	k, err := startKeeper(exec.Command(os.Args[0], "keep"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	var servers [2]*server
	for i := range servers {
		n, _, err := newNode(t.TempDir(), k)
		if err != nil {
			t.Fatal(err)
		}
		servers[i] = n.(*server)
		defer n.end()
	}
	servers[1].address = servers[0].address
	if err := servers[0].start(); err != nil {
		t.Fatal(err)
	}
	if err := servers[1].start(); !errors.Is(err, errTaken) {
		t.Errorf("a server whose port is taken: %v", err)
	}
}
