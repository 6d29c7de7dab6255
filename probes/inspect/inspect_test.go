package inspect

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/probes"
	"captop/service"
	"captop/service/layout"
	"captop/service/node/nodetest"
)

// inspector looks at one node under the name db_g1.
func inspector(t *testing.T, url string) *Inspector {
	t.Helper()
	i, err := New([]probes.NodeTarget{{Name: service.G1, URL: url}}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Close() })
	return i
}

func plain(t *testing.T, s *nodetest.Server) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.Addr(), Protocol: 2})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// do runs commands that have to work.
func do(t *testing.T, client *redis.Client, commands ...[]any) {
	t.Helper()
	for _, command := range commands {
		if err := client.Do(t.Context(), command...).Err(); err != nil {
			t.Fatalf("%v: %v", command, err)
		}
	}
}

func TestInspectTellsEverything(t *testing.T) {
	server := nodetest.Start(t, "--maxmemory", "64mb", "--enable-debug-command", "yes")
	client := plain(t, server)
	do(t, client, []any{"CONFIG", "SET", "slowlog-log-slower-than", "0"}, []any{"CONFIG", "SET", "latency-monitor-threshold", "1"},
		[]any{"CLIENT", "SETNAME", "somebody"},
		[]any{"SET", "user:7", "a secret value"}, []any{"DEBUG", "SLEEP", "0.02"},
		[]any{"ZADD", layout.CPDirty(3), time.Now().Add(-7 * time.Second).UnixMilli(), layout.CPKey("a")},
		[]any{"ZADD", layout.CPBatches, time.Now().Add(-12 * time.Second).UnixMilli(), "x.1\ne"},
		[]any{"ZADD", layout.APDirty(5), time.Now().Add(-9 * time.Second).UnixMicro(), "b"},
		[]any{"ZADD", layout.APDirty(6), time.Now().Add(-2 * time.Second).UnixMicro(), "c"},
		[]any{"ZADD", layout.APBatches, time.Now().Add(-11 * time.Second).UnixMicro(), "5.1\nd"})
	in, err := inspector(t, server.URL()).Inspect(t.Context(), service.G1)
	if err != nil {
		t.Fatal(err)
	}
	for name, problem := range map[string]string{"info": in.Info.Error, "slow": in.Slow.Error, "slow limit": in.SlowLimit.Error,
		"clients": in.Clients.Error, "spikes": in.Spikes.Error, "doctor": in.Doctor.Error, "latency limit": in.LatencyLimit.Error,
		"queues": in.Queues.Error, "skew": in.Skew.Error} {
		if problem != "" {
			t.Errorf("%s cannot be told: %s", name, problem)
		}
	}
	if n, ok := in.Info.Value.Number("maxmemory"); !ok || n != 64<<20 {
		t.Errorf("maxmemory is %v, %v", n, ok)
	}
	if in.Info.Value.Keys() != 6 {
		t.Errorf("%d keys, want 6", in.Info.Value.Keys())
	}
	if in.SlowLimit.Value != 0 || in.LatencyLimit.Value != time.Millisecond {
		t.Errorf("limits %v and %v", in.SlowLimit.Value, in.LatencyLimit.Value)
	}
	checkSlow(t, in.Slow.Value)
	// A disk that is slow has spikes of its own among them.
	if !slices.ContainsFunc(in.Spikes.Value, func(s Spike) bool { return s.Worst >= 20*time.Millisecond }) {
		t.Errorf("the monitor remembers %+v, not a command of 20 ms", in.Spikes.Value)
	}
	checkQueues(t, in.Queues.Value)
	names, own := "", false
	for _, c := range in.Clients.Value {
		names += c.Name + " "
		own = own || c.ID == in.OwnConnection
	}
	if !strings.Contains(names, "somebody") || !own {
		t.Errorf("the clients are %+v, own %d", in.Clients.Value, in.OwnConnection)
	}
}

func checkSlow(t *testing.T, all []Slow) {
	t.Helper()
	seen := false
	for _, slow := range all {
		if strings.Contains(slow.Command, "secret") {
			t.Errorf("a value is shown: %q", slow.Command)
		}
		if age := time.Since(slow.At); age < -time.Minute || age > time.Hour {
			t.Errorf("%q is said to have run at %s", slow.Command, slow.At)
		}
		seen = seen || slow.Command == "SET user:7 +1 argument" && slow.Name == "somebody"
	}
	if !seen {
		t.Errorf("the slow log has %+v", all)
	}
}

func checkQueues(t *testing.T, queues []Queue) {
	t.Helper()
	if len(queues) != 2 || queues[0].Mode != service.ModeCP || queues[0].Length != 2 || queues[1].Length != 3 {
		t.Fatalf("the queues are %+v", queues)
	}
	if queues[0].Oldest < 12*time.Second || queues[0].Oldest > time.Minute || queues[1].Oldest < 11*time.Second {
		t.Errorf("the oldest marks are %s and %s old", queues[0].Oldest, queues[1].Oldest)
	}
}

