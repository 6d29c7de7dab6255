package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const (
	goodKey      = "9f2c4be07d1a8836c5e4f0b97a2d61839f2c4be07d1a8836c5e4f0b97a2d6183"
	goodPassword = "4be07d1a8836c5e4f0b97a2d6183"
)

// unit is an instance of which everything is as it should be.
func unit(service, name string) Unit {
	u := Unit{Service: service, Name: name, ID: name, PID: 7, Local: true, Container: true, Folder: "/srv/shop", Address: "10.9.0.7",
		User: Know("65532:65532"), ReadOnlyRoot: Know(true), Capabilities: Know([]string{}), NoNewPrivileges: Know(true),
		Memory: Know(int64(512 << 20)), CPUs: Know(1.5), PIDs: Know(int64(64)), Health: Know("healthy"), Ports: Know([]Port{}),
		Log:     Know(Log{Driver: "json-file", MaxSize: "10m", MaxFiles: "3"}),
		Mounts:  Know([]Mount{{Kind: "volume", Name: "shop_" + service, Destination: "/data"}, {Kind: "bind", Source: "/srv/shop/secrets", Destination: "/run/secrets/captop"}}),
		Command: Know([]string{"/capd"}), Env: Know(map[string]string{})}
	if strings.HasPrefix(service, "app_") {
		u.Env = Know(map[string]string{"APP_ENV": "production", "SECRET_KEY_FILE": "/run/secrets/captop/secret_key",
			"TOKENS_FILE": "/run/secrets/captop/tokens", "RATE_LIMITS": "1000 per hour", "LOG_LEVEL": "INFO",
			"DB_G1_URL": "redis://:" + goodPassword + "@db_g1:6379", "DB_G2_URL": "redis://:" + goodPassword + "@db_g2:6379"})
	}
	return u
}

