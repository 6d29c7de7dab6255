package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A container has the clock of its host, and its programs ask the kernel for it past every library. So the faults of clocks
// run the real capd with another package time: Now is off by what the two signals have made of it.
const (
	offClock = "\tsec += off.Load()\n"
	offVar   = "\nvar off atomic.Int64\n\n// SetOff is of a test.\nfunc SetOff(seconds int64) { off.Store(seconds) }\n"
	offMain  = `package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

func init() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		off := int64(0)
		for one := range signals {
			if one == syscall.SIGUSR1 {
				off += 3600
			} else {
				off -= 3600
			}
			time.SetOff(off)
		}
	}()
}
`
)

// withStepping gives the stack an image of capd whose clock SIGUSR1 sets an hour ahead, and SIGUSR2 an hour back.
func (s *stack) withStepping(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	clock := filepath.Join(strings.TrimSpace(string(goroot)), "src", "time", "time.go")
	text, err := os.ReadFile(clock)
	if err != nil {
		t.Fatal(err)
	}
	const reading, imports = "\tsec, nsec, mono := runtimeNow()\n", "import (\n"
	if strings.Count(string(text), reading) != 1 || strings.Count(string(text), imports) != 1 {
		t.Fatalf("%s reads the clock in another way than this test knows", clock)
	}
	changed := strings.Replace(string(text), reading, reading+offClock, 1)
	changed = strings.Replace(changed, imports, imports+"\t\"sync/atomic\"\n", 1) + offVar
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		clock: write("time.go", changed), filepath.Join(root(t), "cmd", "capd", "off.go"): write("off.go", offMain)}})
	if err != nil {
		t.Fatal(err)
	}
	write("overlay.json", string(overlay))
	write("Dockerfile", "ARG BASE\nFROM $BASE\nCOPY capd /capd\n")
	const image = "captop/capd:test-clock"
	s.sh(t, "CGO_ENABLED=0 go build -overlay "+dir+"/overlay.json -o "+dir+"/capd ./cmd/capd && "+
		"docker build -q -t "+image+" --build-arg BASE=$CAPD_IMAGE "+dir)
	s.environ = append(s.environ, "CAPD_IMAGE="+image)
}
