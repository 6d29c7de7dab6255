package nodeview

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"captop/probes"
	"captop/probes/inspect"
	"captop/service"
	"captop/tui/frametest"
	"captop/tui/keys"
	"captop/tui/screen"
)

var noon = frametest.Noon

var sizes = frametest.Sizes

func contextOf(s *probes.Snapshot, width, height int) screen.Context {
	c := frametest.Context(width, height)
	c.Snapshot = s
	return c
}

func snapshot() *probes.Snapshot {
	s := &probes.Snapshot{At: noon, Poll: time.Second}
	for _, name := range nodes {
		s.Nodes = append(s.Nodes, probes.Node{Name: name, RTT: probes.Read(400*time.Microsecond, noon),
			Reach: probes.Reach{Contact: probes.Up, Since: noon.Add(-14 * time.Minute), At: noon},
			Info:  probes.Read(probes.Info{RunID: "a1b2c3d4e5f607181122334455667788aabbccdd"}, noon)})
	}
	for _, name := range []string{"app_cp", "app_ap"} {
		instance := probes.Service{Name: name}
		for _, node := range nodes {
			instance.Links = append(instance.Links, probes.Link{Node: node,
				Seen: probes.Read(probes.NodeView{Reachable: true, Since: noon.Add(-13 * time.Minute), RunID: "a1b2c3d4e5f60718",
					Staleness: 3 * time.Millisecond}, noon),
				Breaker: probes.Read(service.Breaker{Node: node, State: service.BreakerClosed}, noon)})
		}
		s.Services = append(s.Services, instance)
	}
	return s
}

func inspection(node string) inspect.Inspection {
	return inspect.Inspection{Node: node, At: noon.Add(-time.Second), Took: 2 * time.Millisecond, OwnConnection: 9,
		Info: inspect.Part[inspect.Info]{Value: inspect.Info{"run_id": "a1b2c3d4e5f60718", "redis_version": "7.0.15", "uptime_in_seconds": "11400",
			"used_memory": "12900000", "maxmemory": "268435456", "maxmemory_policy": "noeviction", "used_memory_rss": "18900000",
			"used_memory_peak": "20000000", "mem_fragmentation_ratio": "1.46", "connected_clients": "14", "maxclients": "10000",
			"blocked_clients": "0", "rejected_connections": "0", "instantaneous_ops_per_sec": "182", "keyspace_hits": "8700",
			"keyspace_misses": "1300", "evicted_keys": "0", "expired_keys": "12", "aof_enabled": "1", "aof_last_write_status": "ok",
			"aof_last_bgrewrite_status": "ok", "aof_rewrite_in_progress": "0", "aof_current_size": "12100000", "rdb_last_bgsave_status": "ok",
			"rdb_last_save_time": fmt.Sprint(noon.Add(-3 * time.Minute).Unix()), "rdb_changes_since_last_save": "1234",
			"rdb_bgsave_in_progress": "0", "latest_fork_usec": "1200", "role": "master", "connected_slaves": "0", "db0": "keys=1234,expires=0"}},
		Slow: inspect.Part[[]inspect.Slow]{Value: []inspect.Slow{
			{ID: 7, At: noon.Add(-90 * time.Second), Took: 41 * time.Millisecond, Command: "EVALSHA 0123456… cp:{7}k:user:7 +4 arguments", Client: "127.0.0.1:41234"},
			{ID: 6, At: noon.Add(-26 * time.Hour), Took: 12 * time.Millisecond, Command: "SCAN 0 +2 arguments", Client: "127.0.0.1:41235", Name: "backup"}}},
		SlowLimit: inspect.Part[time.Duration]{Value: 10 * time.Millisecond},
		Clients: inspect.Part[[]inspect.Client]{Value: []inspect.Client{
			{ID: 3, Addr: "10.0.0.5:41234", Command: "evalsha", Flags: "N", User: "default", Age: 14 * time.Minute, Idle: 0, Memory: 22000},
			{ID: 4, Addr: "10.0.0.5:41235", Command: "ping", Flags: "N", User: "default", Age: 14 * time.Minute, Idle: 3 * time.Second, Memory: 1900},
			{ID: 9, Addr: "10.0.0.9:50000", Command: "client|list", Flags: "N", User: "default", Age: time.Minute, Memory: 1900}}},
		LatencyLimit: inspect.Part[time.Duration]{Value: 100 * time.Millisecond},
		Spikes: inspect.Part[[]inspect.Spike]{Value: []inspect.Spike{
			{Event: "command", At: noon.Add(-5 * time.Minute), Latest: 120 * time.Millisecond, Worst: 340 * time.Millisecond}}},
		Doctor: inspect.Part[string]{Value: "Dave, I have observed latency spikes in this Redis instance.\n\n1. command: 1 latency spikes (average 120ms).\n"},
		Queues: inspect.Part[[]inspect.Queue]{Value: []inspect.Queue{{Mode: service.ModeCP}, {Mode: service.ModeAP, Length: 2, Oldest: 3 * time.Millisecond}}}}
}

