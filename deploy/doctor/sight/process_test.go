package sight

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"captop/deploy/doctor"
	"captop/service/node/nodetest"
)

const password = "4be07d1a8836c5e4f0b97a2d6183"

// TestProcesses runs the pair and its nodes as plain processes of this host, as they should be.
func TestProcesses(t *testing.T) {
	redis := []string{"--requirepass", password, "--maxmemory", "300mb", "--maxmemory-policy", "noeviction", "--maxclients", "2000", "--tcp-backlog", "128",
		"--oom-score-adj", "relative", "--user", "default", "on", ">" + password, "~*", "&*", "+@all", "-flushall", "-flushdb"}
	g1, g2 := nodetest.Start(t, redis...), nodetest.Start(t, redis...)
	ca, dir := newAuthority(t), t.TempDir()
	_, crt, key := ca.issue(t, time.Now().AddDate(0, 3, 0))
	write(t, dir+"/tokens", "shop write 5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5\n", 0o600)
	binary := capd(t)
	config := Config{CA: ca.file, Services: map[string][]string{}, Nodes: map[string]Node{"db_g1": {g1.URL(), false}, "db_g2": {g2.URL(), false}},
		Polls: func(context.Context) ([]doctor.Polled, error) {
			return []doctor.Polled{{Service: "app_cp", Skew: doctor.Know(time.Millisecond)}}, nil
		}}
	for _, mode := range []string{"cp", "ap"} {
		address := "127.0.0.1:" + nodetest.FreePort(t)
		config.Services["app_"+mode] = []string{"https://" + address}
		start(t, "https://"+address+"/health", []string{"APP_ENV=production", "LISTEN_ADDR=" + address, "TLS_CERT_FILE=" + crt, "TLS_KEY_FILE=" + key,
			"TOKENS_FILE=" + dir + "/tokens", "RATE_LIMITS=10 per hour", "SECRET_KEY=9f2c4be07d1a8836c5e4f0b97a2d6183", "LOG_FILE=" + dir + "/" + mode + ".log",
			"DB_G1_URL=redis://:" + password + "@" + g1.Addr(), "DB_G2_URL=redis://:" + password + "@" + g2.Addr()}, binary, "--mode", mode)
	}
	l := newLooker(t, config)
	wanted := all(doctor.Pass, "app-env", "secret-key", "secret-files", "redis-password", "tokens", "rate-limits", "tls-certificate", "tls-protocol", "tls-redirect",
		"redis-published", "published-ports", "redis-maxclients", "redis-maxmemory", "redis-aof", "redis-snapshots", "redis-oom", "redis-flush", "log-level", "log-rotation", "clock-skew", "kernel-somaxconn")
	wanted["tls-hsts"] = doctor.Fail            // capd leaves that to the edge
	wanted["health-checks"] = doctor.CannotTell // nobody checks a plain process that we know of
	wanted["zones"] = doctor.Fail
	if os.Getuid() == 0 {
		wanted["non-root"], wanted["no-new-privileges"] = doctor.Fail, doctor.Fail
	}
	results := outcomes(t, l, wanted)
	if seen := strings.Join(results["redis-published"].Seen, " "); !strings.Contains(seen, "db_g1 (process ") || !strings.Contains(seen, g2.Addr()) {
		t.Errorf("the nodes' processes are seen as %s", seen)
	}
	s, err := l.stack(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range s.units {
		if !u.Memory.OK || !u.PIDs.OK || !u.CPUs.OK || !u.Mounts.OK || !u.ReadOnlyRoot.OK || !u.Capabilities.OK {
			t.Errorf("of %s not everything is known: %+v %+v %+v", u.Name, u.Memory, u.PIDs, u.CPUs)
		}
	}
	g1.Pause() // it hangs: what it was before does not count
	for name, r := range outcomes(t, l, all(doctor.CannotTell, "redis-password", "redis-aof", "redis-snapshots", "redis-oom", "redis-flush", "redis-maxmemory", "clock-skew", "kernel-somaxconn")) {
		if !strings.Contains(r.Seen[0], "db_g1") {
			t.Errorf("%s does not say which node hangs: %s", name, r.Seen)
		}
	}
	g1.Resume()
}

// TestCarelessProcesses runs the same as people leave it who have followed no guide.
func TestCarelessProcesses(t *testing.T) {
	redis := []string{"--bind", "0.0.0.0", "--protected-mode", "no", "--appendonly", "no", "--maxmemory-policy", "allkeys-lru", "--save", "60 1000", "--maxclients", "100", "--loglevel", "debug"}
	g1, g2 := nodetest.Start(t, redis...), nodetest.Start(t, redis...)
	binary := capd(t)
	config := Config{Services: map[string][]string{}, Nodes: map[string]Node{"db_g1": {g1.URL(), true}, "db_g2": {g2.URL(), true}}}
	for _, mode := range []string{"cp", "ap"} {
		port := nodetest.FreePort(t)
		config.Services["app_"+mode] = []string{"http://127.0.0.1:" + port}
		start(t, "http://127.0.0.1:"+port+"/health", []string{"LISTEN_ADDR=0.0.0.0:" + port, "LOG_LEVEL=DEBUG", "DB_G1_URL=" + g1.URL(), "DB_G2_URL=" + g2.URL()}, binary, "--mode", mode)
	}
	outcomes(t, newLooker(t, config), all(doctor.Fail, "app-env", "secret-key", "redis-password", "tokens", "rate-limits", "tls-certificate", "tls-protocol",
		"tls-redirect", "tls-hsts", "redis-published", "published-ports", "redis-maxclients", "redis-maxmemory", "redis-aof", "redis-snapshots", "redis-oom", "redis-flush", "log-level"))
}

func TestWellKnownPassword(t *testing.T) {
	g1, g2 := nodetest.Start(t, "--requirepass", "foobared"), nodetest.Start(t, "--requirepass", password)
	l := newLooker(t, Config{Project: noProject, Nodes: map[string]Node{"db_g1": {"redis://:foobared@" + g1.Addr(), true}, "db_g2": {"redis://:" + password + "@" + g2.Addr(), true}}})
	r := outcomes(t, l, all(doctor.Fail, "redis-password"))["redis-password"]
	if r.Seen[0] != `db_g1 takes the password "foobared"` || strings.Contains(strings.Join(r.Seen, " "), password) {
		t.Errorf("it has seen %q", r.Seen)
	}
}

// TestNothingThere: where nothing is to be found, nothing is well.
func TestNothingThere(t *testing.T) {
	l := newLooker(t, Config{Project: noProject, Services: map[string][]string{"app_cp": {"http://127.0.0.1:1"}},
		Nodes: map[string]Node{"db_g1": {"redis://127.0.0.1:1", true}, "db_g2": {"redis://127.0.0.1:1", true}}})
	for _, r := range doctor.Run(t.Context(), l.Eyes(t.Context()), doctor.Checklist(), func(doctor.Result) {}) {
		if r.Outcome != doctor.CannotTell {
			t.Errorf("%s: %s %q", r.Name, r.Outcome, r.Seen)
		}
	}
}

func TestSecretThatOthersRead(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]os.FileMode{0o600: 0o600, 0o644: 0o644} {
		write(t, dir+"/secret", "x", mode)
		if file, err := readLocal(dir + "/secret"); err != nil || file.Mode.Perm() != want || string(file.Content) != "x" {
			t.Errorf("%o is seen as %+v, %v", mode, file, err)
		}
	}
	if _, err := readLocal(dir + "/none"); !os.IsNotExist(err) {
		t.Errorf("a file that is absent gives %v", err)
	}
}

func TestParseSocket(t *testing.T) {
	for text, want := range map[string]string{"0100007F:1F90": "127.0.0.1:8080", "00000000:0050": "0.0.0.0:80",
		"00000000000000000000000001000000:01BB": "[::1]:443", "0000000000000000FFFF00000100007F:0016": "127.0.0.1:22"} {
		if got, err := parseSocket(text); err != nil || got.String() != want {
			t.Errorf("%s is read as %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "zz:1", "0100:1", "0100007F", "0100007F:FFFFF"} {
		if got, err := parseSocket(text); err == nil {
			t.Errorf("%q is read as %s", text, got)
		}
	}
}
