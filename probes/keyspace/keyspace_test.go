package keyspace

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/probes"
	"captop/service"
	"captop/service/api"
	"captop/service/layout"
	"captop/service/node/nodetest"
)

// pair is the real services on two real nodes, and a look at their keys.
type pair struct {
	servers [2]*nodetest.Server
	nodes   [2]*redis.Client
	clients map[service.Mode]*api.Client
	space   *Space
}

// startNodes runs two nodes without services.
func startNodes(t *testing.T) *pair {
	t.Helper()
	p := &pair{clients: map[service.Mode]*api.Client{}}
	for i := range p.servers {
		p.servers[i] = nodetest.Start(t)
		p.nodes[i] = redis.NewClient(&redis.Options{Addr: p.servers[i].Addr(), Protocol: 2})
		t.Cleanup(func() { _ = p.nodes[i].Close() })
	}
	p.open(t)
	return p
}

func (p *pair) open(t *testing.T, services ...probes.ServiceTarget) {
	t.Helper()
	space, err := Open([]probes.NodeTarget{{Name: service.G1, URL: p.servers[g1].URL()}, {Name: service.G2, URL: p.servers[g2].URL()}},
		probes.Targets{Services: services}.First, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = space.Close() })
	p.space = space
}

// startPair runs nodes and both services.
func startPair(t *testing.T) *pair {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "capd")
	if out, err := exec.Command("go", "build", "-o", binary, "captop/cmd/capd").CombinedOutput(); err != nil {
		t.Fatalf("building capd: %v\n%s", err, out)
	}
	p := startNodes(t)
	var targets []probes.ServiceTarget
	for _, mode := range Modes {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := listener.Addr().String()
		_ = listener.Close()
		daemon := exec.Command(binary, "--mode", string(mode))
		daemon.Env = append(os.Environ(), "LISTEN_ADDR="+addr, "DB_G1_URL="+p.servers[g1].URL(), "DB_G2_URL="+p.servers[g2].URL())
		if err := daemon.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
		p.clients[mode] = api.NewClient("http://"+addr, "", nil)
		targets = append(targets, probes.ServiceTarget{Name: "app_" + string(mode), Mode: mode, URL: "http://" + addr})
	}
	p.open(t, targets...)
	for _, mode := range Modes {
		p.write(t, mode, "first", "x")
	}
	return p
}

// write writes until it is acknowledged.
func (p *pair) write(t *testing.T, mode service.Mode, key, value string) {
	t.Helper()
	eventually(t, func() string {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := p.clients[mode].Write(ctx, key, []byte(value)); err != nil {
			return err.Error()
		}
		return ""
	})
}

// eventually waits until problem gives none.
func eventually(t *testing.T, problem func() string) {
	t.Helper()
	last := ""
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); time.Sleep(50 * time.Millisecond) {
		if last = problem(); last == "" {
			return
		}
	}
	t.Fatal(last)
}

func (p *pair) set(t *testing.T, node int, name string, fields ...any) {
	t.Helper()
	if err := p.nodes[node].HSet(t.Context(), name, fields...).Err(); err != nil {
		t.Fatal(err)
	}
}

// TestLookFromAllSides writes through both services, then breaks one node's copy by hand.
func TestLookFromAllSides(t *testing.T) {
	p := startPair(t)
	for _, mode := range Modes {
		p.write(t, mode, "user:7", "from "+string(mode))
	}
	eventually(t, func() string {
		look := p.space.Look(t.Context(), "user:7")
		for i, view := range look.Views {
			want := "from " + string(Modes[i])
			if view.State != Same || view.Answer.Value != want || view.Answer.Version != view.Copies[g1].Version || view.Answer.Node == "" {
				return fmt.Sprintf("%+v", view)
			}
			for _, c := range view.Copies {
				if c.Value != want || c.Length != int64(len(want)) || !c.Settled || c.Waiting || c.Error != "" {
					return fmt.Sprintf("%+v", c)
				}
			}
		}
		return ""
	})
	p.set(t, g2, layout.CPKey("user:7"), layout.CPValue, "another")
	if view := p.space.Look(t.Context(), "user:7").Views[0]; view.State != Divergent || !strings.Contains(view.Why, "one version with two values") {
		t.Errorf("a changed copy in CP: %s, %s", view.State, view.Why)
	}
	if err := p.nodes[g2].Del(t.Context(), layout.APRegister("user:7")).Err(); err != nil {
		t.Fatal(err)
	}
	if view := p.space.Look(t.Context(), "user:7").Views[1]; view.State != Divergent || !strings.Contains(view.Why, "db_g2 lacks the key") {
		t.Errorf("a lost copy in AP: %s, %s", view.State, view.Why)
	}
	if view := p.space.Look(t.Context(), "never"); view.Views[0].State != Absent || view.Views[1].Answer.Code != service.CodeNotFound {
		t.Errorf("a key that was never written: %+v", view)
	}
}