// goodEyes see a stack on which every check passes that can.
func goodEyes(t *testing.T) Eyes {
	t.Helper()
	rules, err := os.ReadFile("../prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	haproxy := unit("haproxy", "shop_haproxy_1")
	haproxy.Ports = Know([]Port{{Host: netip.IPv4Unspecified(), Port: "443"}})
	units := []Unit{unit("app_cp", "shop_app_cp_1"), unit("app_cp", "shop_app_cp_2"), unit("app_ap", "shop_app_ap_1"),
		unit("db_g1", "shop_db_g1_1"), unit("db_g2", "shop_db_g2_1"), haproxy}
	return Eyes{
		Targets: Targets{Edges: []string{"https://shop.example"}, Prometheus: "http://prometheus:9090", Alertmanager: "http://alertmanager:9093", Rules: rules},
		Now:     func() time.Time { return noon },
		Units:   func(context.Context) ([]Unit, error) { return units, nil },
		Swarm: func(context.Context) (Swarm, error) {
			return Swarm{Stack: "shop", Tasks: []Task{{"db_g1", "1", "anna", "a"}, {"db_g2", "2", "berta", "b"}, {"app_cp", "1", "anna", "a"}, {"app_cp", "3", "carla", "c"},
				{"app_ap", "2", "berta", "b"}, {"app_ap", "3", "carla", "c"}}}, nil
		},
		ReadFile: func(_ context.Context, _ Unit, path string) (File, error) {
			switch path {
			case "/run/secrets/captop/secret_key":
				return File{Content: []byte(goodKey + "\n"), Mode: 0o440}, nil
			case "/run/secrets/captop/tokens":
				return File{Content: []byte("shop write 0123\n"), Mode: 0o444}, nil
			case "/usr/local/etc/haproxy/haproxy.cfg":
				return File{Content: []byte("global\n  maxconn 100\nbackend cp\n  retry-on conn-failure\n"), Mode: 0o444}, nil
			}
			return File{}, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
		},
		HostFile: func(_ context.Context, path string) (File, error) {
			switch path {
			case "/srv/shop/.env":
				return File{}, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
			case "/srv/shop/secrets":
				return File{Mode: fs.ModeDir | 0o700}, nil
			case "/proc/sys/vm/overcommit_memory":
				return File{Content: []byte("1\n")}, nil
			case "/sys/kernel/mm/transparent_hugepage/enabled":
				return File{Content: []byte("always [madvise] never\n")}, nil
			}
			return File{}, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
		},
		Room:   func(context.Context, Unit, string) (Room, error) { return Room{Free: 50 << 30, Total: 100 << 30}, nil },
		Sysctl: func(context.Context, Unit, string) (string, error) { return "4096\n", nil },
		Listeners: func(context.Context) ([]Listener, error) {
			return []Listener{{Address: netip.MustParseAddrPort("0.0.0.0:443"), Process: "haproxy"}}, nil
		},
		Synchronised: func(context.Context) (bool, error) { return true, nil },
		Redis:        goodRedis,
		Get:          goodWeb(t, rules),
		Handshake: func(_ context.Context, _ string, limit uint16) (Session, error) {
			if limit == tls.VersionTLS11 {
				return Session{}, errors.New("remote error: tls: protocol version not supported")
			}
			return Session{Version: tls.VersionTLS13, Chain: []*x509.Certificate{{NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(90 * 24 * time.Hour)}}}, nil
		},
		Backups: func(context.Context) ([]Backup, error) {
			return []Backup{{Node: "db_g1", TakenAt: noon.Add(-3 * time.Minute), Verified: true}, {Node: "db_g2", TakenAt: noon.Add(-4 * time.Minute), Verified: true}}, nil
		},
		Drills: func(context.Context) ([]Drill, error) {
			return []Drill{{Kind: "restore", At: noon.Add(-50 * time.Hour), OK: true, RPO: time.Minute, RTO: 2 * time.Minute},
				{Kind: "failover", At: noon.Add(-50 * time.Hour), OK: true, RPO: time.Second, RTO: time.Minute}}, nil
		},
		Polls: func(context.Context) ([]Polled, error) {
			return []Polled{{Service: "app_cp", Up: true, Scraped: true, Skew: Know(time.Millisecond)}, {Service: "app_ap", Up: true, Scraped: true, Skew: Know(-time.Millisecond)}}, nil
		},
	}
}

func goodRedis(_ context.Context, _ string, auth Auth, command ...string) (string, error) {
	switch asked := strings.Join(command, " "); {
	case !auth.Configured && auth.Password == "":
		return "", errors.New("NOAUTH Authentication required.")
	case !auth.Configured:
		return "", errors.New("WRONGPASS invalid username-password pair or user is disabled.")
	case asked == "INFO":
		return "# Server\r\nrun_id:0123456789012345678901234567890123456789\r\nmaxclients:2000\r\nconnected_clients:12\r\nrejected_connections:0\r\n" +
			"maxmemory:402653184\r\nmaxmemory_policy:noeviction\r\nused_memory:1000000\r\naof_enabled:1\r\naof_last_write_status:ok\r\naof_last_bgrewrite_status:ok\r\n", nil
	case asked == "TIME":
		return fmt.Sprintf("%d\n%d", noon.Unix(), 2000), nil
	case asked == "ACL WHOAMI":
		return "default", nil
	case asked == "ACL DRYRUN default flushall":
		return "", errors.New("ERR Command 'flushall' not found")
	case asked == "ACL DRYRUN default flushdb":
		return "This user has no permissions to run the 'flushdb' command", nil
	case strings.HasPrefix(asked, "CONFIG GET "):
		return command[2] + "\n" + map[string]string{"appendfsync": "everysec", "dir": "/data", "oom-score-adj": "relative", "loglevel": "notice", "tcp-backlog": "511"}[command[2]], nil
	}
	return "", errors.New("ERR unknown command")
}

// goodWeb is the edge, a Prometheus with the very rules, and an Alertmanager.
func goodWeb(t *testing.T, rules []byte) func(context.Context, string) (Response, error) {
	t.Helper()
	wanted, err := shipped(rules)
	if err != nil {
		t.Fatal(err)
	}
	var loaded []map[string]any
	for name, r := range wanted {
		loaded = append(loaded, map[string]any{"name": name, "query": r.expr, "duration": r.held.Seconds(), "labels": set(r.labels), "annotations": set(r.annotations)})
	}
	target := func(job, at string) map[string]any {
		return map[string]any{"labels": map[string]string{"job": job, "instance": at}, "health": "up"}
	}
	bodies := map[string]any{
		"http://prometheus:9090/api/v1/targets?state=active": data("activeTargets", []any{target("app_cp", "1"), target("app_cp", "2"), target("app_ap", "1")}),
		"http://prometheus:9090/api/v1/rules?type=alert":     data("groups", []any{map[string]any{"rules": loaded}}),
		"http://prometheus:9090/api/v1/alertmanagers":        data("activeAlertmanagers", []any{map[string]string{"url": "http://alertmanager:9093"}}),
		"http://alertmanager:9093/api/v2/status": map[string]any{"config": map[string]string{
			"original": "route:\n  receiver: night\nreceivers:\n- name: night\n  webhook_configs:\n  - url: http://pager\n"}},
	}
	return func(_ context.Context, url string) (Response, error) {
		header := http.Header{"Strict-Transport-Security": {"max-age=31536000; includeSubDomains"}}
		switch {
		case url == "https://shop.example/read/captop-doctor":
			return Response{Status: http.StatusUnauthorized, Header: header}, nil
		case url == "https://shop.example/health":
			return Response{Status: http.StatusOK, Header: header}, nil
		case url == "http://shop.example/health":
			return Response{Status: http.StatusPermanentRedirect, Header: http.Header{"Location": {"https://shop.example/health"}}}, nil
		}
		body, err := json.Marshal(bodies[url])
		return Response{Status: http.StatusOK, Header: header, Body: body}, err
	}
}

func data(name string, value any) any { return map[string]any{"data": map[string]any{name: value}} }

// set reads back what sorted writes.
func set(text string) map[string]string {
	out := map[string]string{}
	for text != "" {
		name, rest, _ := strings.Cut(text, "=")
		var value string
		_, _ = fmt.Sscanf(rest, "%q", &value)
		out[name] = value
		text = rest[len(fmt.Sprintf("%q", value))+1:]
	}
	return out
}

func run(t *testing.T, eyes Eyes) map[string]Result {
	t.Helper()
	told := 0
	results := Run(t.Context(), eyes, Checklist(), func(Result) { told++ })
	if told != len(Checklist()) {
		t.Errorf("%d results of %d were told", told, len(Checklist()))
	}
	byName := map[string]Result{}
	for _, r := range results {
		byName[r.Name] = r
	}
	return byName
}

func runOne(t *testing.T, name string, eyes Eyes) Result {
	t.Helper()
	lines, err := Choose([]string{name})
	if err != nil {
		t.Fatal(err)
	}
	return Run(t.Context(), eyes, lines, func(Result) {})[0]
}

func TestGoodStackPasses(t *testing.T) {
	for name, r := range run(t, goodEyes(t)) {
		if r.Outcome != Pass {
			t.Errorf("%s: %s: %s", name, r.Outcome, r.Seen)
		}
	}
}

func TestChecklist(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range Checklist() {
		if seen[l.Name] || l.Area == "" || l.Title == "" || l.Why == "" || strings.HasSuffix(l.Title, ".") {
			t.Errorf("the line %+v is not whole, or there twice", l)
		}
		seen[l.Name] = true
	}
	chosen, err := Choose([]string{"tls", "redis-aof"})
	if err != nil || len(chosen) != 5 || chosen[4].Name != "redis-aof" {
		t.Errorf("chosen are %v, %v", chosen, err)
	}
	if _, err := Choose([]string{"tls", "tsl"}); !errors.Is(err, ErrNoCheck) || !strings.Contains(err.Error(), `"tsl"`) {
		t.Errorf("a wrong name gives %v", err)
	}
}

// The ways in which an eye goes wrong.
const (
	blind    = "blind"    // it is not there
	errs     = "errs"     // it gives an error
	empty    = "empty"    // it gives nothing, and no error
	nonsense = "nonsense" // it gives something that means nothing, and no error
)

var errEye = errors.New("this eye is broken")

// spoiled gives eyes of which one goes wrong, and calls used with the name of each that is used.
func spoiled(e Eyes, which, how string, used func(eye string)) Eyes {
	bad := func(name string) string {
		used(name)
		if name == which {
			return how
		}
		return ""
	}
	out := e
	out.Units = func(ctx context.Context) ([]Unit, error) {
		return spoil(bad("Units"), func() ([]Unit, error) { return e.Units(ctx) }, nil, []Unit{{}, {Service: "db_g1"}, {Service: "db_g2"}, {Service: "app_cp"}, {Service: "app_ap"}, {Service: "haproxy"}})
	}
	out.Swarm = func(ctx context.Context) (Swarm, error) {
		return spoil(bad("Swarm"), func() (Swarm, error) { return e.Swarm(ctx) }, Swarm{}, Swarm{Tasks: []Task{{}, {Service: "db_g1"}, {Service: "db_g2", Zone: "b"}, {Service: "app_cp"}, {Service: "app_ap"}}})
	}
	out.ReadFile = func(ctx context.Context, u Unit, p string) (File, error) {
		return spoil(bad("ReadFile"), func() (File, error) { return e.ReadFile(ctx, u, p) }, File{}, File{Content: []byte("\x00\xff?"), Mode: 0o777})
	}
	out.HostFile = func(ctx context.Context, p string) (File, error) {
		return spoil(bad("HostFile"), func() (File, error) { return e.HostFile(ctx, p) }, File{Mode: 0o777}, File{Content: []byte("\x00\xffSECRET=1\n"), Mode: 0o777})
	}
	out.Room = func(ctx context.Context, u Unit, p string) (Room, error) {
		return spoil(bad("Room"), func() (Room, error) { return e.Room(ctx, u, p) }, Room{}, Room{Free: 7, Total: 3})
	}
	out.Sysctl = func(ctx context.Context, u Unit, n string) (string, error) {
		return spoil(bad("Sysctl"), func() (string, error) { return e.Sysctl(ctx, u, n) }, "", "many")
	}
	out.Synchronised = func(ctx context.Context) (bool, error) {
		return spoil(bad("Synchronised"), func() (bool, error) { return e.Synchronised(ctx) }, false, false)
	}
	out.Redis = func(ctx context.Context, n string, a Auth, c ...string) (string, error) {
		return spoil(bad("Redis"), func() (string, error) { return e.Redis(ctx, n, a, c...) }, "", "run_id:1\nmaxclients:lots\nnan")
	}
	out.Get = func(ctx context.Context, u string) (Response, error) {
		return spoil(bad("Get"), func() (Response, error) { return e.Get(ctx, u) }, Response{}, Response{Status: 200, Body: []byte("<html>")})
	}
	out.Handshake = func(ctx context.Context, u string, l uint16) (Session, error) {
		return spoil(bad("Handshake"), func() (Session, error) { return e.Handshake(ctx, u, l) }, Session{}, Session{Version: 7, Chain: []*x509.Certificate{{}}})
	}
	out.Backups = func(ctx context.Context) ([]Backup, error) {
		return spoil(bad("Backups"), func() ([]Backup, error) { return e.Backups(ctx) }, nil, []Backup{{Node: "db_g1", Verified: true}, {Node: "db_g2", Verified: true, TakenAt: noon.AddDate(9, 0, 0)}})
	}
	out.Drills = func(ctx context.Context) ([]Drill, error) {
		return spoil(bad("Drills"), func() ([]Drill, error) { return e.Drills(ctx) }, nil, []Drill{{Kind: "restore", OK: true}, {Kind: "failover", OK: true, At: noon}})
	}
	out.Polls = func(ctx context.Context) ([]Polled, error) {
		return spoil(bad("Polls"), func() ([]Polled, error) { return e.Polls(ctx) }, nil, []Polled{{}, {Service: "app_cp", Up: true}})
	}
	// Any list of sockets is a list of sockets: what is wrong with one cannot be seen, only that there is none.
	out.Listeners = func(ctx context.Context) ([]Listener, error) {
		how := bad("Listeners")
		if how == empty || how == nonsense {
			how = errs
		}
		return spoil(how, func() ([]Listener, error) { return e.Listeners(ctx) }, nil, nil)
	}
	if how == blind {
		remove(&out, which)
	}
	return out
}

func spoil[T any](how string, well func() (T, error), nothing, nonsensical T) (T, error) {
	switch how {
	case errs:
		return nothing, errEye
	case empty:
		return nothing, nil
	case nonsense:
		return nonsensical, nil
	}
	return well()
}

var eyeNames = []string{"Units", "Swarm", "ReadFile", "HostFile", "Room", "Sysctl", "Listeners", "Synchronised", "Redis", "Get", "Handshake", "Backups", "Drills", "Polls"}

// remove takes an eye out.
func remove(e *Eyes, name string) {
	map[string]func(){
		"Units": func() { e.Units = nil }, "Swarm": func() { e.Swarm = nil }, "ReadFile": func() { e.ReadFile = nil }, "HostFile": func() { e.HostFile = nil },
		"Room": func() { e.Room = nil }, "Sysctl": func() { e.Sysctl = nil }, "Listeners": func() { e.Listeners = nil },
		"Synchronised": func() { e.Synchronised = nil }, "Redis": func() { e.Redis = nil }, "Get": func() { e.Get = nil },
		"Handshake": func() { e.Handshake = nil }, "Backups": func() { e.Backups = nil }, "Drills": func() { e.Drills = nil },
		"Polls": func() { e.Polls = nil },
	}[name]()
}

// eyesUsed says with which eyes each check looks on a good stack.
func eyesUsed(t *testing.T) map[string][]string {
	t.Helper()
	used := map[string][]string{}
	for _, c := range checks() {
		var mu sync.Mutex
		seen := map[string]bool{}
		r := newRound(spoiled(goodEyes(t), "", "", func(eye string) { mu.Lock(); seen[eye] = true; mu.Unlock() }))
		c.run(t.Context(), r)
		used[c.Name] = slices.Sorted(maps.Keys(seen))
	}
	return used
}

// TestNothingPassesUnseen breaks every eye that a check looks with, in every way, and one at a time: the check passes with
// all of them, and with none of them broken.
func TestNothingPassesUnseen(t *testing.T) {
	tried := 0
	for name, eyes := range eyesUsed(t) {
		if len(eyes) == 0 {
			t.Errorf("%s looks at nothing", name)
		}
		for _, eye := range eyes {
			for _, how := range []string{blind, errs, empty, nonsense} {
				r := runOne(t, name, spoiled(goodEyes(t), eye, how, func(string) {}))
				tried++
				if r.Outcome == Pass {
					t.Errorf("%s passes although %s %s; it has seen %s", name, eye, how, r.Seen)
				}
				if r.Outcome != Pass && len(r.Seen) == 0 {
					t.Errorf("%s does not say what it saw", name)
				}
			}
		}
	}
	if tried < 200 {
		t.Errorf("only %d were tried", tried)
	}
}

// TestEverythingBroken: with all eyes broken at random nothing passes, and nothing panics.
func TestEverythingBroken(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	ways := []string{blind, errs, empty, nonsense}
	for range 50 {
		eyes := goodEyes(t)
		var gone []string
		for _, name := range eyeNames {
			if how := ways[random.IntN(len(ways))]; how == blind {
				gone = append(gone, name)
			} else {
				eyes = spoiled(eyes, name, how, func(string) {})
			}
		}
		for _, name := range gone {
			remove(&eyes, name)
		}
		for name, r := range run(t, eyes) {
			if r.Outcome == Pass {
				t.Errorf("%s passes with every eye broken: %s", name, r.Seen)
			}
		}
	}
}

func TestRunThatEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, r := range Run(ctx, goodEyes(t), Checklist(), func(Result) {}) {
		if r.Outcome != CannotTell || len(r.Seen) == 0 {
			t.Errorf("%s: %s %s", r.Name, r.Outcome, r.Seen)
		}
	}
}

