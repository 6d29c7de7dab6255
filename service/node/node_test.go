package node_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/node"
	"captop/service/node/nodetest"
)

var echo = redis.NewScript("redis.call('SET', KEYS[1], ARGV[1]) return ARGV[1]")

func open(t testing.TB, url string) *node.Node {
	t.Helper()
	config := node.DefaultConfig(service.G1, url)
	config.Timeout, config.BreakerFailures, config.BreakerOpenFor = 300*time.Millisecond, 3, 300*time.Millisecond
	config.Logger = slog.New(slog.DiscardHandler)
	n, err := node.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// within gives a context of one request.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// current waits for the incarnation that runs, other than before.
func current(t testing.TB, n *node.Node, before string) *node.Incarnation {
	t.Helper()
	var inc *node.Incarnation
	var last error
	defer func() {
		if t.Failed() {
			t.Logf("the last answer was %v", last)
		}
	}()
	eventually(t, "an incarnation other than "+before, func() bool {
		got, err := n.Current(within(t))
		inc, last = got, err
		return err == nil && got.RunID != before
	})
	return inc
}

func TestIncarnationNeverReachesALaterRun(t *testing.T) {
	server := nodetest.Start(t)
	n := open(t, server.URL())
	first := current(t, n, "")
	if _, err := first.Run(within(t), echo, []string{"k"}, "v1"); err != nil {
		t.Fatal(err)
	}
	server.Restart()
	second := current(t, n, first.RunID)
	for range 20 {
		if _, err := first.Run(within(t), echo, []string{"k"}, "late"); err == nil {
			t.Fatal("a command of the first run was answered by the second")
		} else if node.Sent(err) {
			t.Fatalf("a command that no connection was had for counts as sent: %v", err)
		}
	}
	var got string
	err := second.Do(within(t), func(c *redis.Client) (err error) { got, err = c.Get(within(t), "k").Result(); return err })
	if err != nil || got != "v1" {
		t.Fatalf("after the restart: %q, %v; %+v", got, err, n.State())
	}
}

func TestSentTellsWhatMayHaveRun(t *testing.T) {
	server := nodetest.Start(t)
	n := open(t, server.URL())
	inc := current(t, n, "")
	_, err := inc.Run(within(t), redis.NewScript("return redis.call('NOSUCH')"), []string{"k"})
	if err == nil || node.Sent(err) {
		t.Fatalf("an error reply counts as sent: %v", err)
	}
	if !n.State().Reachable {
		t.Fatal("an error reply speaks against the node")
	}
	server.Pause()
	if _, err = inc.Run(within(t), echo, []string{"k"}, "v"); err == nil || !node.Sent(err) {
		t.Fatalf("a command without an answer counts as not sent: %v", err)
	}
	server.Resume()
	server.Kill()
	eventually(t, "the breaker opens", func() bool { return n.State().Breaker.State == service.BreakerOpen })
	_, err = inc.Run(within(t), echo, []string{"k"}, "v")
	if node.Sent(err) {
		t.Fatalf("a command that the breaker held back counts as sent: %v", err)
	}
	state := n.State()
	if state.Reachable || state.Failures == 0 || state.LastError == "" || state.Breaker.NextProbe.IsZero() {
		t.Fatalf("the books of a dead node: %+v", state)
	}
	server.Restart()
	eventually(t, "the breaker closes without traffic", func() bool {
		s := n.State()
		return s.Breaker.State == service.BreakerClosed && s.Reachable
	})
}

func TestABusyCallerIsNotTheNodesFault(t *testing.T) {
	server := nodetest.Start(t)
	n := open(t, server.URL())
	inc := current(t, n, "")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 10 {
		if _, err := inc.Run(ctx, echo, []string{"k"}, "v"); !errors.Is(err, context.Canceled) || node.Sent(err) {
			t.Fatalf("a call after its end: %v", err)
		}
	}
	if s := n.State(); s.Breaker.State != service.BreakerClosed || s.Failures != 0 {
		t.Fatalf("callers that went away were held against the node: %+v", s)
	}
}

func TestWrongPasswordIsAFailure(t *testing.T) {
	server := nodetest.Start(t, "--requirepass", "right")
	n := open(t, "redis://:wrong@"+server.Addr())
	eventually(t, "the wrong password is seen", func() bool { return strings.Contains(n.State().LastError, "WRONGPASS") })
	good := open(t, "redis://:right@"+server.Addr())
	current(t, good, "")
}

func TestBadURLs(t *testing.T) {
	for url, want := range map[string]string{
		"":                                     "invalid URL scheme",
		"http://localhost":                     "invalid URL scheme: http",
		"redis://:secret@host:6379/notanumber": "invalid database number",
		"redis://:secret@host:port":            "not a URL",
		"redis://:secret@h?master_name=m&replicas=1&nope=1":       "unexpected option",
		"redis://:secret@h?master_name=m":                         "replicas must be the number",
		"redis://:secret@h?master_name=m&replicas=two":            "replicas must be the number",
		"redis://:secret@h?master_name=&replicas=2":               "master_name is empty",
		"redis://:secret@h?master_name=m&replicas=2&addr=x":       "an addr is not host:port",
		"redis://:secret@h?cluster=yes&replicas=1":                "cluster can only be true",
		"redis://:secret@h?cluster=true":                          "replicas must be the number",
		"redis://:secret@h/1?cluster=true&replicas=1":             "database 0 only",
		"redis://:secret@h?cluster=true&master_name=m&replicas=1": "exclude each other",
		"redis://:secret@h?replicas=2":                            "unexpected option",
	} {
		_, err := node.Open(node.DefaultConfig(service.G2, url))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), service.G2) {
			t.Errorf("%q: got %v; want %q", url, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func TestSentinelNamesTheNode(t *testing.T) {
	server := nodetest.Start(t)
	_, port, _ := net.SplitHostPort(server.Addr())
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	if err := os.WriteFile(conf, []byte("sentinel monitor pair 127.0.0.1 "+port+" 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := nodetest.StartSentinel(t, conf)
	n := open(t, "redis://"+sentinel+"?master_name=pair&replicas=0")
	inc := current(t, n, "")
	if _, err := inc.Run(within(t), echo, []string{"k"}, "v"); err != nil {
		t.Fatal(err)
	}
	if got, err := server.Ask("GET", "k"); err != nil || got != "v" {
		t.Fatalf("the write is not where Sentinel leads: %v, %v", got, err)
	}
}

func TestTLS(t *testing.T) {
	cert, key := selfSigned(t)
	port := nodetest.FreePort(t)
	nodetest.Start(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key,
		"--tls-ca-cert-file", cert, "--tls-auth-clients", "no")
	n := open(t, "rediss://127.0.0.1:"+port+"?skip_verify=true")
	inc := current(t, n, "")
	if _, err := inc.Run(within(t), echo, []string{"k"}, "v"); err != nil {
		t.Fatal(err)
	}
	strict := open(t, "rediss://127.0.0.1:"+port)
	eventually(t, "an unknown certificate is refused", func() bool { return strings.Contains(strict.State().LastError, "certificate") })
}

func selfSigned(t *testing.T) (cert, key string) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "EC PRIVATE KEY", secret)
}