// TestLookWhileANodeIsAway: AP's copy at db_g1 has a mark, db_g2's cannot be told; the rest is there.
func TestLookWhileANodeIsAway(t *testing.T) {
	p := startPair(t)
	p.servers[g2].Kill()
	p.write(t, service.ModeAP, "late", "value")
	view := p.space.Look(t.Context(), "late").Views[1]
	if view.State != CannotTell || !strings.Contains(view.Copies[g2].Error, "refused") || !view.Copies[g1].Waiting || view.Answer.Value != "value" {
		t.Errorf("%+v", view)
	}
}

// TestCompareFindsWhatWasBroken compares while both services are written to, and finds exactly what was broken by hand.
func TestCompareFindsWhatWasBroken(t *testing.T) {
	p := startPair(t)
	for i := range 20 {
		for _, mode := range Modes {
			p.write(t, mode, fmt.Sprintf("key:%d", i), "value")
		}
	}
	eventually(t, func() string { // all is carried over and finished
		c := p.space.Compare(t.Context(), func(Comparison) {})
		if c.Phase != Ended || len(c.Findings) > 0 || c.Compared != [2]int64{21, 21} {
			return fmt.Sprintf("%+v", c)
		}
		return ""
	})
	p.set(t, g2, layout.CPKey("key:3"), layout.CPValue, "other")
	p.set(t, g1, layout.APRegister("key:4"), layout.APStamp, "5", layout.APOrigin, "1")
	p.set(t, g2, layout.APRegister("only here"), layout.APStamp, "7", layout.APOrigin, "1", layout.APValue, "x")
	var stop atomic.Bool
	done := make(chan struct{})
	go func() { // a key that changes all the time is no finding of divergence
		defer close(done)
		for i := 0; !stop.Load(); i++ {
			_, _ = p.clients[service.ModeAP].Write(context.Background(), "busy", fmt.Appendf(nil, "%d", i))
		}
	}()
	c := p.space.Compare(t.Context(), func(Comparison) {})
	stop.Store(true)
	<-done
	got := map[string]State{}
	for _, f := range c.Findings {
		if f.Key != "busy" || f.State != InFlight {
			got[string(f.Mode)+" "+f.Key] = f.State
		}
	}
	want := map[string]State{"cp key:3": Divergent, "ap key:4": Divergent, "ap only here": Divergent}
	if fmt.Sprint(got) != fmt.Sprint(want) || c.Divergent != 3 || c.Phase != Ended {
		t.Errorf("found %v (%+v), want %v", got, c, want)
	}
	if len(c.Findings) == 0 || c.Findings[0].State != Divergent {
		t.Errorf("the worst is not first: %+v", c.Findings)
	}
}

