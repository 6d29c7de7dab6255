package cp

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"captop/service"
	"captop/service/layout"
	"captop/service/linearizable"
	"captop/service/node/nodetest"
)

// The proof that CP is linearizable: three instances, each with links of its own to two real Redis servers, clients
// that write and read a few keys through all of them, writers that die between every two steps, and faults on servers
// and links. porcupine then looks for an order of the operations that a single register per key could have had.

// trial is one run of clients and faults.
type trial struct {
	t         *testing.T
	seed      uint64
	length    time.Duration
	tailFalls bool // db_g1 is killed too: what is refused then may still appear
	servers   [2]*nodetest.Server
	links     [3][2]*nodetest.Link // by instance and node
	stores    [3]service.Store
	part      func(instance int, key string) *Store // the store of a key
	breaking  func(context.Context)                 // the faults
	history   *linearizable.History
	counting  sync.Mutex
	count     map[string]int // of operations by how they ended
}

func newTrial(t *testing.T, seed uint64, length time.Duration, tailFalls bool) *trial {
	tr := &trial{t: t, seed: seed, length: length, tailFalls: tailFalls,
		history: linearizable.NewHistory(), count: map[string]int{}}
	for i := range tr.servers {
		tr.servers[i] = nodetest.Start(t)
	}
	for i := range tr.stores {
		for n, server := range tr.servers {
			tr.links[i][n] = nodetest.NewLink(t, server.Addr())
		}
		tr.stores[i] = openStore(t, tr.links[i][0].URL(), tr.links[i][1].URL())
	}
	tr.part = func(instance int, _ string) *Store { return tr.stores[instance].(*Store) }
	tr.breaking = tr.faults
	return tr
}

// key changes with time, so that no key's history grows beyond what a checker can order.
func (tr *trial) key(r *rand.Rand) string {
	return fmt.Sprintf("k%d-%d", time.Duration(tr.history.Now())/(1500*time.Millisecond), r.IntN(4))
}

// burstKeys are keys of one bucket, which change with time, too: written at once, several of them go in one round trip.
func (tr *trial) burstKeys() (keys [8]string) {
	prefix := fmt.Sprintf("b%d-", time.Duration(tr.history.Now())/(1500*time.Millisecond))
	for i, n := 0, 0; n < len(keys); i++ {
		if key := prefix + fmt.Sprint(i); layout.Bucket(key) == layout.Bucket(prefix+"0") {
			keys[n] = key
			n++
		}
	}
	return keys
}

// burst writes keys at once, and reads them. Some of the writers may die.
func (tr *trial) burst(ctx context.Context, id, instance int, value string, r *rand.Rand) {
	keys := tr.burstKeys()
	dying, steps := r.IntN(3*len(keys)), 1+r.IntN(3)
	at, side := tr.stores[r.IntN(len(tr.stores))], []string{"", service.G1, service.G2}[r.IntN(3)]
	var group sync.WaitGroup
	for i, key := range keys {
		group.Go(func() {
			if i == dying {
				tr.abandon(ctx, id, tr.part(instance, key), key, value, steps)
			} else {
				tr.write(id, tr.stores[instance], key, value)
			}
			tr.read(id, at, key, side)
		})
	}
	group.Wait()
}

// batches is how many round trips had one mark for all of their promises.
func (tr *trial) batches() (sum uint64) {
	counted := map[*Store]bool{} // one has all buckets, or each its own
	for i := range tr.stores {
		for _, key := range bucketKeys {
			if s := tr.part(i, key); !counted[s] {
				counted[s] = true
				sum += s.marks.drawn.Load()
			}
		}
	}
	return sum
}

// client writes and reads until the trial ends.
func (tr *trial) client(ctx context.Context, id int) {
	r := rand.New(rand.NewPCG(tr.seed, uint64(id)))
	for i := 0; ctx.Err() == nil; i++ {
		instance := r.IntN(len(tr.stores))
		s := tr.stores[instance]
		key := tr.key(r)
		switch value, dice := fmt.Sprintf("%d.%d", id, i), r.IntN(100); {
		case dice < 3:
			tr.abandon(ctx, id, tr.part(instance, key), key, value, 1+r.IntN(3))
		case dice < 8:
			tr.burst(ctx, id, instance, value, r)
		case dice < 50:
			tr.write(id, s, key, value)
		default:
			tr.read(id, s, key, []string{"", service.G1, service.G2}[r.IntN(3)])
		}
		time.Sleep(time.Duration(r.IntN(8)) * time.Millisecond)
	}
}

func (tr *trial) ended(how string) {
	tr.counting.Lock()
	defer tr.counting.Unlock()
	tr.count[how]++
}

func (tr *trial) write(id int, s service.Store, key, value string) {
	call := tr.history.Now()
	_, err := write(s, key, value)
	end := tr.history.Now()
	var refused *service.Error
	switch {
	case err == nil:
		tr.history.Wrote(id, key, value, call, end)
		tr.ended("written")
	case asRefusal(err, &refused) && refused.Outcome == service.NotApplied && !tr.tailFalls:
		tr.ended("nothing")
	default:
		tr.history.Wrote(id, key, value, call, linearizable.Forever)
		tr.ended("unknown")
	}
}

