package sight

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"captop/deploy/doctor"
)

// outcomes runs checks, and holds what becomes of each against what is wanted.
func outcomes(t *testing.T, l *Looker, wanted map[string]doctor.Outcome) map[string]doctor.Result {
	t.Helper()
	lines := slices.DeleteFunc(doctor.Checklist(), func(line doctor.Line) bool { _, ok := wanted[line.Name]; return !ok })
	if len(lines) != len(wanted) {
		t.Fatalf("of %d checks only %d are in the checklist", len(wanted), len(lines))
	}
	results := map[string]doctor.Result{}
	for _, r := range doctor.Run(t.Context(), l.Eyes(t.Context()), lines, func(doctor.Result) {}) {
		results[r.Name] = r
		if r.Outcome != wanted[r.Name] {
			t.Errorf("%s: %s, wanted %s; it has seen %q", r.Name, r.Outcome, wanted[r.Name], r.Seen)
		}
	}
	return results
}

func newLooker(t *testing.T, config Config) *Looker {
	t.Helper()
	l, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// all gives the same outcome to several checks.
func all(outcome doctor.Outcome, names ...string) map[string]doctor.Outcome {
	wanted := map[string]doctor.Outcome{}
	for _, name := range names {
		wanted[name] = outcome
	}
	return wanted
}

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string // PEM
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{certificate: certificate, key: key, file: filepath.Join(t.TempDir(), "ca.pem")}
	write(t, a.file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
	return a
}

// issue makes a certificate for the loopback interface, good until then, and its files.
func (a authority) issue(t *testing.T, until time.Time) (tls.Certificate, string, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: until,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	pair, err := tls.X509KeyPair(chain, secret)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir+"/tls.crt", string(chain), 0o644)
	write(t, dir+"/tls.key", string(secret), 0o600)
	return pair, dir + "/tls.crt", dir + "/tls.key"
}

func write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

// capd builds the service.
func capd(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "capd")
	build := exec.Command("go", "build", "-o", binary, "captop/cmd/capd")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building capd: %v\n%s", err, output)
	}
	return binary
}

// start runs a program until the test ends, once address answers anything over HTTP.
func start(t *testing.T, address string, environ []string, args ...string) {
	t.Helper()
	command := exec.Command(args[0], args[1:]...)
	command.Env = environ
	var log strings.Builder
	command.Stderr = &log
	if err := command.Start(); err != nil {
		t.Fatalf("this test needs %s: %v", args[0], err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	web := newWeb()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		answer, err := web.Get(address)
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer at %s: %v\n%s", args[0], address, err, log.String())
		}
	}
}
