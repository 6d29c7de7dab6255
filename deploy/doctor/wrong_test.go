package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// with changes every unit of a service.
func with(e *Eyes, service string, change func(*Unit)) {
	look := e.Units
	e.Units = func(ctx context.Context) ([]Unit, error) {
		units, err := look(ctx)
		for i := range units {
			if units[i].Service == service {
				change(&units[i])
			}
		}
		return units, err
	}
}

func withSetting(e *Eyes, name, value string) {
	with(e, "app_cp", func(u *Unit) { u.Env.Value[name] = value })
}

// infoWith changes what the nodes answer to INFO and CONFIG GET.
func infoWith(e *Eyes, old, new string) {
	ask := e.Redis
	e.Redis = func(ctx context.Context, node string, auth Auth, command ...string) (string, error) {
		answer, err := ask(ctx, node, auth, command...)
		return strings.Replace(answer, old, new, 1), err
	}
}

func webWith(e *Eyes, part string, change func(*Response)) {
	get := e.Get
	e.Get = func(ctx context.Context, url string) (Response, error) {
		answer, err := get(ctx, url)
		if strings.Contains(url, part) {
			change(&answer)
		}
		return answer, err
	}
}

func bodyWith(e *Eyes, part, old, new string) {
	webWith(e, part, func(r *Response) { r.Body = []byte(strings.ReplaceAll(string(r.Body), old, new)) })
}

func fileWith(e *Eyes, change func(path string, f *File)) {
	read := e.ReadFile
	e.ReadFile = func(ctx context.Context, u Unit, path string) (File, error) {
		file, err := read(ctx, u, path)
		change(path, &file)
		return file, err
	}
}

func hostWith(e *Eyes, path string, file File) {
	read := e.HostFile
	e.HostFile = func(ctx context.Context, name string) (File, error) {
		if name == path {
			return file, nil
		}
		return read(ctx, name)
	}
}

func certificate(from, to time.Time, refused error) func(*Eyes) {
	return func(e *Eyes) {
		e.Handshake = func(context.Context, string, uint16) (Session, error) {
			return Session{Version: tls.VersionTLS13, Chain: []*x509.Certificate{{NotBefore: from, NotAfter: to}}, Refused: refused}, nil
		}
	}
}

func clear(e *Eyes) { e.Targets.Edges = []string{"http://shop.example"}; plainOnly(e) }

// plainOnly is an edge that knows nothing but HTTP.
func plainOnly(e *Eyes) {
	webWith(e, "http://shop.example", func(r *Response) { *r = Response{Status: http.StatusOK} })
}