func (tr *trial) read(id int, s service.Store, key, at string) {
	call := tr.history.Now()
	got, err := read(s, key, at)
	switch {
	case err == nil, service.CodeOf(err) == service.CodeNotFound:
		tr.history.Read(id, key, got.Value, call)
		tr.ended("read")
	default:
		tr.ended("nothing")
	}
}

// abandon writes as an instance does that dies after so many steps: nobody drops or finishes what it began.
func (tr *trial) abandon(ctx context.Context, id int, s *Store, key, value string, steps int) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	call := tr.history.Now()
	defer func() {
		tr.history.Wrote(id, key, value, call, linearizable.Forever)
		tr.ended("abandoned")
	}()
	p := s.newPair()
	if p.both(ctx) != nil {
		return
	}
	t := newWrite(p.runs(), "abandoned "+value, value)
	for range steps {
		if t.step == ended {
			return
		}
		var err error
		if t, err = s.step(ctx, p, p.incs[t.request().at], key, t); err != nil {
			return
		}
	}
}

// faults breaks one thing after the other, and mends each before the next.
func (tr *trial) faults(ctx context.Context) {
	r := rand.New(rand.NewPCG(tr.seed, 999))
	for ctx.Err() == nil {
		n := r.IntN(2)
		server := tr.servers[n]
		link := tr.links[r.IntN(3)][n]
		pause := func() { sleep(ctx, time.Duration(200+r.IntN(900))*time.Millisecond) }
		switch kind := r.IntN(5); {
		case kind == 0 && (n == 1 || tr.tailFalls):
			server.Kill()
			pause()
			server.Restart()
		case kind <= 1:
			server.Pause()
			pause()
			server.Resume()
		case kind == 2:
			link.Cut()
			pause()
			link.Heal()
		case kind == 3:
			link.Reset()
			pause()
			link.Heal()
		case kind == 4:
			link.Slow(time.Duration(r.IntN(80)) * time.Millisecond)
			pause()
			link.Heal()
		}
		sleep(ctx, time.Duration(r.IntN(700))*time.Millisecond)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}

func (tr *trial) run() {
	ctx, cancel := context.WithTimeout(context.Background(), tr.length)
	defer cancel()
	var group sync.WaitGroup
	for id := range 6 {
		group.Go(func() { tr.client(ctx, id) })
	}
	group.Go(func() { tr.breaking(ctx) })
	group.Wait()
	// At the end both nodes must agree, and with the history, and nothing that a dead writer began is left.
	for i := range 3 {
		eventually(tr.t, "settling", func() error { return wellSettled(tr.stores[i]) })
		eventually(tr.t, "ending every promise", func() error {
			if n := tr.stores[i].Nodes()[1]; n.QueueDepth > 0 {
				return fmt.Errorf("%d in flight at %s", n.QueueDepth, n.Name)
			}
			return nil
		})
	}
	for key := range tr.history.Keys() {
		for _, at := range []string{service.G1, service.G2} {
			eventually(tr.t, "reading "+key+" at the end", func() error {
				call := tr.history.Now()
				got, err := read(tr.stores[0], key, at)
				if service.CodeOf(err) == service.CodeNotFound {
					err = nil
				}
				if err == nil {
					tr.history.Read(0, key, got.Value, call)
				}
				return err
			})
		}
	}
}

func (tr *trial) check() {
	tr.t.Logf("seed %d: %v, %d batches", tr.seed, tr.count, tr.batches())
	if err := tr.history.Check(30 * time.Second); err != nil {
		tr.t.Fatalf("seed %d: %v", tr.seed, err)
	}
	if tr.count["written"] == 0 || tr.count["read"] == 0 || tr.batches() == 0 {
		tr.t.Fatalf("seed %d: nothing was written or read, or nothing at once: %v, %d batches", tr.seed, tr.count, tr.batches())
	}
}

// trialTime is how long one trial lasts; CAPTOP_LONG (a duration) runs trials with new seeds for that long.
const trialTime = 8 * time.Second

// trials runs one trial, or many for as long as CAPTOP_LONG says.
func trials(t *testing.T, prepare func(t *testing.T, seed uint64) *trial) {
	until := time.Now()
	if text := os.Getenv("CAPTOP_LONG"); text != "" {
		length, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("CAPTOP_LONG: %v", err)
		}
		until = until.Add(length)
	}
	for again := true; again; again = time.Now().Before(until) {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			tr := prepare(t, seed)
			tr.run()
			tr.check()
		})
	}
}

func TestLinearizable(t *testing.T) {
	for _, fall := range []struct {
		name string
		tail bool
	}{{"db_g2 killed, both paused, cut off and slowed", false}, {"db_g1 killed as well", true}} {
		t.Run(fall.name, func(t *testing.T) {
			trials(t, func(t *testing.T, seed uint64) *trial { return newTrial(t, seed, trialTime, fall.tail) })
		})
	}
}
