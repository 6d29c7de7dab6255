package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"captop/service"
	"captop/service/api"
	"captop/service/node/link"
)

// TestSoak runs both services as they are deployed, two instances of each over two Redis nodes, under a mixed load with one
// fault after the other: nodes and instances are killed, nodes paused, links cut, reset and slowed. At every calm between two
// faults CP's histories since the last one are checked by porcupine, and what the processes hold is noted. At the end nothing
// acknowledged is lost, both nodes hold the same, and the instances that were never killed hold no more than at the start.
//
// CAPTOP_LONG=1h runs it for that long with a fault every 30 s; CAPTOP_SEED repeats a schedule of faults.
func TestSoak(t *testing.T) {
	length, every := 20*time.Second, 3*time.Second
	if text := os.Getenv("CAPTOP_LONG"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("CAPTOP_LONG: %v", err)
		}
		every = min(30*time.Second, max(every, length/20))
	}
	seed := rand.Uint64()
	if text := os.Getenv("CAPTOP_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("CAPTOP_SEED: %v", err)
		}
	}
	t.Logf("CAPTOP_SEED=%d CAPTOP_LONG=%s", seed, length)
	s := newSoak(t, seed, every)
	s.run(length)
	s.finish()
	s.report()
}

// patience bounds every wait of this test; nothing is measured with it.
const patience = 2 * time.Minute

// instance is one capd with links of its own to the nodes.
type instance struct {
	*Process
	mode   service.Mode
	client *api.Client
	links  [2]*link.Link
	kills  atomic.Int64 // odd while it is dead
	usage  []usage      // at every calm
}

type soak struct {
	t         *testing.T
	random    *rand.Rand // of the faults alone
	every     time.Duration
	nodes     [2]*Process
	instances []*instance // two of each mode; the first of each is never killed
	cp        *cpHistory
	ap        *apHistory
	faults    map[string]int
	calms     int
	present   atomic.Pointer[string] // the fault that is on
	refused   sync.Map               // what was refused and why it may have been: string to *atomic.Int64
}

func newSoak(t *testing.T, seed uint64, every time.Duration) *soak {
	room, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(room.Close)
	s := &soak{t: t, random: rand.New(rand.NewPCG(seed, 0)), every: every, cp: newCPHistory(), ap: newAPHistory(), faults: map[string]int{}}
	s.say("no fault yet")
	binary, err := room.BuildCapd()
	s.must(err)
	for i, name := range []string{service.G1, service.G2} {
		s.nodes[i], err = room.Redis(name, "--auto-aof-rewrite-percentage", "100")
		s.must(err)
	}
	for _, mode := range []service.Mode{service.ModeCP, service.ModeAP} {
		for n := range 2 {
			s.instances = append(s.instances, s.newInstance(room, binary, mode, n))
		}
	}
	s.calm()
	return s
}

func (s *soak) newInstance(room *Lab, binary string, mode service.Mode, n int) *instance {
	i := &instance{mode: mode}
	for which, node := range s.nodes {
		addr, err := FreeAddr()
		s.must(err)
		i.links[which], err = link.New(addr, node.Addr())
		s.must(err)
		s.t.Cleanup(i.links[which].Close)
	}
	var err error
	i.Process, err = room.Capd(fmt.Sprintf("app_%s-%d", mode, n), binary, mode, "redis://"+i.links[0].Addr(), "redis://"+i.links[1].Addr(),
		"NETWORK_TIMEOUT_SEC=4", "BREAKER_OPEN_SEC=1", "MAX_CLOCK_SKEW_MS=5000", "LOG_LEVEL=WARN")
	s.must(err)
	i.client = api.NewClient(i.URL(), "", &http.Transport{})
	return i
}

func (s *soak) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *soak) say(fault string) { s.present.Store(&fault) }

// of picks an instance of a mode.
func (s *soak) of(mode service.Mode, r *rand.Rand) *instance {
	if mode == service.ModeCP {
		return s.instances[r.IntN(2)]
	}
	return s.instances[2+r.IntN(2)]
}

// run loads and breaks for so long.
func (s *soak) run(length time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	for id := range 3 {
		clients.Go(func() { s.loop(ctx, id, s.cpClient) })
		clients.Go(func() { s.loop(ctx, id, s.apClient) })
	}
	for end := time.Now().Add(length); time.Now().Before(end) && !s.t.Failed(); {
		next := time.Now().Add(s.every)
		s.fault()
		s.calm()
		s.check()
		if wait := time.Until(next); wait > 0 {
			time.Sleep(wait)
		}
	}
	cancel()
	clients.Wait()
}

// loop has a client work until ctx ends, some 25 times a second.
func (s *soak) loop(ctx context.Context, id int, one func(*rand.Rand, int)) {
	r := rand.New(rand.NewPCG(rand.Uint64(), uint64(id)))
	for ctx.Err() == nil {
		one(r, id)
		time.Sleep(time.Duration(r.IntN(80)) * time.Millisecond)
	}
}

