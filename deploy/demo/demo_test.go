package demo_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/deploy/demo"
	wanted "captop/deploy/stack"
	"captop/service"
	"captop/service/api"
)

// The test binary plays two more parts: the keeper, and a demo to be killed.
const (
	keeperPart = "keep"
	demoPart   = "demo"
)

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 3 && os.Args[1] == keeperPart:
		fmt.Fprintln(os.Stderr, demo.Keep(os.Stdin, os.Args[2]))
		os.Exit(1)
	case len(os.Args) == 2 && os.Args[1] == demoPart:
		stack, err := demo.Start(keeper())
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		g1, g2 := stack.NodeURLs()
		fmt.Println(filepath.Dir(stack.Log()), strings.TrimPrefix(g1, "redis://"), strings.TrimPrefix(g2, "redis://"))
		if err := do(stack, wanted.Pause); err != nil { // the hardest one to get rid of
			fmt.Println(err)
		}
		select {}
	}
	os.Exit(m.Run())
}

// do does it to db_g2.
func do(on *demo.Stack, verb wanted.Verb) error {
	return on.Do(context.Background(), wanted.Part{Service: service.G2, Instance: service.G2}, verb)
}

func keeper() *exec.Cmd { return exec.Command(os.Args[0], keeperPart) }

func start(t *testing.T) *demo.Stack {
	t.Helper()
	stack, err := demo.Start(keeper())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stack.Close)
	return stack
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func write(stack *demo.Stack, mode service.Mode) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := api.NewClient(stack.URL(mode), "", nil).Write(ctx, "k", []byte("v"))
	return err
}