// TestInspectSaysWhatItCannotTell: each fault takes its own part away, with the reason, and nothing else.
func TestInspectSaysWhatItCannotTell(t *testing.T) {
	t.Run("a user without SLOWLOG and CONFIG", func(t *testing.T) {
		server := nodetest.Start(t)
		do(t, plain(t, server), []any{"ACL", "SETUSER", "watcher", "on", ">pw", "~*", "+@all", "-slowlog", "-config", "-client|list"})
		in, err := inspector(t, "redis://watcher:pw@"+server.Addr()).Inspect(t.Context(), service.G1)
		if err != nil || !in.Info.Known() || !in.Doctor.Known() || !in.Queues.Known() {
			t.Fatalf("error %v, info %q, doctor %q, queues %q", err, in.Info.Error, in.Doctor.Error, in.Queues.Error)
		}
		for name, problem := range map[string]string{"slow": in.Slow.Error, "slow limit": in.SlowLimit.Error, "clients": in.Clients.Error} {
			if !strings.Contains(problem, "may not ask") {
				t.Errorf("%s: %q", name, problem)
			}
		}
	})
	t.Run("renamed commands", func(t *testing.T) {
		server := nodetest.Start(t, "--rename-command", "LATENCY", "", "--rename-command", "SLOWLOG", "hidden")
		in, err := inspector(t, server.URL()).Inspect(t.Context(), service.G1)
		if err != nil || !in.Info.Known() || !in.Clients.Known() {
			t.Fatalf("error %v, info %q, clients %q", err, in.Info.Error, in.Clients.Error)
		}
		for name, problem := range map[string]string{"slow": in.Slow.Error, "spikes": in.Spikes.Error, "doctor": in.Doctor.Error} {
			if !strings.Contains(problem, "does not know the command") {
				t.Errorf("%s: %q", name, problem)
			}
		}
	})
	t.Run("without INFO", func(t *testing.T) {
		server := nodetest.Start(t, "--rename-command", "INFO", "")
		in, err := inspector(t, server.URL()).Inspect(t.Context(), service.G1)
		if err != nil || in.Info.Known() || !in.Slow.Known() || !in.Clients.Known() {
			t.Fatalf("error %v, info %q, slow %q, clients %q", err, in.Info.Error, in.Slow.Error, in.Clients.Error)
		}
	})
	t.Run("latency monitor off", func(t *testing.T) {
		in, err := inspector(t, nodetest.Start(t).URL()).Inspect(t.Context(), service.G1)
		if err != nil || !in.LatencyLimit.Known() || in.LatencyLimit.Value != 0 {
			t.Errorf("error %v, limit %+v", err, in.LatencyLimit)
		}
	})
}

// TestInspectOfANodeThatDoesNotAnswer ends, and says why.
func TestInspectOfANodeThatDoesNotAnswer(t *testing.T) {
	down, paused, locked := nodetest.Start(t), nodetest.Start(t), nodetest.Start(t, "--requirepass", "right")
	down.Kill()
	paused.Pause()
	t.Cleanup(paused.Resume)
	for name, c := range map[string]struct{ url, want string }{
		"down":           {down.URL(), "refused"},
		"paused":         {paused.URL(), "no answer within 1.5s"},
		"no password":    {locked.URL(), "NOAUTH"},
		"wrong password": {"redis://:wrong@" + locked.Addr(), "WRONGPASS"},
	} {
		in, err := inspector(t, c.url).Inspect(t.Context(), service.G1)
		if err == nil || !strings.Contains(in.Info.Error, c.want) {
			t.Errorf("%s: error %v, info %q, want %q", name, err, in.Info.Error, c.want)
		}
		if in.Info.Known() || in.Slow.Known() || in.Clients.Known() || in.Queues.Known() || in.Spikes.Known() || in.Doctor.Known() {
			t.Errorf("%s: something is said to be known: %+v", name, in)
		}
	}
	paused.Resume()
	if _, err := inspector(t, "redis://127.0.0.1:1").Inspect(t.Context(), "db_g9"); !errors.Is(err, ErrUnknownNode) {
		t.Errorf("an unknown node gave %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := inspector(t, paused.URL()).Inspect(ctx, service.G1); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled inspection gave %v", err)
	}
}

func TestRedactShowsNoValues(t *testing.T) {
	for want, args := range map[string][]string{
		"?":                                  nil,
		"SET k +1 argument":                  {"set", "k", "hunter2"},
		"AUTH +1 argument":                   {"AUTH", "hunter2"},
		"HELLO +4 arguments":                 {"HELLO", "3", "AUTH", "u", "hunter2"},
		"ACL +3 arguments":                   {"ACL", "SETUSER", "u", ">hunter2"},
		"CONFIG SET requirepass +1 argument": {"CONFIG", "SET", "requirepass", "hunter2"},
		"EVALSHA 0123456… cp:{7}k:a +2 arguments":                    {"EVALSHA", "0123456789abcdef", "1", "cp:{7}k:a", "tx", "hunter2"},
		"EVAL return … +2 arguments":                                 {"EVAL", "return 'hunter2'", "0", "x"},
		`GET a\x1b[2Jb\n`:                                            {"GET", "a\x1b[2Jb\n"},
		"LPUSH " + strings.Repeat("k", shownKey-1) + "… +1 argument": {"LPUSH", strings.Repeat("k", 500), "v"},
	} {
		if got := Redact(args); got != want {
			t.Errorf("%q became %q, want %q", args, got, want)
		}
	}
}