// fault breaks one thing for a while and mends it.
func (s *soak) fault() {
	which := s.random.IntN(2)
	node := s.nodes[which]
	victim := s.instances[2*s.random.IntN(2)+1]
	cutOff := s.instances[s.random.IntN(len(s.instances))]
	lasts := s.every/10 + time.Duration(s.random.Int64N(int64(s.every/5)))
	slow := time.Duration(5+s.random.IntN(95)) * time.Millisecond
	kinds := []struct {
		name       string
		begin, end func()
	}{
		{"kill node", node.Kill, func() { s.must(node.Restart()) }},
		{"pause node", node.Pause, node.Resume},
		{"cut node off from all", func() { s.links(which, (*link.Link).Cut) }, func() { s.links(which, heal) }},
		{"cut node off from one", cutOff.links[which].Cut, func() { s.must(cutOff.links[which].Heal()) }},
		{"reset node's links", func() { s.links(which, (*link.Link).Reset) }, func() { s.links(which, heal) }},
		{"slow node", func() { s.links(which, func(l *link.Link) { l.Slow(slow) }) }, func() { s.links(which, heal) }},
		{"kill instance", func() { victim.kills.Add(1); victim.Kill() }, func() { s.must(victim.Restart()); victim.kills.Add(1) }},
	}
	kind := kinds[s.random.IntN(len(kinds))]
	s.faults[kind.name]++
	s.say(fmt.Sprintf("%s (db_g%d, %s) for %s", kind.name, which+1, victim.name, lasts))
	kind.begin()
	time.Sleep(lasts)
	kind.end()
	s.say("after " + *s.present.Load())
}

func (s *soak) links(which int, do func(*link.Link)) {
	for _, i := range s.instances {
		do(i.links[which])
	}
}

// heal ends what was done to a link. Where the port was taken meanwhile, no instance gets well, and calm says so.
func heal(l *link.Link) { _ = l.Heal() }

// calm waits until every instance is well and has nothing left to carry, and notes what it holds.
func (s *soak) calm() {
	s.t.Helper()
	for _, i := range s.instances {
		for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			body, err := s.health(i)
			if err == nil && body.Status == api.StatusOK {
				break
			}
			if time.Now().After(limit) {
				s.t.Fatalf("%s is not well %s: %+v %v", i.name, *s.present.Load(), body, err)
			}
		}
		used, err := readUsage(i.URL())
		if err != nil {
			s.t.Fatalf("what %s holds: %v", i.name, err)
		}
		i.usage = append(i.usage, used)
	}
	s.calms++
}

func (s *soak) health(i *instance) (api.HealthBody, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return i.client.Health(ctx)
}

// asked calls an instance; excused says that it was dead at some time meanwhile.
func (s *soak) asked(i *instance, do func(context.Context) error) (excused bool, err error) {
	before := i.kills.Load()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err = do(ctx)
	if err != nil {
		why := string(i.mode) + " " + string(service.CodeOf(err))
		excused = before%2 == 1 || i.kills.Load() != before
		if excused {
			why = string(i.mode) + " instance killed"
		}
		counter, _ := s.refused.LoadOrStore(why, new(atomic.Int64))
		counter.(*atomic.Int64).Add(1)
	}
	return excused, err
}

// finish checks what has to hold at the end.
func (s *soak) finish() {
	for _, i := range s.instances {
		for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			body, err := s.health(i)
			if err == nil && nothingQueued(body) {
				break
			}
			if time.Now().After(limit) {
				s.t.Fatalf("%s still has something to carry: %+v %v", i.name, body, err)
			}
		}
	}
	s.check()
	s.checkCPAgain()
	s.checkAP()
	s.compareNodes()
	for _, i := range []*instance{s.instances[0], s.instances[2]} {
		if err := flat(i.usage); err != nil {
			s.t.Errorf("%s: %v", i.name, err)
		}
	}
}

func nothingQueued(body api.HealthBody) bool {
	for _, n := range body.Nodes {
		if n.QueueDepth > 0 || n.Rejoin.Active {
			return false
		}
	}
	return body.Status == api.StatusOK
}

var errNothing = errors.New("nothing was tried")

func (s *soak) report() {
	s.t.Logf("CP: %v; %d keys checked", s.cp.count, len(s.cp.settled))
	s.t.Logf("AP: %d writes, %d reads, the furthest behind by %s (its bound then %s)", s.ap.writes.Load(), s.ap.reads.Load(), s.ap.worst, s.ap.worstBound)
	s.t.Logf("faults: %v; %d calms", s.faults, s.calms)
	s.refused.Range(func(why, n any) bool {
		s.t.Logf("refused: %v: %d", why, n.(*atomic.Int64).Load())
		return true
	})
	for _, i := range s.instances {
		s.t.Logf("%s: first %v, last %v, most %v", i.name, i.usage[0], i.usage[len(i.usage)-1], most(i.usage))
	}
	if s.cp.count["written"] == 0 || s.cp.count["read"] == 0 || s.ap.writes.Load() == 0 || s.ap.reads.Load() == 0 || len(s.faults) == 0 {
		s.t.Error(errNothing)
	}
}
