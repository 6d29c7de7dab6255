package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"captop/service"
)

// cpOperation is one client's, as porcupine has it.
type cpOperation struct {
	write bool
	value string // written, or read; "" where the key was not found
}

// register is one key.
var register = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		if in := input.(cpOperation); in.write {
			return true, in.value
		}
		return output.(cpOperation).value == state.(string), state
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// cpHistory is what happened to the keys that are in use. Keys change with time, so that no key's history grows beyond
// what a checker can order, and that of a key that is not written any more can be checked and forgotten.
type cpHistory struct {
	start   time.Time
	mu      sync.Mutex
	keys    map[string][]porcupine.Operation
	flying  map[string]int // writes and reads of a key that have no answer yet
	settled map[string]settledKey
	count   map[string]int // of operations by how they ended
}

// settledKey is a key whose history was checked.
type settledKey struct {
	value string
	maybe map[string]bool // values of writes that had no outcome: they may appear later
}

func newCPHistory() *cpHistory {
	return &cpHistory{start: time.Now(), keys: map[string][]porcupine.Operation{}, flying: map[string]int{},
		settled: map[string]settledKey{}, count: map[string]int{}}
}

// window is how long a key is in use.
const window = 3 * time.Second

func (h *cpHistory) now() int64 { return int64(time.Since(h.start)) }

// begin names a key of the present window, and keeps its window from being checked before end.
func (h *cpHistory) begin(r *rand.Rand) (key string, call int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key = fmt.Sprintf("soak %06d.%d", time.Since(h.start)/window, r.IntN(4))
	h.flying[key]++
	return key, h.now()
}

// forever is when an operation returns of which nobody knows whether it took effect.
const forever = int64(1) << 62

func (h *cpHistory) end(key string, o *porcupine.Operation, how string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.flying[key]--
	h.count[how]++
	if o != nil {
		h.keys[key] = append(h.keys[key], *o)
	}
}

// cpClient does one operation. Every write that was not acknowledged may take effect at any later time: db_g1 is killed too.
func (s *soak) cpClient(r *rand.Rand, id int) {
	h, i := s.cp, s.of(service.ModeCP, r)
	key, call := h.begin(r)
	if r.IntN(2) == 0 {
		in := cpOperation{write: true, value: fmt.Sprintf("%d.%d", id, call)}
		_, err := s.asked(i, func(ctx context.Context) error {
			_, err := i.client.Write(ctx, key, []byte(in.value))
			return err
		})
		o := &porcupine.Operation{ClientId: id, Input: in, Output: in, Call: call, Return: h.now()}
		how := "written"
		if err != nil {
			o.Return, how = forever, "unknown"
		}
		h.end(key, o, how)
		return
	}
	o, err := s.cpRead(i, key, []string{"", service.G1, service.G2}[r.IntN(3)], id, call)
	if err != nil {
		h.end(key, nil, "not read")
		return
	}
	h.end(key, &o, "read")
}

func (s *soak) cpRead(i *instance, key, at string, id int, call int64) (porcupine.Operation, error) {
	var got string
	_, err := s.asked(i, func(ctx context.Context) error {
		value, err := i.client.Read(ctx, key, service.ReadOptions{Node: at})
		if service.CodeOf(err) == service.CodeNotFound {
			return nil
		}
		got = value.Value.Value
		return err
	})
	return porcupine.Operation{ClientId: id, Input: cpOperation{}, Output: cpOperation{value: got}, Call: call, Return: s.cp.now()}, err
}

// take gives the histories of keys whose window is over and that nobody is waiting for.
func (h *cpHistory) take() map[string][]porcupine.Operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	present := fmt.Sprintf("soak %06d.", time.Since(h.start)/window)
	taken := map[string][]porcupine.Operation{}
	for key, operations := range h.keys {
		if key < present && h.flying[key] == 0 {
			taken[key] = operations
			delete(h.keys, key)
			delete(h.flying, key)
		}
	}
	return taken
}

// check reads what is over once more at both nodes, and looks for an order that one register per key could have had.
func (s *soak) check() {
	for key, operations := range s.cp.take() {
		var final settledKey
		for _, at := range []string{service.G1, service.G2} {
			o := s.cpReadSurely(key, at)
			operations = append(operations, o)
			final.value = o.Output.(cpOperation).value
		}
		final.maybe = unacknowledged(operations)
		s.cp.settled[key] = final
		result, info := porcupine.CheckOperationsVerbose(register, bounded(operations), time.Minute)
		if result == porcupine.Ok {
			continue
		}
		file, err := drawHistory(info)
		s.t.Errorf("CP: the history of %q, %d operations, is not linearizable (%s), %s; see %s %v", key, len(operations), result, *s.present.Load(), file, err)
	}
}

// cpReadSurely reads at one node, which may still take a moment to be believed.
func (s *soak) cpReadSurely(key, at string) porcupine.Operation {
	s.t.Helper()
	for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		o, err := s.cpRead(s.instances[0], key, at, 9, s.cp.now())
		if err == nil {
			return o
		}
		if time.Now().After(limit) {
			s.t.Fatalf("CP: reading %q at %s, %s: %v", key, at, *s.present.Load(), err)
		}
	}
}

func unacknowledged(operations []porcupine.Operation) map[string]bool {
	values := map[string]bool{}
	for _, o := range operations {
		if o.Return == forever {
			values[o.Input.(cpOperation).value] = true
		}
	}
	return values
}

// bounded ends what is open for ever: a write without an outcome that nobody read may as well have happened after
// everything else, and one that was read happened before the first read of it returned.
func bounded(operations []porcupine.Operation) (kept []porcupine.Operation) {
	firstRead := map[string]int64{}
	for _, o := range operations {
		if out := o.Output.(cpOperation); !out.write {
			if before, ok := firstRead[out.value]; !ok || o.Return < before {
				firstRead[out.value] = o.Return
			}
		}
	}
	for _, o := range operations {
		if o.Return == forever {
			end, ok := firstRead[o.Input.(cpOperation).value]
			if !ok {
				continue
			}
			o.Return = max(end, o.Call)
		}
		kept = append(kept, o)
	}
	return kept
}

// checkCPAgain: what was read at a calm is still so after all that came later, but for writes that had no outcome.
func (s *soak) checkCPAgain() {
	for key, was := range s.cp.settled {
		for _, at := range []string{service.G1, service.G2} {
			now := s.cpReadSurely(key, at).Output.(cpOperation).value
			if now != was.value && !was.maybe[now] {
				s.t.Errorf("CP: %q at %s was %q and is %q", key, at, was.value, now)
			}
		}
	}
}
