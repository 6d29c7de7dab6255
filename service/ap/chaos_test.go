package ap

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"captop/service"
	"captop/service/cache"
)

// TestAnswersAndConvergesUnderFaults is the proof of what AP promises: while servers are killed, paused, cut off, reset
// and slowed, and instances are replaced, every write is answered as long as one node is up; a read is never further
// behind than it says; and afterwards both nodes hold, for every key, the newest acknowledged value.
//
// CAPTOP_LONG=5m runs it for that long; CAPTOP_SEED repeats a schedule.
func TestAnswersAndConvergesUnderFaults(t *testing.T) {
	length, seed := chaosSettings(t)
	p := newPair(t)
	c := newChaos(t, seed, p, func(name string) *instance { return p.start(t, name) })
	c.run(length, c.fault)
	c.finish()
}

// TestCacheUnderFaults proves the same of instances that answer reads from memory for a while.
func TestCacheUnderFaults(t *testing.T) {
	length, seed := chaosSettings(t)
	p := newPair(t)
	c := newChaos(t, seed, p, func(name string) *instance {
		s := p.ready(t, name)
		cached, err := cache.New(s, 300*time.Millisecond, time.Second, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		return &instance{cached, []*Store{s}}
	})
	c.anywhere = true
	c.run(length, c.fault)
	c.finish()
	t.Logf("%d of %d reads were answered from memory", c.cached.Load(), c.reads.Load())
	// Some two in five are. In a second that a node hangs for there are a few reads, all of them slow.
	if reads := c.reads.Load(); reads > 200 && c.cached.Load() < reads/20 {
		t.Error("that is too few to have tested anything")
	}
}

func chaosSettings(t *testing.T) (length time.Duration, seed uint64) {
	length = 8 * time.Second
	var err error
	if text := os.Getenv("CAPTOP_LONG"); text != "" {
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("CAPTOP_LONG: %v", err)
		}
	}
	seed = rand.Uint64()
	if text := os.Getenv("CAPTOP_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("CAPTOP_SEED: %v", err)
		}
	}
	t.Logf("CAPTOP_SEED=%d CAPTOP_LONG=%s", seed, length)
	return length, seed
}

// finish compares the nodes and tells what was tried.
func (c *chaos) finish() {
	c.converge()
	c.t.Logf("%d writes, %d reads (the furthest behind by %s, the bound then %s), %d faults", c.writes.Load(), c.reads.Load(),
		c.worst, c.worstBound, len(c.faults))
	if c.refused.Load() > c.writes.Load()/2 {
		c.t.Errorf("%d writes were refused", c.refused.Load())
	}
	if c.writes.Load() == 0 || c.reads.Load() == 0 || len(c.faults) == 0 {
		c.t.Error("nothing was tried")
	}
}

const (
	chaosInstances = 3
	chaosKeys      = 40
	chaosWriters   = 4 // each writes the keys of its own
	chaosReaders   = 3
)

// instance is one service; its parts are its stores: one, or one for each bucket.
type instance struct {
	service.Store
	parts []*Store
}

// awaitGood waits until every part finds both nodes reachable and reconciled.
func (i *instance) awaitGood(t testing.TB) {
	for _, part := range i.parts {
		awaitGood(t, part, g1, g2)
	}
}

// start opens an instance that is one store.
func (p *pair) start(t testing.TB, name string) *instance {
	s := p.ready(t, name)
	return &instance{s, []*Store{s}}
}

type chaos struct {
	t         *testing.T
	random    *rand.Rand // of the fault schedule alone
	pair      *pair
	start     func(name string) *instance
	least     int           // faults, however long they take
	pause     time.Duration // of a client between requests, at most
	anywhere  bool          // reads name no node: one that does is not answered from memory, and waits for a node that hangs
	mayRefuse bool          // a group that a slow machine takes for broken has no majority for a while
	refused   atomic.Int64
	instances [chaosInstances]atomic.Pointer[instance]
	keys      [chaosKeys]history
	faults    []string
	present   atomic.Pointer[string] // the fault that is on

	writes, reads atomic.Int64
	cached        atomic.Int64 // of the reads
	mu            sync.Mutex
	worst         time.Duration
	worstBound    time.Duration
}

// history is what is known of one key: acknowledged[n] is when the write of value n was answered.
type history struct {
	mu           sync.Mutex
	acknowledged []time.Time
}

// behind gives how long before now the oldest acknowledged write newer than value n was answered.
func (h *history) behind(n int, now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, at := range h.acknowledged[min(n+1, len(h.acknowledged)):] {
		if !at.IsZero() {
			return now.Sub(at)
		}
	}
	return 0
}

func newChaos(t *testing.T, seed uint64, p *pair, start func(name string) *instance) *chaos {
	c := &chaos{t: t, random: rand.New(rand.NewPCG(seed, 0)), pair: p, start: start, pause: 4 * time.Millisecond}
	c.say("none yet")
	for i := range c.instances {
		c.instances[i].Store(c.start(fmt.Sprint("i", i)))
	}
	for k := range c.keys {
		c.write(c.instances[0].Load(), k)
	}
	for k := range c.keys {
		awaitValue(t, c.instances[0].Load(), service.G2, chaosKey(k), "0")
	}
	return c
}

func chaosKey(k int) string { return fmt.Sprintf("key %d", k) }

func (c *chaos) say(fault string) { c.present.Store(&fault) }

func (c *chaos) any() *instance { return c.instances[rand.IntN(chaosInstances)].Load() }

