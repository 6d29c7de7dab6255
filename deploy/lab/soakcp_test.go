package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"captop/service"
	"captop/service/linearizable"
)

// cpHistory is what happened to the keys that are in use. Keys change with time, so that no key's history grows beyond
// what a checker can order, and that of a key that is not written any more can be checked and forgotten.
type cpHistory struct {
	*linearizable.History
	mu      sync.Mutex
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
	return &cpHistory{History: linearizable.NewHistory(), flying: map[string]int{}, settled: map[string]settledKey{}, count: map[string]int{}}
}

// window is how long a key is in use.
const window = 3 * time.Second

// begin names a key of the present window, and keeps its window from being checked before end.
func (h *cpHistory) begin(number int) (key string, call int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key = fmt.Sprintf("soak %06d.%d", time.Duration(h.Now())/window, number)
	h.flying[key]++
	return key, h.Now()
}

func (h *cpHistory) end(key, how string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.flying[key]--
	h.count[how]++
}

// atOnce is how many keys a burst writes.
const atOnce = 8

// cpClient does one operation, or writes many keys at once. Every write that was not acknowledged may take effect at any later
// time: db_g1 is killed too.
func (s *soak) cpClient(r *rand.Rand, id int) {
	h, i := s.cp, s.of(service.ModeCP, r)
	switch dice := r.IntN(20); {
	case dice == 0:
		var burst sync.WaitGroup
		for n := range atOnce {
			burst.Go(func() { s.cpWrite(i, id, 10+n) })
		}
		burst.Wait()
		return
	case dice < 10:
		s.cpWrite(i, id, r.IntN(4))
		return
	}
	key, call := h.begin(r.IntN(4))
	value, err := s.cpRead(i, key, []string{"", service.G1, service.G2}[r.IntN(3)])
	if err != nil {
		h.end(key, "not read")
		return
	}
	h.Read(id, key, value, call)
	h.end(key, "read")
}

func (s *soak) cpWrite(i *instance, id, number int) {
	h := s.cp
	key, call := h.begin(number)
	value := fmt.Sprintf("%d.%d", id, call)
	_, err := s.asked(i, func(ctx context.Context) error {
		_, err := i.client.Write(ctx, key, []byte(value))
		return err
	})
	end, how := h.Now(), "written"
	if err != nil {
		end, how = linearizable.Forever, "unknown"
	}
	h.Wrote(id, key, value, call, end)
	h.end(key, how)
}

func (s *soak) cpRead(i *instance, key, at string) (got string, err error) {
	_, err = s.asked(i, func(ctx context.Context) error {
		value, err := i.client.Read(ctx, key, service.ReadOptions{Node: at})
		if service.CodeOf(err) == service.CodeNotFound {
			return nil
		}
		got = value.Value.Value
		return err
	})
	return got, err
}

// over names the keys whose window is over and that nobody is waiting for.
func (h *cpHistory) over() map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	present := fmt.Sprintf("soak %06d.", time.Duration(h.Now())/window)
	over := map[string]bool{}
	for key, flying := range h.flying {
		if key < present && flying == 0 {
			over[key] = true
			delete(h.flying, key)
		}
	}
	return over
}

// check reads what is over once more at both nodes, and looks for an order that one register per key could have had.
func (s *soak) check() {
	over := s.cp.over()
	values := map[string]string{}
	for key := range over {
		for _, at := range []string{service.G1, service.G2} {
			call := s.cp.Now()
			values[key] = s.cpReadSurely(key, at)
			s.cp.Read(9, key, values[key], call)
		}
	}
	for key, operations := range s.cp.Take(func(key string) bool { return over[key] }) {
		s.cp.settled[key] = settledKey{value: values[key], maybe: unacknowledged(operations)}
		if err := linearizable.Check(operations, time.Minute); err != nil {
			s.t.Errorf("CP: %q, %s: %v", key, *s.present.Load(), err)
		}
	}
}

// cpReadSurely reads at one node, which may still take a moment to be believed.
func (s *soak) cpReadSurely(key, at string) string {
	s.t.Helper()
	for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		value, err := s.cpRead(s.instances[0], key, at)
		if err == nil {
			return value
		}
		if time.Now().After(limit) {
			s.t.Fatalf("CP: reading %q at %s, %s: %v", key, at, *s.present.Load(), err)
		}
	}
}

func unacknowledged(operations []porcupine.Operation) map[string]bool {
	values := map[string]bool{}
	for _, o := range operations {
		if o.Return == linearizable.Forever {
			values[o.Input.(linearizable.Operation).Value] = true
		}
	}
	return values
}

// checkCPAgain: what was read at a calm is still so after all that came later, but for writes that had no outcome.
func (s *soak) checkCPAgain() {
	for key, was := range s.cp.settled {
		for _, at := range []string{service.G1, service.G2} {
			now := s.cpReadSurely(key, at)
			if now != was.value && !was.maybe[now] {
				s.t.Errorf("CP: %q at %s was %q and is %q", key, at, was.value, now)
			}
		}
	}
}
