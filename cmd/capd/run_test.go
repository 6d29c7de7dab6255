package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"captop/service"
	"captop/service/api"
	"captop/service/node/nodetest"
)

// asProgram makes the test binary be capd.
const asProgram = "CAPD_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// daemon is a capd process of a test.
type daemon struct {
	process *exec.Cmd
	base    string
	environ []string
	log     chan map[string]any // its lines, until it ends
}

// patience bounds every wait of these tests; nothing is measured with it.
const patience = 20 * time.Second

func start(t *testing.T, environ ...string) *daemon {
	t.Helper()
	d := &daemon{environ: append([]string{asProgram + "=1", "LISTEN_ADDR=127.0.0.1:0", "LOG_LEVEL=DEBUG"}, environ...),
		log: make(chan map[string]any, 10000)}
	d.process = exec.Command(os.Args[0])
	d.process.Env = d.environ
	d.process.Stderr = os.Stderr
	out, err := d.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.process.Process.Kill() })
	go func() {
		defer close(d.log)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var line map[string]any
			if json.Unmarshal(lines.Bytes(), &line) == nil {
				d.log <- line
			}
		}
	}()
	d.base = "http://" + d.await(t, "LISTENING")["address"].(string)
	return d
}

// await gives the next log line with a message.
func (d *daemon) await(t *testing.T, message string) map[string]any {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case line, open := <-d.log:
			if !open {
				t.Fatalf("capd ended before it logged %s", message)
			}
			if line["msg"] == message {
				return line
			}
		case <-limit:
			t.Fatalf("capd did not log %s", message)
		}
	}
}

func (d *daemon) wait(t *testing.T) error {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- d.process.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		t.Fatal("capd did not end")
	}
	return nil
}

// ready waits until both nodes are reached and settled.
func (d *daemon) ready(t *testing.T) *api.Client {
	t.Helper()
	client := api.NewClient(d.base, "", &http.Transport{})
	for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		body, err := client.Health(t.Context())
		if err == nil && body.Status == api.StatusOK {
			return client
		}
		if time.Now().After(limit) {
			t.Fatalf("health: %+v %v", body, err)
		}
	}
}

func TestBothModesServeAndDrain(t *testing.T) {
	for _, mode := range []string{"cp", "ap"} {
		t.Run(mode, func(t *testing.T) {
			g1, g2 := nodetest.Start(t), nodetest.Start(t)
			d := start(t, "MODE="+mode, "DB_G1_URL="+g1.URL(), "DB_G2_URL="+g2.URL(), "DRAIN_SEC=1",
				"SESSION_STORE=redis", "RATE_LIMITS=1000 per hour;100 per minute")
			client := d.ready(t)
			written, err := client.Write(t.Context(), "a/key of ü", []byte("a value"))
			if err != nil || written.Outcome != service.Applied {
				t.Fatalf("write: %+v %v", written, err)
			}
			value, err := client.Read(t.Context(), "a/key of ü", service.ReadOptions{})
			if err != nil || value.Value.Value != "a value" || value.ReadYourWrites == nil || !*value.ReadYourWrites {
				t.Fatalf("read: %+v %v", value, err)
			}
			d.process.Process.Signal(syscall.SIGTERM)
			d.await(t, "DRAINING")
			body, err := client.Health(t.Context())
			if err != nil || body.Status != api.StatusDraining {
				t.Errorf("health while draining: %+v %v", body, err)
			}
			if _, err := client.Write(t.Context(), "k", []byte("v")); err != nil {
				t.Errorf("a write while draining: %v", err)
			}
			if err := d.wait(t); err != nil {
				t.Errorf("exit after draining: %v", err)
			}
		})
	}
}

func TestAnotherInterruptEndsAtOnce(t *testing.T) {
	d := start(t, "MODE=ap", "DRAIN_SEC=3600")
	d.process.Process.Signal(syscall.SIGTERM)
	d.await(t, "DRAINING")
	d.process.Process.Signal(syscall.SIGINT)
	if err := d.wait(t); err == nil {
		t.Error("the second signal ended capd with exit code 0")
	}
}