// wrong is what each check has to fail on, with a part of what it then says.
var wrong = map[string]map[string]func(*Eyes){
	"app-env": {"app_cp_1 has APP_ENV=development": func(e *Eyes) { withSetting(e, "APP_ENV", "development") },
		"(unset: development)": func(e *Eyes) { withSetting(e, "APP_ENV", "") }},
	"secret-key": {
		"everybody knows": func(e *Eyes) {
			withSetting(e, "SECRET_KEY_FILE", "")
			withSetting(e, "SECRET_KEY", "captop-development-key-not-for-production")
		},
		"has 5 characters": func(e *Eyes) { fileWith(e, func(_ string, f *File) { f.Content = []byte("x9!ab") }) },
		"3 different characters only": func(e *Eyes) {
			fileWith(e, func(_ string, f *File) { f.Content = []byte(strings.Repeat("abc", 20)) })
		},
		"has no SECRET_KEY": func(e *Eyes) { withSetting(e, "SECRET_KEY_FILE", "") },
		"another one than": func(e *Eyes) {
			withSetting(e, "SECRET_KEY_FILE", "")
			withSetting(e, "SECRET_KEY", strings.ToUpper(goodKey))
		}},
	"secret-files": {
		"read by everybody": func(e *Eyes) {
			hostWith(e, "/srv/shop/secrets", File{Mode: fs.ModeDir | 0o755})
			hostWith(e, "/srv/shop", File{Mode: fs.ModeDir | 0o755})
			hostWith(e, "/srv", File{Mode: fs.ModeDir | 0o755})
			hostWith(e, "/", File{Mode: fs.ModeDir | 0o755})
		},
		"written by its group": func(e *Eyes) { fileWith(e, func(_ string, f *File) { f.Mode = 0o460 }) },
		"/srv/shop/.env may be written": func(e *Eyes) {
			hostWith(e, "/srv/shop/.env", File{Content: []byte("REDIS_PASSWORD=x\n"), Mode: 0o666})
		}},
	"redis-password": {
		"works for anybody": func(e *Eyes) {
			e.Redis = func(context.Context, string, Auth, ...string) (string, error) { return "PONG", nil }
		},
		`takes the password "foobared"`: func(e *Eyes) {
			e.Redis = func(ctx context.Context, node string, auth Auth, command ...string) (string, error) {
				if auth.Password == "foobared" {
					return "PONG", nil
				}
				return goodRedis(ctx, node, auth, command...)
			}
		},
		"without a password":            func(e *Eyes) { withSetting(e, "DB_G2_URL", "redis://db_g2:6379") },
		"the password in DB_G1_URL has": func(e *Eyes) { withSetting(e, "DB_G1_URL", "redis://:short1@db_g1:6379") }},
	"tokens": {"has no TOKENS_FILE": func(e *Eyes) { withSetting(e, "TOKENS_FILE", "") },
		"lets anybody read": func(e *Eyes) { webWith(e, "/read/", func(r *Response) { r.Status = http.StatusNotFound }) }},
	"rate-limits": {"limits nobody": func(e *Eyes) { withSetting(e, "RATE_LIMITS", "") }},
	"retries": {"repeats requests after 503": func(e *Eyes) {
		fileWith(e, func(_ string, f *File) { f.Content = []byte("backend x\n\tretry-on conn-failure 503 # twice\n") })
	}},
	"tls-certificate": {"ended on 2026-11-22": certificate(noon.AddDate(-1, 0, 0), noon.AddDate(0, 0, -1), nil),
		"in 13 days":       certificate(noon.AddDate(-1, 0, 0), noon.AddDate(0, 0, 13).Add(time.Hour), nil),
		"not good before":  certificate(noon.Add(time.Hour), noon.AddDate(1, 0, 0), nil),
		"not mine":         certificate(noon.AddDate(-1, 0, 0), noon.AddDate(1, 0, 0), errors.New("not mine")),
		"200 in the clear": clear},
	"tls-protocol": {"speaks TLS 1.1": func(e *Eyes) {
		e.Handshake = func(_ context.Context, _ string, limit uint16) (Session, error) {
			return Session{Version: max(limit, tls.VersionTLS11)}, nil
		}
	}},
	"tls-redirect": {"answers 200 in the clear": plainOnly},
	"tls-hsts": {"sends no Strict": func(e *Eyes) { webWith(e, "https://", func(r *Response) { r.Header = nil }) },
		"for 3 days": func(e *Eyes) {
			webWith(e, "https://", func(r *Response) { r.Header = http.Header{"Strict-Transport-Security": {"max-age=300000"}} })
		}},
	"redis-published": {"db_g2_1 is published at 127.0.0.1:6380": func(e *Eyes) {
		with(e, "db_g2", func(u *Unit) { u.Ports = Know([]Port{{Host: netip.MustParseAddr("127.0.0.1"), Port: "6380"}}) })
	}, "listens at *:6379": func(e *Eyes) {
		with(e, "db_g1", func(u *Unit) {
			u.Container, u.Ports = false, Know([]Port{{Host: netip.IPv6Unspecified(), Port: "6379"}})
		})
	}},
	"published-ports": {"app_cp_1 listens to other hosts at *:5001": func(e *Eyes) {
		with(e, "app_cp", func(u *Unit) { u.Ports = Know([]Port{{Port: "5001"}}) })
	}},
	"non-root":          {"runs as root": func(e *Eyes) { with(e, "haproxy", func(u *Unit) { u.User = Know("0:0") }) }},
	"read-only-root":    {"writable": func(e *Eyes) { with(e, "haproxy", func(u *Unit) { u.ReadOnlyRoot = Know(false) }) }},
	"capabilities":      {"may use NET_ADMIN": func(e *Eyes) { with(e, "db_g1", func(u *Unit) { u.Capabilities = Know([]string{"NET_ADMIN"}) }) }},
	"no-new-privileges": {"can gain": func(e *Eyes) { with(e, "db_g1", func(u *Unit) { u.NoNewPrivileges = Know(false) }) }},
	"health-checks": {"nothing checks": func(e *Eyes) { with(e, "db_g1", func(u *Unit) { u.Health = Know("") }) },
		"is unhealthy": func(e *Eyes) { with(e, "db_g1", func(u *Unit) { u.Health = Know("unhealthy") }) }},
	"memory-limit": {"no limit": func(e *Eyes) { with(e, "db_g1", func(u *Unit) { u.Memory = Know(int64(0)) }) }},
	"cpu-limit":    {"no limit": func(e *Eyes) { with(e, "db_g1", func(u *Unit) { u.CPUs = Know(0.0) }) }},
	"pids-limit":   {"no limit": func(e *Eyes) { with(e, "db_g1", func(u *Unit) { u.PIDs = Know(int64(0)) }) }},
	"redis-maxclients": {"3 instances may open": func(e *Eyes) { infoWith(e, "maxclients:2000", "maxclients:128") },
		"1900 connections of 2000": func(e *Eyes) { infoWith(e, "connected_clients:12", "connected_clients:1900") },
		"has refused 4":            func(e *Eyes) { infoWith(e, "rejected_connections:0", "rejected_connections:4") }},
	"redis-maxmemory": {"no limit": func(e *Eyes) { infoWith(e, "maxmemory:402653184", "maxmemory:0") },
		"allkeys-lru":              func(e *Eyes) { infoWith(e, "noeviction", "allkeys-lru") },
		"500 MiB of the container": func(e *Eyes) { infoWith(e, "maxmemory:402653184", "maxmemory:524288000") }},
	"redis-aof": {"keeps no append-only file": func(e *Eyes) { infoWith(e, "aof_enabled:1", "aof_enabled:0") },
		`last write to its append-only file was "err"`: func(e *Eyes) { infoWith(e, "aof_last_write_status:ok", "aof_last_write_status:err") },
		"last rewrite": func(e *Eyes) { infoWith(e, "bgrewrite_status:ok", "bgrewrite_status:err") },
		"appendfsync":  func(e *Eyes) { infoWith(e, "everysec", "no") }},
	"redis-snapshots": {`db_g1: save is "3600 1"`: func(e *Eyes) { infoWith(e, "save\n", "save\n3600 1") }},
	"redis-oom":       {`db_g1: oom-score-adj is "no"`: func(e *Eyes) { infoWith(e, "relative", "no") }},
	"redis-flush": {"db_g1: the user default may flushdb": func(e *Eyes) {
		infoWith(e, "This user has no permissions to run the 'flushdb' command", "OK")
	}},
	"data-volume": {"in the container": func(e *Eyes) { with(e, "db_g1", func(u *Unit) { u.Mounts = Know([]Mount{}) }) },
		"is a tmpfs": func(e *Eyes) {
			with(e, "db_g1", func(u *Unit) { u.Mounts = Know([]Mount{{Kind: "tmpfs", Destination: "/"}}) })
		},
		"without a name": func(e *Eyes) {
			with(e, "db_g1", func(u *Unit) {
				u.Mounts = Know([]Mount{{Kind: "volume", Name: strings.Repeat("a", 64), Destination: "/data"}})
			})
		}},
	"disk-space": {"9 GiB free of 100": func(e *Eyes) {
		e.Room = func(context.Context, Unit, string) (Room, error) { return Room{Free: 9 << 30, Total: 100 << 30}, nil }
	}},
	"backup-age": {"6m0s old": func(e *Eyes) {
		backupsAre(e, Backup{Node: "db_g1", TakenAt: noon.Add(-6 * time.Minute), Verified: true})
	},
		"db_g1 has no verified backup (1 not verified)": func(e *Eyes) { backupsAre(e, Backup{Node: "db_g1", TakenAt: noon}) }},
	"restore-drill": {"was never": func(e *Eyes) { drillsAre(e) },
		"31 days ago": func(e *Eyes) {
			drillsAre(e, Drill{Kind: "restore", OK: true, At: noon.AddDate(0, 0, -31), RTO: time.Minute})
		},
		"did not end": func(e *Eyes) { drillsAre(e, Drill{Kind: "restore", At: noon, RTO: time.Minute}) },
		"RTO 16m0s":   func(e *Eyes) { drillsAre(e, Drill{Kind: "restore", OK: true, At: noon, RTO: 16 * time.Minute}) },
		"RPO 6m0s": func(e *Eyes) {
			drillsAre(e, Drill{Kind: "restore", OK: true, At: noon, RTO: time.Minute, RPO: 6 * time.Minute})
		}},
	"failover-drill": {"was never": func(e *Eyes) { drillsAre(e) }},
	"scrape": {"1 of 2 instances of app_cp": func(e *Eyes) {
		bodyWith(e, "targets", `{"health":"up","labels":{"instance":"2","job":"app_cp"}},`, "")
	}, "is down": func(e *Eyes) { bodyWith(e, "targets", `"up"`, `"down"`) }},
	"rules-loaded": {"LatencyHigh is loaded, and is another one": func(e *Eyes) { bodyWith(e, "rules", `0.5"`, `5"`) },
		"LatencyHigh is not loaded": func(e *Eyes) { bodyWith(e, "rules", `"LatencyHigh"`, `"LatencyHeigh"`) },
		"for is 2h0m0s":             func(e *Eyes) { bodyWith(e, "rules", `"duration":120`, `"duration":7200`) }},
	"alertmanager": {"tells nobody": func(e *Eyes) { bodyWith(e, "status", "webhook_configs", "webhooks") },
		"is no receiver":  func(e *Eyes) { bodyWith(e, "status", "name: night", "name: day") },
		"to 0 Alertmanag": func(e *Eyes) { bodyWith(e, "alertmanagers", `{"url":"http://alertmanager:9093"}`, "") }},
	"log-rotation": {"grows without end": func(e *Eyes) { with(e, "db_g1", func(u *Unit) { u.Log = Know(Log{Driver: "json-file"}) }) }},
	"log-level": {"app_cp_1 logs at debug": func(e *Eyes) { withSetting(e, "LOG_LEVEL", "debug") },
		"db_g1 logs at verbose": func(e *Eyes) { infoWith(e, "notice", "verbose") }},
	"clock-skew": {"db_g1 is -2s off": func(e *Eyes) {
		e.Redis = func(ctx context.Context, node string, auth Auth, command ...string) (string, error) {
			if command[0] == "TIME" {
				return "1795435198\n0", nil
			}
			return goodRedis(ctx, node, auth, command...)
		}
	}, "is 700ms off": func(e *Eyes) {
		e.Polls = func(context.Context) ([]Polled, error) {
			return []Polled{{Service: "app_cp", Up: true, Skew: Know(700 * time.Millisecond)}}, nil
		}
	}},
	"time-sync":         {"not synchronised": func(e *Eyes) { e.Synchronised = func(context.Context) (bool, error) { return false, nil } }},
	"kernel-overcommit": {"overcommit_memory is 0": func(e *Eyes) { hostWith(e, "/proc/sys/vm/overcommit_memory", File{Content: []byte("0\n")}) }},
	"kernel-thp": {"always on": func(e *Eyes) {
		hostWith(e, "/sys/kernel/mm/transparent_hugepage/enabled", File{Content: []byte("[always] madvise never\n")})
	}},
	"zones": {"db_g1 and db_g2 both run on anna (zone a)": func(e *Eyes) {
		e.Swarm = func(context.Context) (Swarm, error) {
			return Swarm{Tasks: []Task{{"db_g1", "1", "anna", "a"}, {"db_g2", "1", "anna", "a"}}}, nil
		}
	}, "both nodes run on this host": func(e *Eyes) {
		e.Swarm = func(context.Context) (Swarm, error) { return Swarm{}, ErrNoSwarm }
	}},
	"kernel-somaxconn": {"somaxconn is 128": func(e *Eyes) { e.Sysctl = func(context.Context, Unit, string) (string, error) { return "128", nil } }},
}

func backupsAre(e *Eyes, backups ...Backup) {
	e.Backups = func(context.Context) ([]Backup, error) { return backups, nil }
}

func drillsAre(e *Eyes, drills ...Drill) {
	e.Drills = func(context.Context) ([]Drill, error) { return drills, nil }
}

// TestWrongFails: each check fails on what it is there to find, says so first, and gives a fix.
func TestWrongFails(t *testing.T) {
	for _, line := range Checklist() {
		if len(wrong[line.Name]) == 0 {
			t.Errorf("nothing makes %s fail", line.Name)
		}
		for says, spoil := range wrong[line.Name] {
			eyes := goodEyes(t)
			spoil(&eyes)
			r := runOne(t, line.Name, eyes)
			if r.Outcome != Fail || !strings.Contains(r.Seen[0], says) || r.Fix == "" {
				t.Errorf("%s, %q: %s %q, fix %q", line.Name, says, r.Outcome, r.Seen, r.Fix)
			}
		}
	}
}