// refused is what an inspection of a node gives that is away.
func refused(node string) lookMsg {
	in := inspect.Inspection{Node: node}
	in.Info.Error = "dial tcp 127.0.0.1:6380: connect: connection refused"
	return lookMsg{node, in, fmt.Errorf("inspecting %s: %w", node, errors.New("refused"))}
}

func newView() screen.Screen {
	return New(keys.Default(), func(context.Context, string) (inspect.Inspection, error) { return inspect.Inspection{}, nil })
}

// situations are what each size has to show well: a screen, and the snapshot beside it.
func situations() map[string]func(c screen.Context) (screen.Screen, *probes.Snapshot) {
	healthy := func(c screen.Context) screen.Screen {
		v := newView()
		for _, node := range nodes {
			v = send(v, lookMsg{node: node, in: inspection(node)}, c)
		}
		return v
	}
	with := func(press ...string) func(screen.Context) (screen.Screen, *probes.Snapshot) {
		return func(c screen.Context) (screen.Screen, *probes.Snapshot) {
			return typed(healthy(c), c, press...), snapshot()
		}
	}
	return map[string]func(screen.Context) (screen.Screen, *probes.Snapshot){
		"healthy":    with(),
		"slow":       with("tab"),
		"slow_one":   with("tab", "enter"),
		"clients":    with("tab", "tab"),
		"latency":    with("tab", "tab", "tab"),
		"info":       with("enter", "/", "m", "e", "m", "enter"),
		"not_looked": func(screen.Context) (screen.Screen, *probes.Snapshot) { return newView(), snapshot() },
		"g2_down": func(c screen.Context) (screen.Screen, *probes.Snapshot) {
			return send(healthy(c), refused("db_g2"), c), g2Down()
		},
		"cut": func(c screen.Context) (screen.Screen, *probes.Snapshot) { return healthy(c), cut() },
		"hostile": func(c screen.Context) (screen.Screen, *probes.Snapshot) {
			return hostile(healthy(c), c), hostileSnapshot()
		},
		"unwell": func(c screen.Context) (screen.Screen, *probes.Snapshot) { return unwell(healthy(c), c), snapshot() },
		"cannot_tell": func(c screen.Context) (screen.Screen, *probes.Snapshot) {
			return typed(denied(healthy(c), c), c, "tab", "tab", "tab"), snapshot()
		},
	}
}

func g2Down() *probes.Snapshot {
	s := snapshot()
	s.Nodes[1].Reach = probes.Reach{Contact: probes.Down, Since: noon.Add(-42 * time.Second), At: noon, Error: "connect: connection refused"}
	s.Nodes[1].RTT = probes.Reading[time.Duration]{}
	for i := range s.Services {
		s.Services[i].Links[1].Seen.Value.Reachable = false
		s.Services[i].Links[1].Seen.Value.Since = noon.Add(-41 * time.Second)
		s.Services[i].Links[1].Seen.Value.Staleness = 41 * time.Second
		s.Services[i].Links[1].Breaker.Value.State = service.BreakerOpen
	}
	return s
}

// cut is a db_g2 that only app_cp has lost.
func cut() *probes.Snapshot {
	s := snapshot()
	s.Services[0].Links[1].Seen.Value.Reachable = false
	s.Services[0].Links[1].Seen.Value.Since = noon.Add(-41 * time.Second)
	s.Services[0].Links[1].Breaker.Value.State = service.BreakerOpen
	return s
}

func unwell(v screen.Screen, c screen.Context) screen.Screen {
	in := inspection("db_g2")
	in.Info.Value["aof_last_write_status"], in.Info.Value["evicted_keys"] = "err", "42"
	in.Info.Value["used_memory"], in.Info.Value["maxmemory_policy"] = "267000000", "allkeys-lru"
	in.Info.Value["rdb_saves"] = "0"
	in.Queues.Value[1] = inspect.Queue{Mode: service.ModeAP, Length: 17000, Oldest: 3 * time.Minute}
	return send(v, lookMsg{node: "db_g2", in: in}, c)
}

func denied(v screen.Screen, c screen.Context) screen.Screen {
	in := inspection("db_g1")
	in.Spikes.Error, in.Doctor.Error = "the node does not know the command (renamed, or an older version)", "the node does not know the command (renamed, or an older version)"
	v = send(v, lookMsg{node: "db_g1", in: in}, c)
	in = inspection("db_g2")
	in.LatencyLimit.Value = 0
	return send(v, lookMsg{node: "db_g2", in: in}, c)
}

const evil = "\x1b[2J\x1b[31mred\r\n\t漢字漢字 \u202e and much longer than anybody would ever want to read on a screen of any size whatsoever"

