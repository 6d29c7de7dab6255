package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"captop/service/node/nodetest"
)

// startCapd runs a real capd on nodes of these URLs until the test ends, and gives its URL.
func startCapd(t *testing.T, binary, mode, g1, g2 string) string {
	t.Helper()
	addr := nodetest.FreeAddr(t)
	daemon := exec.Command(binary, "--mode", mode)
	daemon.Env = append(os.Environ(), "LISTEN_ADDR="+addr, "DB_G1_URL="+g1, "DB_G2_URL="+g2)
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
	})
	return "http://" + addr
}

// TestRealPair watches the real services on real nodes while db_g2 dies and comes back.
func TestRealPair(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "capd")
	if out, err := exec.Command("go", "build", "-o", binary, "captop/cmd/capd").CombinedOutput(); err != nil {
		t.Fatalf("building capd: %v\n%s", err, out)
	}
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	args := []string{"--once", "--json", "--interval", "500ms", "--g1", g1.URL(), "--g2", g2.URL(),
		"--cp", startCapd(t, binary, "cp", g1.URL(), g2.URL()), "--ap", startCapd(t, binary, "ap", g1.URL(), g2.URL())}
	expect := func(want string, wantCode int) {
		t.Helper()
		var out string
		for limit := time.Now().Add(time.Minute); time.Now().Before(limit); {
			var code int
			code, out, _ = capture(t, args...)
			var snap struct{ Verdict struct{ Situation string } }
			if err := json.Unmarshal([]byte(out), &snap); err != nil {
				t.Fatalf("%v in %s", err, out)
			}
			if snap.Verdict.Situation == want && code == wantCode {
				return
			}
		}
		t.Fatalf("never saw %s with exit code %d; last\n%s", want, wantCode, out)
	}
	expect("ok", 0)
	g2.Kill()
	expect("g2_down", 2)
	g2.Restart()
	expect("ok", 0)
	g1.Kill()
	g2.Kill()
	expect("both_out", 2)
}