// TestCompareTellsWhatIsUnderWay: without services nothing is carried on; what waits and what is unsettled stays so.
func TestCompareTellsWhatIsUnderWay(t *testing.T) {
	p := startNodes(t)
	minuteAgo := fmt.Sprint(time.Now().Add(-time.Minute).UnixMilli())
	p.set(t, g2, layout.CPKey("promised"), layout.CPPromised, "1", "dt", "somebody's", layout.CPPromisedText, "x", layout.CPPromisedAt, minuteAgo)
	p.set(t, g1, layout.APRegister("marked"), layout.APStamp, "7", layout.APOrigin, "1", layout.APValue, "x")
	mark := redis.Z{Score: float64(time.Now().Add(-time.Minute).UnixMicro()), Member: "marked"}
	if err := p.nodes[g1].ZAdd(t.Context(), layout.APDirty(layout.Bucket("marked")), mark).Err(); err != nil {
		t.Fatal(err)
	}
	p.set(t, g1, layout.APRegister("batched"), layout.APStamp, "7", layout.APOrigin, "1", layout.APValue, "x")
	batch := redis.Z{Score: mark.Score, Member: layout.Batch("7.1", []string{"another", "batched"})}
	if err := p.nodes[g1].ZAdd(t.Context(), layout.APBatches, batch).Err(); err != nil {
		t.Fatal(err)
	}
	p.set(t, g1, layout.APRegister("unsettled"), layout.APStamp, "7", layout.APOrigin, "1", layout.APValue, "x")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // at one node only, without a mark: it differs at every look, and is another one each time
		defer close(done)
		for i := 1; ctx.Err() == nil; i++ {
			_ = p.nodes[g1].HSet(ctx, layout.APRegister("restless"), layout.APStamp, fmt.Sprint(i), layout.APOrigin, "1", layout.APValue, "x").Err()
			time.Sleep(5 * time.Millisecond)
		}
	}()
	eventually(t, func() string {
		if p.nodes[g1].Exists(t.Context(), layout.APRegister("restless")).Val() == 0 {
			return "the restless key was never written"
		}
		return ""
	})
	c := p.space.Compare(t.Context(), func(Comparison) {})
	stop()
	<-done
	got := ""
	for _, f := range c.Findings {
		got += fmt.Sprintf("%s %s %s; ", f.Mode, f.Key, f.State)
	}
	if want := "ap unsettled not settled; cp promised in flight; ap batched in flight; ap marked in flight; ap restless in flight; "; got != want || c.InFlight != 4 || c.Unsettled != 1 {
		t.Errorf("found %q, want %q", got, want)
	}
	for _, f := range c.Findings {
		if (f.Key == "marked" || f.Key == "batched") && !strings.Contains(f.Why, "for 1m0") || f.Key == "promised" && !strings.Contains(f.Why, "promised it 1m0") {
			t.Errorf("the mark's age is not told: %s", f.Why)
		}
	}
}