func listens(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func TestCutPauseAndHeal(t *testing.T) {
	stack := start(t)
	for name, end := range map[wanted.Verb]wanted.Verb{wanted.Cut: wanted.Heal, wanted.Pause: wanted.Unpause, wanted.Stop: wanted.Start} {
		if err := do(stack, name); err != nil {
			t.Fatal(err)
		}
		if err := write(stack, service.ModeCP); err == nil {
			t.Fatalf("%s: app_cp took a write without db_g2", name)
		}
		if err := write(stack, service.ModeAP); err != nil {
			t.Fatalf("%s: app_ap refused a write with db_g1 up: %v", name, err)
		}
		if err := do(stack, end); err != nil {
			t.Fatal(err)
		}
		eventually(t, "app_cp writes again after "+string(name), func() bool { return write(stack, service.ModeCP) == nil })
	}
}

func TestParts(t *testing.T) {
	stack := start(t)
	part := func() wanted.Part {
		t.Helper()
		parts, err := stack.Parts(t.Context())
		if err != nil || len(parts) != 2 {
			t.Fatal(parts, err)
		}
		return parts[1]
	}
	before := part()
	for _, step := range []struct {
		verb  wanted.Verb
		state wanted.State
		cut   bool
	}{{wanted.Cut, wanted.Running, true}, {wanted.Heal, wanted.Running, false}, {wanted.Pause, wanted.Paused, false},
		{wanted.Unpause, wanted.Running, false}, {wanted.Stop, wanted.Stopped, false}, {wanted.Start, wanted.Running, false}, {wanted.Restart, wanted.Running, false}} {
		if command, err := stack.Command(before, step.verb); err != nil || command == "" {
			t.Errorf("%s: %q %v", step.verb, command, err)
		}
		if err := do(stack, step.verb); err != nil {
			t.Fatal(step.verb, err)
		}
		if now := part(); now.State != step.state || now.Cut != step.cut || now.Service != service.G2 {
			t.Errorf("after %s: %+v", step.verb, now)
		}
	}
	if now := part(); !now.Since.After(before.Since) {
		t.Errorf("since %v, before %v", now.Since, before.Since)
	}
	if err := stack.Do(t.Context(), wanted.Part{Instance: "db_g3"}, wanted.Stop); !errors.Is(err, wanted.ErrNoPart) {
		t.Error(err)
	}
}

// TestRestartEndsAScript: db_g2 is busy with a script that writes for ever, which neither SCRIPT KILL nor a signal ends.
func TestRestartEndsAScript(t *testing.T) {
	stack := start(t)
	_, g2 := stack.NodeURLs()
	options, err := redis.ParseURL(g2)
	if err != nil {
		t.Fatal(err)
	}
	options.ReadTimeout, options.MaxRetries = -1, -1 // the script is not to run again
	db := redis.NewClient(options)
	defer db.Close()
	if err := db.ConfigSet(t.Context(), "lua-time-limit", "20").Err(); err != nil {
		t.Fatal(err)
	}
	go db.Eval(t.Context(), "while true do redis.call('SET', KEYS[1], '') end", []string{"endless"})
	eventually(t, "db_g2 is busy", func() bool { return redis.HasErrorPrefix(db.Ping(t.Context()).Err(), "BUSY") })
	if err := do(stack, wanted.Restart); err != nil {
		t.Fatal(err)
	}
	eventually(t, "app_cp writes again", func() bool { return write(stack, service.ModeCP) == nil })
	if n, err := db.Exists(t.Context(), "endless").Result(); err != nil || n != 0 {
		t.Errorf("what the script had written so far was kept: %d, %v", n, err)
	}
}

// TestACrashIsSeen: somebody else has killed db_g2.
func TestACrashIsSeen(t *testing.T) {
	stack := start(t)
	_, g2 := stack.NodeURLs()
	conn, err := net.Dial("tcp", strings.TrimPrefix(g2, "redis://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, "SHUTDOWN NOSAVE FORCE\r\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "db_g2 counts as stopped", func() bool {
		parts, err := stack.Parts(t.Context())
		return err == nil && parts[1].State == wanted.Stopped
	})
	if err := do(stack, wanted.Restart); err != nil {
		t.Fatal(err)
	}
	eventually(t, "app_cp writes again", func() bool { return write(stack, service.ModeCP) == nil })
}

func TestTakenPortsAreSaid(t *testing.T) {
	for _, address := range []string{demo.AddrCP, demo.AddrAP} {
		if listener, err := net.Listen("tcp", address); err == nil {
			defer listener.Close()
		} // else another program has it already, which is as good
	}
	stack := start(t)
	for _, mode := range []service.Mode{service.ModeCP, service.ModeAP} {
		_, port, _ := net.SplitHostPort(strings.TrimPrefix(stack.URL(mode), "http://"))
		if want := fmt.Sprintf("app_%s on port %s", mode, port); !strings.Contains(stack.About(), want) {
			t.Errorf("%q does not say %q", stack.About(), want)
		}
		if err := write(stack, mode); err != nil {
			t.Error(err)
		}
	}
}

// TestNothingOutlivesAKill: the process is killed with -9 while db_g2 is paused; servers and files are gone, and
// another demo starts.
func TestNothingOutlivesAKill(t *testing.T) {
	process := exec.Command(os.Args[0], demoPart)
	output, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	var dir, g1, g2 string
	if _, err := fmt.Fscan(output, &dir, &g1, &g2); err != nil {
		t.Fatalf("the demo did not start: %v", err)
	}
	if !listens(g1) || !listens(g2) {
		t.Fatalf("the demo's nodes do not listen at %s and %s", g1, g2)
	}
	if err := process.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()
	eventually(t, "the servers end", func() bool { return !listens(g1) && !listens(g2) })
	eventually(t, "the files go", func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) })
	if err := write(start(t), service.ModeAP); err != nil {
		t.Fatal(err)
	}
}

// TestWithoutRedisServer: a machine with nothing but Go runs the demo too.
func TestWithoutRedisServer(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	stack, err := demo.Start(exec.Command(self, keeperPart))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stack.Close)
	if !strings.Contains(stack.About(), "miniredis") {
		t.Fatalf("it runs on %s", stack.About())
	}
	if err := write(stack, service.ModeCP); err != nil {
		t.Fatal(err)
	}
	if err := do(stack, wanted.Pause); err != nil {
		t.Fatal(err)
	}
	if err := write(stack, service.ModeCP); err == nil {
		t.Fatal("app_cp took a write while db_g2 was paused")
	}
	if err := do(stack, wanted.Unpause); err != nil {
		t.Fatal(err)
	}
	if err := do(stack, wanted.Restart); err != nil {
		t.Fatal(err)
	}
	eventually(t, "app_cp writes again", func() bool { return write(stack, service.ModeCP) == nil })
	if err := write(stack, service.ModeAP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what app_ap took comes to db_g2", func() bool {
		value, err := api.NewClient(stack.URL(service.ModeAP), "", nil).Read(t.Context(), "k", service.ReadOptions{Node: service.G2})
		return err == nil && value.Value.Value == "v"
	})
}

func TestKeepTouchesNothingElse(t *testing.T) {
	precious := t.TempDir()
	if err := demo.Keep(strings.NewReader(""), precious); err == nil {
		t.Fatal("it ran outside a demo")
	}
	if _, err := os.Stat(precious); err != nil {
		t.Fatal(err)
	}
}
