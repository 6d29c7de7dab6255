package cp

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"captop/service"
	"captop/service/node/nodetest"
)

// The proof that CP is linearizable: three instances, each with links of its own to two real Redis servers, clients
// that write and read a few keys through all of them, writers that die between every two steps, and faults on servers
// and links. porcupine then looks for an order of the operations that a single register per key could have had.

// operation is one client's, as porcupine has it.
type operation struct {
	write bool
	key   string
	value string // written, or read; "" where the key was not found
}

var registers = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, o := range history {
			key := o.Input.(operation).key
			byKey[key] = append(byKey[key], o)
		}
		var parts [][]porcupine.Operation
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		if in := input.(operation); in.write {
			return true, in.value
		}
		return output.(operation).value == state.(string), state
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// history collects operations. Safe for concurrent use.
type history struct {
	start      time.Time
	mu         sync.Mutex
	operations []porcupine.Operation
	count      map[string]int // of operations by how they ended
}

// forever is when an operation returns of which nobody knows whether it took effect: it may at any later time.
const forever = int64(1) << 62

func (h *history) now() int64 { return int64(time.Since(h.start)) }

func (h *history) add(client int, in, out operation, call, end int64, how string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count[how]++
	if how == "nothing" {
		return
	}
	h.operations = append(h.operations, porcupine.Operation{ClientId: client, Input: in, Output: out, Call: call, Return: end})
}

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
	history   history
}

func newTrial(t *testing.T, seed uint64, length time.Duration, tailFalls bool) *trial {
	tr := &trial{t: t, seed: seed, length: length, tailFalls: tailFalls,
		history: history{start: time.Now(), count: map[string]int{}}}
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
	return fmt.Sprintf("k%d-%d", time.Since(tr.history.start)/(1500*time.Millisecond), r.IntN(4))
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
		case dice < 50:
			tr.write(id, s, key, value)
		default:
			tr.read(id, s, key, []string{"", service.G1, service.G2}[r.IntN(3)])
		}
		time.Sleep(time.Duration(r.IntN(8)) * time.Millisecond)
	}
}

func (tr *trial) write(id int, s service.Store, key, value string) {
	in := operation{write: true, key: key, value: value}
	call := tr.history.now()
	_, err := write(s, key, value)
	end := tr.history.now()
	var refused *service.Error
	switch {
	case err == nil:
		tr.history.add(id, in, in, call, end, "written")
	case asRefusal(err, &refused) && refused.Outcome == service.NotApplied && !tr.tailFalls:
		tr.history.add(id, in, in, call, end, "nothing")
	default:
		tr.history.add(id, in, in, call, forever, "unknown")
	}
}

func (tr *trial) read(id int, s service.Store, key, at string) {
	call := tr.history.now()
	got, err := read(s, key, at)
	switch {
	case err == nil, service.CodeOf(err) == service.CodeNotFound:
		tr.history.add(id, operation{key: key}, operation{key: key, value: got.Value}, call, tr.history.now(), "read")
	default:
		tr.history.add(id, operation{}, operation{}, 0, 0, "nothing")
	}
}

// abandon writes as an instance does that dies after so many steps: nobody drops or finishes what it began.
func (tr *trial) abandon(ctx context.Context, id int, s *Store, key, value string, steps int) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	in := operation{write: true, key: key, value: value}
	call := tr.history.now()
	defer func() { tr.history.add(id, in, in, call, forever, "abandoned") }()
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
	// At the end both nodes must agree, and with the history.
	for i := range 3 {
		eventually(tr.t, "settling", func() error { return wellSettled(tr.stores[i]) })
	}
	seen := map[string]bool{}
	for _, o := range tr.history.operations {
		key := o.Input.(operation).key
		if seen[key] {
			continue
		}
		seen[key] = true
		for _, at := range []string{service.G1, service.G2} {
			eventually(tr.t, "reading "+key+" at the end", func() error {
				call := tr.history.now()
				got, err := read(tr.stores[0], key, at)
				if service.CodeOf(err) == service.CodeNotFound {
					err = nil
				}
				if err == nil {
					tr.history.add(0, operation{key: key}, operation{key: key, value: got.Value}, call, tr.history.now(), "read")
				}
				return err
			})
		}
	}
}

// settledHistory bounds what is open for ever: an unknown write that nobody read may as well have happened after
// everything else, and one that was read happened before the first read of it returned.
func (h *history) settledHistory() []porcupine.Operation {
	firstRead := map[string]int64{}
	for _, o := range h.operations {
		if out := o.Output.(operation); !out.write {
			if before, ok := firstRead[out.value]; !ok || o.Return < before {
				firstRead[out.value] = o.Return
			}
		}
	}
	var kept []porcupine.Operation
	for _, o := range h.operations {
		if o.Return == forever {
			end, ok := firstRead[o.Input.(operation).value]
			if !ok {
				continue
			}
			o.Return = max(end, o.Call)
		}
		kept = append(kept, o)
	}
	return kept
}

func (tr *trial) check() {
	result, info := porcupine.CheckOperationsVerbose(registers, tr.history.settledHistory(), 30*time.Second)
	tr.t.Logf("seed %d: %v", tr.seed, tr.history.count)
	if result != porcupine.Ok {
		file := fmt.Sprintf("%s/history-%d.html", os.TempDir(), tr.seed)
		if err := porcupine.VisualizePath(registers, info, file); err != nil {
			tr.t.Logf("drawing the history: %v", err)
		}
		tr.t.Fatalf("seed %d: the history is not linearizable (%s); see %s", tr.seed, result, file)
	}
	if tr.history.count["written"] == 0 || tr.history.count["read"] == 0 {
		tr.t.Fatalf("seed %d: nothing was written or read: %v", tr.seed, tr.history.count)
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