func TestCheckThatBreaks(t *testing.T) {
	eyes := goodEyes(t)
	eyes.Backups = func(context.Context) ([]Backup, error) { panic("boom") }
	r := run(t, eyes)["backup-age"]
	if r.Outcome != CannotTell || !strings.Contains(strings.Join(r.Seen, " "), "boom") {
		t.Errorf("%s: %s", r.Outcome, r.Seen)
	}
}

// TestFixesOfASwarm: where the stack is one of a swarm, no fix is a command of docker-compose or about its file.
func TestFixesOfASwarm(t *testing.T) {
	fixes := 0
	for _, c := range checks() {
		for _, eye := range append([]string{""}, eyeNames...) {
			for _, how := range []string{errs, empty, nonsense} {
				eyes := spoiled(goodEyes(t), eye, how, func(string) {})
				eyes.Targets.Stack = "shop"
				result := c.run(t.Context(), newRound(eyes))
				if result.Fix != "" {
					fixes++
				}
				if strings.Contains(result.Fix, "docker-compose") || strings.Contains(result.Fix, "Compose file") {
					t.Errorf("%s without %s (%s): %s", c.Name, eye, how, result.Fix)
				}
			}
		}
	}
	if fixes < 50 {
		t.Errorf("%d fixes only", fixes)
	}
}