// run has clients write and read while faults come and go.
func (c *chaos) run(length time.Duration, fault func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel() // also where the test has failed
	for w := range chaosWriters {
		clients.Go(func() {
			for ctx.Err() == nil {
				c.write(c.any(), w+chaosWriters*rand.IntN(chaosKeys/chaosWriters))
				time.Sleep(rand.N(c.pause))
			}
		})
	}
	for range chaosReaders {
		clients.Go(func() {
			for ctx.Err() == nil {
				c.read(c.any(), rand.IntN(chaosKeys))
				time.Sleep(rand.N(c.pause))
			}
		})
	}
	for end := time.Now().Add(length); (time.Now().Before(end) || len(c.faults) < c.least) && !c.t.Failed(); {
		fault()
	}
}

// fault breaks one node and heals it; the next one waits until every instance has both nodes back.
func (c *chaos) fault() {
	which := c.random.IntN(2)
	server, link := c.pair.servers[which], c.pair.links[which]
	lasts := time.Duration(50+c.random.IntN(1500)) * time.Millisecond
	kinds := []struct {
		name       string
		begin, end func()
	}{
		{"kill", server.Kill, server.Restart},
		{"restart", server.Restart, func() {}},
		{"pause", server.Pause, server.Resume},
		{"cut", link.Cut, link.Heal},
		{"reset", link.Reset, link.Heal},
		{"slow", func() { link.Slow(time.Duration(5+c.random.IntN(100)) * time.Millisecond) }, link.Heal},
		{"new instance", c.replaceInstance, func() {}},
	}
	kind := kinds[c.random.IntN(len(kinds))]
	name := fmt.Sprintf("%s db_g%d for %s", kind.name, which+1, lasts)
	c.faults = append(c.faults, name)
	c.say(name)
	kind.begin()
	time.Sleep(lasts)
	kind.end()
	c.say("after " + name)
	for i := range c.instances {
		c.instances[i].Load().awaitGood(c.t)
	}
}

// replaceInstance ends one instance in the middle of whatever it does behind its answers, and starts another.
func (c *chaos) replaceInstance() {
	i := c.random.IntN(chaosInstances)
	old := c.instances[i].Swap(c.start(fmt.Sprint("i", i, " replaced")))
	_ = old.Close()
}

func (c *chaos) write(s service.Store, k int) {
	h := &c.keys[k]
	h.mu.Lock()
	n := len(h.acknowledged)
	h.mu.Unlock()
	begun := time.Now()
	_, err := s.Write(context.Background(), chaosKey(k), []byte(strconv.Itoa(n)))
	at := time.Now()
	if err != nil {
		c.refused.Add(1)
		if !c.mayRefuse {
			c.t.Errorf("write not answered after %s (%s): %v", time.Since(begun), *c.present.Load(), err)
		}
		at = time.Time{}
	}
	c.writes.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acknowledged = append(h.acknowledged, at)
}

func (c *chaos) read(s service.Store, k int) {
	var options service.ReadOptions
	if !c.anywhere {
		options.Node = []string{"", service.G1, service.G2}[rand.IntN(3)]
	}
	begun := time.Now()
	v, err := s.Read(context.Background(), chaosKey(k), options)
	if err != nil {
		if options.Node == "" && !c.mayRefuse || options.Node != "" && service.CodeOf(err) != service.CodeNodeUnavailable && !c.mayRefuse {
			c.t.Errorf("read at %q not answered (%s): %v", options.Node, *c.present.Load(), err)
		}
		return
	}
	c.reads.Add(1)
	if v.Cached {
		c.cached.Add(1)
	}
	n, err := strconv.Atoi(v.Value)
	if err != nil {
		c.t.Errorf("read %q", v.Value)
	}
	behind := c.keys[k].behind(n, begun)
	bound := time.Duration(v.StalenessMS) * time.Millisecond
	if behind > bound {
		c.t.Errorf("a read at %s was %s behind and said %s (%s)", v.Node, behind, bound, *c.present.Load())
	}
	if v.Stale != (bound > time.Second) && bound != time.Second {
		c.t.Errorf("a read %s behind says stale: %v", bound, v.Stale)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if behind > c.worst {
		c.worst, c.worstBound = behind, bound
	}
}

// converge waits until nothing is left to carry, and compares both nodes with what was acknowledged.
func (c *chaos) converge() {
	s := c.instances[0].Load()
	begun := time.Now()
	await(c.t, "both nodes were seen without marks", func() error {
		for _, part := range s.parts {
			for which := range part.nodes {
				if v := part.watch[which].view(); v.sent.Before(begun) || v.oldest != 0 {
					return fmt.Errorf("%+v", part.Nodes()[which])
				}
			}
		}
		return nil
	})
	for k := range c.keys {
		var versions [2]service.Version
		for i, name := range []string{service.G1, service.G2} {
			v, err := s.Read(context.Background(), chaosKey(k), service.ReadOptions{Node: name})
			if err != nil {
				c.t.Errorf("%s at %s: %v", chaosKey(k), name, err)
				continue
			}
			versions[i] = v.Version
			n, _ := strconv.Atoi(v.Value)
			if behind := c.keys[k].behind(n, time.Now()); behind > 0 {
				c.t.Errorf("%s at %s is %q: a write acknowledged %s ago is lost", chaosKey(k), name, v.Value, behind)
			}
		}
		if versions[0] != versions[1] {
			c.t.Errorf("%s is %s at db_g1 and %s at db_g2", chaosKey(k), versions[0], versions[1])
		}
	}
}