// Whoever stops an instance that is draining waits for the same drain.
func TestAnotherTermCutsNothingShort(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	d := start(t, "MODE=ap", "DB_G1_URL="+g1.URL(), "DB_G2_URL="+g2.URL(), "DRAIN_SEC=1")
	client := d.ready(t)
	d.process.Process.Signal(syscall.SIGTERM)
	d.await(t, "DRAINING")
	d.process.Process.Signal(syscall.SIGTERM)
	d.process.Process.Signal(syscall.SIGTERM)
	if _, err := client.Write(t.Context(), "k", []byte("v")); err != nil {
		t.Errorf("a write while draining: %v", err)
	}
	if err := d.wait(t); err != nil {
		t.Errorf("exit after draining: %v", err)
	}
}

func TestHealthCommand(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	d := start(t, "MODE=cp", "DB_G1_URL="+g1.URL(), "DB_G2_URL="+g2.URL())
	d.ready(t)
	own := append(d.environ, "LISTEN_ADDR="+strings.TrimPrefix(d.base, "http://"))
	var out bytes.Buffer
	err := run(t.Context(), []string{"health"}, stdio{own, &out, io.Discard})
	if status := strings.TrimSpace(out.String()); err != nil || status != "ok" && status != "degraded" {
		t.Errorf("capd health: %q %v", out.String(), err)
	}
	own = append(own, "LISTEN_ADDR="+nodetest.FreeAddr(t))
	if err := run(t.Context(), []string{"health"}, stdio{own, io.Discard, io.Discard}); err == nil {
		t.Error("capd health of nobody: no error")
	}
}

func TestOwnAddress(t *testing.T) {
	for addr, want := range map[string]string{":5001": "127.0.0.1:5001", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "[::1]:1",
		"10.1.2.3:4": "10.1.2.3:4", "name:5": "name:5"} {
		if got := ownAddress(addr); got != want {
			t.Errorf("%s: %s, wanted %s", addr, got, want)
		}
	}
}

func TestTokenCommand(t *testing.T) {
	var out bytes.Buffer
	if err := run(context.Background(), []string{"token", "bob", "write"}, stdio{nil, &out, io.Discard}); err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(out.String(), "line   ")
	if _, err := api.ParseTokens(strings.NewReader(line)); err != nil {
		t.Errorf("the line %q: %v", line, err)
	}
	if err := run(context.Background(), []string{"token", "bob", "king"}, stdio{nil, &out, io.Discard}); err == nil {
		t.Error("role king: no error")
	}
}

func TestPseudonymsInLogs(t *testing.T) {
	var out bytes.Buffer
	logger, closeLog := newLogger(settings{LogAnonymize: true, SecretKey: goodKey}, &out)
	logger.With(slog.String("operation", "write")).Info("write", api.LogKey, "alice@example.org", api.LogClient, "192.0.2.7")
	logger.Info("write", api.LogKey, "alice@example.org")
	if err := closeLog(); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Contains(text, "alice") || strings.Contains(text, "192.0.2.7") {
		t.Errorf("the log tells who it was:\n%s", text)
	}
	var first, second struct{ Key, Client string }
	lines := strings.Split(out.String(), "\n")
	if json.Unmarshal([]byte(lines[0]), &first) != nil || json.Unmarshal([]byte(lines[1]), &second) != nil {
		t.Fatalf("not JSON:\n%s", out.String())
	}
	if first.Key == "" || first.Key != second.Key || first.Client == "" {
		t.Errorf("pseudonyms: %+v %+v", first, second)
	}
}

func TestLogFileGetsWhatStdoutGets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "capd.log")
	var out bytes.Buffer
	logger, closeLog := newLogger(settings{LogFile: path}, &out)
	logger.Info("write")
	if err := closeLog(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || len(text) == 0 || !bytes.Equal(text, out.Bytes()) {
		t.Errorf("the file holds %q, stdout got %q, %v", text, out.String(), err)
	}
}