// fill puts so many equal registers on both nodes.
func (p *pair) fill(t *testing.T, keys int) {
	t.Helper()
	for _, client := range p.nodes {
		for from := 0; from < keys; from += 10_000 {
			pipe := client.Pipeline()
			for i := from; i < min(from+10_000, keys); i++ {
				pipe.HSet(t.Context(), layout.APRegister(fmt.Sprintf("k%06d", i)), layout.APStamp, "5", layout.APOrigin, "1", layout.APValue, "v")
			}
			if _, err := pipe.Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestCompareManyKeys tells its progress over 100,000 keys, ends, can be cancelled, and fails with what it has.
func TestCompareManyKeys(t *testing.T) {
	const keys = 100_000
	p := startNodes(t)
	p.fill(t, keys)
	p.set(t, g2, layout.APRegister("k054321"), layout.APValue, "w")
	p.space.pace = pace{keys: 1e9, bytes: 1 << 40}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var news []Comparison
	c := p.space.Compare(ctx, func(n Comparison) { news = append(news, n) })
	if c.Phase != Ended || c.Done < 2*keys || c.Compared[1] < keys || len(c.Findings) != 1 || c.Findings[0].Key != "k054321" {
		t.Fatalf("%s: %+v", c.Phase, c)
	}
	t.Logf("%d names in %s, %.0f a second", c.Done, c.At.Sub(c.Started), c.PerSecond())
	if len(news) < 2 || news[0].Done >= c.Done || news[0].Total < 2*keys {
		t.Fatalf("%d pieces of news, the first %+v", len(news), news[0])
	}
	if left, ok := news[0].Left(); !ok || left <= 0 {
		t.Errorf("the first news has %s left, %v", left, ok)
	}
	p.space.pace = gentle
	ctx, stop := context.WithCancel(t.Context())
	if c = p.space.Compare(ctx, func(n Comparison) {
		if n.Done > 0 {
			stop()
		}
	}); c.Phase != Cancelled || c.Done == 0 || c.Done >= 2*keys {
		t.Errorf("cancelled: %s with %d done", c.Phase, c.Done)
	}
	if c = p.space.Compare(t.Context(), func(n Comparison) {
		if n.Done > 0 {
			p.servers[g2].Kill()
		}
	}); c.Phase != Failed || !strings.Contains(c.Problem, "db_g2") || c.Done == 0 {
		t.Errorf("with db_g2 killed: %s, %q", c.Phase, c.Problem)
	}
}

// TestFind finds the exact key first, and the others by beginning or pattern.
func TestFind(t *testing.T) {
	p := startNodes(t)
	p.fill(t, 3000)
	p.set(t, g1, layout.CPKey("k0000"), layout.CPVersion, "1", layout.CPValue, "v")
	p.set(t, g2, layout.APRegister("only [g2]"), layout.APStamp, "5", layout.APOrigin, "1", layout.APValue, "v")
	p.set(t, g1, "somebody else's", "a", "b")
	first := Search{}
	s := p.space.Find(t.Context(), "k0000", func(n Search) {
		if first.Keys == nil {
			first = n
		}
	})
	if len(first.Keys) != 1 || !first.Exact || first.Keys[0].Key != "k0000" {
		t.Errorf("the first news is %+v", first)
	}
	if len(s.Keys) != 101 || !s.Exact || s.Keys[0].Key != "k0000" || s.Keys[0].Where != [2][2]bool{{true, false}, {}} ||
		s.Keys[1].Key != "k000000" || s.Keys[1].Where != [2][2]bool{{}, {true, true}} || s.Phase != Ended {
		t.Errorf("%d keys, %+v", len(s.Keys), s)
	}
	for query, want := range map[string]int{"*9999": 0, "k00?999": 3, "only [[]g2*": 1, "only": 1, "": foundAtMost, "somebody": 0, `\`: 0} {
		s := p.space.Find(t.Context(), query, func(Search) {})
		if len(s.Keys) != want || s.Exact || s.Full != (want == foundAtMost) || s.Phase != Ended {
			t.Errorf("%q found %d keys, want %d; %s %s", query, len(s.Keys), want, s.Phase, s.Problem)
		}
	}
	if s := p.space.Find(t.Context(), "only [g2]", func(Search) {}); !s.Exact {
		t.Errorf("a key with the signs of a pattern is not found by its name: %+v", s)
	}
	p.servers[g2].Pause()
	t.Cleanup(p.servers[g2].Resume)
	if s := p.space.Find(t.Context(), "k", func(Search) {}); s.Phase != Failed || !strings.Contains(s.Problem, "no answer within 3s") {
		t.Errorf("with db_g2 paused: %s %q", s.Phase, s.Problem)
	}
}

func TestJudge(t *testing.T) {
	at := func(node string, version service.Version, value string, settled, waiting bool) Copy {
		return Copy{Node: node, Exists: version != "", Version: version, Value: value, Length: int64(len(value)), Settled: settled,
			Waiting: waiting, sum: [32]byte([]byte((value + strings.Repeat(" ", 32))[:32]))}
	}
	type row struct {
		mode service.Mode
		a, b Copy
		want State
		why  string
	}
	g1At := func(v service.Version, value string) Copy { return at("db_g1", v, value, true, false) }
	g2At := func(v service.Version, value string) Copy { return at("db_g2", v, value, true, false) }
	for i, r := range []row{
		{service.ModeCP, g1At("9", "v"), g2At("9", "v"), Same, ""},
		{service.ModeCP, g1At("", ""), g2At("", ""), Absent, "neither"},
		{service.ModeCP, g1At("9", "v"), g2At("10", "w"), Divergent, "db_g1 has an older version"},
		{service.ModeCP, g1At("10", "v"), at("db_g2", "9", "w", true, true), InFlight, "promised"},
		{service.ModeCP, at("db_g1", "9", "v", false, false), g2At("10", "w"), Unsettled, "db_g1 has restarted"},
		{service.ModeCP, g1At("9", "v"), Copy{Node: "db_g2", Error: "refused"}, CannotTell, "db_g2 cannot be read"},
		{service.ModeAP, g1At("9.1", "v"), g2At("9.2", "w"), Divergent, "db_g1 has an older version"},
		{service.ModeAP, at("db_g1", "9.1", "v", true, true), g2At("9.2", "w"), Divergent, "db_g1 has an older version"},
		{service.ModeAP, at("db_g1", "10.1", "v", true, true), g2At("9.2", "w"), InFlight, "db_g2 lacks the newest write"},
		{service.ModeAP, at("db_g1", "10.1", "v", true, true), g2At("", ""), InFlight, "db_g2 lacks the newest write"},
		{service.ModeAP, g1At("9.1", "v"), g2At("9.1", "w"), Divergent, "two values"},
		{service.ModeAP, g1At("nonsense", "v"), g2At("9.1", "w"), Divergent, "db_g1 has an older version"},
	} {
		if got, reason := judge(r.mode, [2]Copy{r.a, r.b}); got != r.want || !strings.Contains(reason, r.why) {
			t.Errorf("%d: %s, %q; want %s", i, got, reason, r.want)
		}
	}
}