func hostile(v screen.Screen, c screen.Context) screen.Screen {
	in := inspection("db_g1")
	for name := range in.Info.Value {
		in.Info.Value[name] = evil
	}
	in.Slow.Value[0].Command, in.Clients.Value[0].Name, in.Clients.Value[0].Addr, in.Doctor.Value = evil, evil, evil, evil
	in.Spikes.Value[0].Event = evil
	v = send(v, lookMsg{node: "db_g1", in: in}, c)
	broken := refused("db_g2")
	broken.in.Info.Error = evil
	return send(v, broken, c)
}

func hostileSnapshot() *probes.Snapshot {
	s := g2Down()
	s.Services[0].Name, s.Nodes[1].Reach.Error = evil, evil
	return s
}

func send(v screen.Screen, msg tea.Msg, c screen.Context) screen.Screen {
	next, _, _ := v.Update(msg, c)
	return next
}

func typed(v screen.Screen, c screen.Context, names ...string) screen.Screen {
	special := map[string]tea.KeyType{"tab": tea.KeyTab, "enter": tea.KeyEnter, "esc": tea.KeyEsc, "up": tea.KeyUp, "down": tea.KeyDown,
		"pgdown": tea.KeyPgDown, "end": tea.KeyEnd, "shift+tab": tea.KeyShiftTab}
	for _, name := range names {
		msg := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(name)}
		if kind, ok := special[name]; ok {
			msg = tea.KeyMsg{Type: kind}
		}
		v = send(v, msg, c)
	}
	return v
}

func TestGoldenFrames(t *testing.T) {
	for name, situation := range situations() {
		for _, size := range sizes {
			file := fmt.Sprintf("%s_%dx%d.txt", name, size[0], size[1]+2)
			t.Run(file, func(t *testing.T) {
				c := contextOf(snapshot(), size[0], size[1])
				v, s := situation(c)
				c.Snapshot = s
				frametest.Golden(t, file, frametest.Frame(t, v, c)+"\n")
			})
		}
	}
}

// TestLooksOnlyWhileInFront: looks begin when the screen is shown and at ticks, one at a time for each node, never for
// the past.
func TestLooksOnlyWhileInFront(t *testing.T) {
	c := contextOf(snapshot(), 80, 22)
	asked := 0
	var v screen.Screen = New(keys.Default(), func(_ context.Context, node string) (inspect.Inspection, error) {
		asked++
		return inspection(node), nil
	})
	run := func(msg tea.Msg) {
		next, _, cmd := v.Update(msg, c)
		v = next
		if cmd == nil {
			return
		}
		for _, one := range cmd().(tea.BatchMsg) {
			v = send(v, one(), c)
		}
	}
	run(tea.KeyMsg{Type: tea.KeyDown})
	if asked != 0 {
		t.Fatalf("%d looks before the screen was shown", asked)
	}
	run(screen.Shown{})
	run(screen.Tick{})
	if asked != 2 {
		t.Fatalf("%d looks at two nodes", asked)
	}
	c.Now = c.Now.Add(every)
	run(screen.Tick{})
	if asked != 4 {
		t.Fatalf("%d looks after the time for the next ones had come", asked)
	}
	c.Now, c.Past = c.Now.Add(every), true
	run(screen.Tick{})
	if asked != 4 {
		t.Fatal("the past was looked at")
	}
	if frame := strings.Join(v.Draw(c), "\n"); strings.Contains(frame, "7.0.15") || !strings.Contains(frame, "not recorded") {
		t.Errorf("what is seen now is shown as the past:\n%s", ansi.Strip(frame))
	}
}

// TestOldLooksAreNotBelieved: figures that nobody has seen for five looks are gone.
func TestOldLooksAreNotBelieved(t *testing.T) {
	c := contextOf(snapshot(), 120, 38)
	v, _ := situations()["healthy"](c)
	c.Now = noon.Add(6 * every)
	c.Snapshot.At = c.Now
	if frame := ansi.Strip(strings.Join(v.Draw(c), "\n")); strings.Contains(frame, "12.3 MiB") || strings.Contains(frame, "● up") || strings.Contains(frame, "nothing stands out") {
		t.Errorf("old figures are shown:\n%s", frame)
	}
}

func FuzzKeys(f *testing.F) {
	for seed := range uint64(30) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		c := contextOf(snapshot(), 80, 22)
		all := situations()
		names := []string{"healthy", "not_looked", "g2_down", "hostile", "cannot_tell", "cut"}
		v, s := all[names[random.IntN(len(names))]](c)
		pressed := []string{"tab", "enter", "esc", "up", "down", "pgdown", "end", "shift+tab", "/", "x", "漢", "\u202e", "q"}
		for range 80 {
			c.Snapshot, c.Past = s, random.IntN(10) == 0
			if random.IntN(20) == 0 {
				c.Snapshot = nil
			}
			c.Width, c.Height, c.Now = random.IntN(220), random.IntN(60), noon.Add(time.Duration(random.IntN(20))*time.Second)
			v = typed(v, c, pressed[random.IntN(len(pressed))])
			if random.IntN(8) == 0 {
				v = hostile(v, c)
			}
			frametest.Fits(t, v.Draw(c), c.Width, c.Height)
		}
	})
}
