package restore

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"captop/service"
	"captop/service/ap"
	"captop/service/cp"
	"captop/service/linearizable"
	"captop/service/node"
)

// pair is both services over a local stack, in this process.
type pair struct {
	t       *testing.T
	cp, ap  service.Store
	history *linearizable.History // of CP

	mu      sync.Mutex
	refused int
	written map[string]int // AP: the newest acknowledged number of a key
}

const requestTime = time.Second

func newPair(t *testing.T, l local) *pair {
	t.Helper()
	open := func(name string) *node.Node {
		config := node.DefaultConfig(name, l.url(name))
		config.Timeout, config.Logger = requestTime, slog.New(slog.DiscardHandler)
		n, err := node.Open(config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		return n
	}
	p := &pair{t: t, history: linearizable.NewHistory(), written: map[string]int{}}
	logger := slog.New(slog.DiscardHandler)
	var err error
	if p.cp, err = cp.Open(cp.Config{G1: open(service.G1), G2: open(service.G2), Timeout: requestTime, Instance: "cp", Now: time.Now, Logger: logger}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cp.Close() })
	if p.ap, err = ap.Open(ap.Config{G1: open(service.G1), G2: open(service.G2), Timeout: requestTime, MaxStaleness: 5 * time.Second,
		MaxClockSkew: 5 * time.Second, Instance: "ap", Now: time.Now, Logger: logger}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.ap.Close() })
	p.settled()
	return p
}

// settled waits until both services have settled both nodes.
func (p *pair) settled() {
	p.t.Helper()
	eventually(p.t, "settling", func() error {
		for _, s := range []service.Store{p.cp, p.ap} {
			for _, n := range s.Nodes() {
				if !n.Reachable || n.Rejoin.Active || n.Breaker.State != service.BreakerClosed {
					return fmt.Errorf("%+v", n)
				}
			}
		}
		return nil
	})
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

func (p *pair) writeCP(client int, key, value string) error {
	ctx, cancel := context.WithTimeout(context.Background(), requestTime)
	defer cancel()
	call := p.history.Now()
	_, err := p.cp.Write(ctx, key, []byte(value))
	if err == nil {
		p.history.Wrote(client, key, value, call, p.history.Now())
		return nil
	}
	p.mu.Lock()
	p.refused++
	p.mu.Unlock()
	p.history.Wrote(client, key, value, call, linearizable.Forever) // db_g1 may fall, and then even a refused write may appear
	return err
}

func (p *pair) readCP(client int, key, at string) error {
	ctx, cancel := context.WithTimeout(context.Background(), requestTime)
	defer cancel()
	call := p.history.Now()
	got, err := p.cp.Read(ctx, key, service.ReadOptions{Node: at})
	if err == nil || service.CodeOf(err) == service.CodeNotFound {
		p.history.Read(client, key, got.Value, call)
		return nil
	}
	return err
}

func (p *pair) writeAP(key string, number int) error {
	ctx, cancel := context.WithTimeout(context.Background(), requestTime)
	defer cancel()
	_, err := p.ap.Write(ctx, key, []byte(strconv.Itoa(number)))
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.written[key] = number
	}
	return err
}

// load writes and reads through both services until ctx ends.
func (p *pair) load(ctx context.Context) *sync.WaitGroup {
	var group sync.WaitGroup
	for id := range 4 {
		group.Go(func() {
			r := rand.New(rand.NewPCG(uint64(id), 7))
			for i := 0; ctx.Err() == nil; i++ {
				key := fmt.Sprintf("k%d-%d", time.Duration(p.history.Now())/time.Second, r.IntN(3))
				if r.IntN(2) == 0 {
					_ = p.writeCP(id, key, fmt.Sprintf("%d.%d", id, i))
				} else {
					_ = p.readCP(id, key, []string{"", service.G1, service.G2}[r.IntN(3)])
				}
				time.Sleep(time.Duration(r.IntN(8)) * time.Millisecond)
			}
		})
		group.Go(func() {
			for i := 1; ctx.Err() == nil; i++ {
				_ = p.writeAP(fmt.Sprintf("once%d-%d", id, i), i) // no later write covers a lost one up
			}
		})
	}
	return &group
}

// check reads every key at both nodes: they agree, CP's history has an order, and AP has lost no acknowledged write.
func (p *pair) check() {
	p.t.Helper()
	p.settled()
	for key := range p.history.Keys() {
		for _, at := range nodes {
			eventually(p.t, "reading "+key, func() error { return p.readCP(0, key, at) })
		}
	}
	p.t.Logf("%d operations of CP, %d writes refused, %d keys of AP", p.history.Len(), p.refused, len(p.written))
	if err := p.history.Check(time.Minute); err != nil {
		p.t.Errorf("CP: %v", err)
	}
	for key, number := range p.written {
		for _, at := range nodes {
			eventually(p.t, "reading "+key+" at "+at, func() error {
				ctx, cancel := context.WithTimeout(context.Background(), requestTime)
				defer cancel()
				got, err := p.ap.Read(ctx, key, service.ReadOptions{Node: at})
				if err != nil {
					return err
				}
				if n, _ := strconv.Atoi(got.Value); n < number {
					return fmt.Errorf("it has %d, and %d was acknowledged", n, number)
				}
				return nil
			})
		}
	}
}

// seed writes keys through both services: "cpN" and "apN" with a value.
func (p *pair) seed(n int, value string) {
	p.t.Helper()
	for i := range n {
		eventually(p.t, "writing", func() error { return p.writeCP(99, fmt.Sprint("cp", i), fmt.Sprint(value, i)) })
		ctx, cancel := context.WithTimeout(context.Background(), requestTime)
		if _, err := p.ap.Write(ctx, fmt.Sprint("ap", i), []byte(value)); err != nil {
			p.t.Fatal(err)
		}
		cancel()
	}
	for i := range n { // also where it was not written
		for _, at := range nodes {
			eventually(p.t, "carrying over", func() error {
				ctx, cancel := context.WithTimeout(context.Background(), requestTime)
				defer cancel()
				got, err := p.ap.Read(ctx, fmt.Sprint("ap", i), service.ReadOptions{Node: at})
				if err == nil && got.Value != value {
					err = fmt.Errorf("%s has %q", at, got.Value)
				}
				return err
			})
		}
	}
}

// holds says whether both nodes answer the seed's values.
func (p *pair) holds(n int, value string) {
	p.t.Helper()
	for i := range n {
		for _, at := range nodes {
			for _, one := range []struct {
				store service.Store
				key   string
			}{{p.cp, fmt.Sprint("cp", i)}, {p.ap, fmt.Sprint("ap", i)}} {
				eventually(p.t, "reading "+one.key+" at "+at, func() error {
					ctx, cancel := context.WithTimeout(context.Background(), requestTime)
					defer cancel()
					got, err := one.store.Read(ctx, one.key, service.ReadOptions{Node: at})
					if err == nil && !strings.HasPrefix(got.Value, value) {
						p.t.Fatalf("%s at %s is %q, wanted %s", one.key, at, got.Value, value)
					}
					return err
				})
			}
		}
	}
}
