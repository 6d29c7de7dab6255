package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/layout"
)

const apKeys = 60

// apHistory is what is known of AP's keys, each written by one client.
type apHistory struct {
	keys          [apKeys]apKey
	writes, reads atomic.Int64
	mu            sync.Mutex
	worst         time.Duration
	worstBound    time.Duration
}

// apKey: its values count up. Of those that were acknowledged, the newest are kept with the time of their answer.
type apKey struct {
	mu           sync.Mutex
	next         int
	acknowledged []acknowledgement // in order
}

type acknowledgement struct {
	n  int
	at time.Time
}

// kept is how many acknowledgements of a key are remembered: no node is behind by as many.
const kept = 4096

func newAPHistory() *apHistory { return &apHistory{} }

func (k *apKey) acknowledge(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.acknowledged = append(k.acknowledged, acknowledgement{n, time.Now()})
	if len(k.acknowledged) > 2*kept {
		k.acknowledged = append([]acknowledgement(nil), k.acknowledged[kept:]...)
	}
}

// behind gives how long before a time the oldest acknowledged write newer than value n was answered.
func (k *apKey) behind(n int, at time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range k.acknowledged {
		if a.n > n {
			return at.Sub(a.at)
		}
	}
	return 0
}

func apName(k int) string { return fmt.Sprintf("soak ap %d", k) }

// apClient does one operation. AP answers as long as one node is up, and one always is.
func (s *soak) apClient(r *rand.Rand, id int) {
	h, i := s.ap, s.of(service.ModeAP, r)
	if r.IntN(2) == 0 {
		k := 3*r.IntN(apKeys/3) + id
		key := &h.keys[k]
		n := key.next // this client's alone
		key.next++
		excused, err := s.asked(i, func(ctx context.Context) error {
			_, err := i.client.Write(ctx, apName(k), []byte(strconv.Itoa(n)))
			return err
		})
		switch {
		case err == nil:
			h.writes.Add(1)
			key.acknowledge(n)
		case !excused:
			s.t.Errorf("AP: a write was refused, %s: %v", *s.present.Load(), err)
		}
		return
	}
	s.apRead(r, i, r.IntN(apKeys))
}

func (s *soak) apRead(r *rand.Rand, i *instance, k int) {
	h := s.ap
	at := []string{"", service.G1, service.G2}[r.IntN(3)]
	begun := time.Now()
	var value service.Value
	excused, err := s.asked(i, func(ctx context.Context) error {
		body, err := i.client.Read(ctx, apName(k), service.ReadOptions{Node: at})
		value = body.Value
		return err
	})
	switch code := service.CodeOf(err); {
	case excused, code == service.CodeNotFound, at != "" && (code == service.CodeNodeUnavailable || code == service.CodeRejoining):
		return
	case err != nil:
		s.t.Errorf("AP: a read at %q was refused, %s: %v", at, *s.present.Load(), err)
		return
	}
	h.reads.Add(1)
	n, err := strconv.Atoi(value.Value)
	if err != nil {
		s.t.Errorf("AP: read %q", value.Value)
	}
	behind, bound := h.keys[k].behind(n, begun), time.Duration(value.StalenessMS)*time.Millisecond
	if behind > bound {
		s.t.Errorf("AP: a read at %s was %s behind and said %s, %s", value.Node, behind, bound, *s.present.Load())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if behind > h.worst {
		h.worst, h.worstBound = behind, bound
	}
}

// checkAP: both nodes hold the newest acknowledged write of every key, or one that came after it.
func (s *soak) checkAP() {
	for k := range s.ap.keys {
		if len(s.ap.keys[k].acknowledged) == 0 {
			continue
		}
		var versions []service.Version
		for _, at := range []string{service.G1, service.G2} {
			value, err := s.instances[2].client.Read(context.Background(), apName(k), service.ReadOptions{Node: at})
			if err != nil {
				s.t.Errorf("AP: %s at %s: %v", apName(k), at, err)
				continue
			}
			n, _ := strconv.Atoi(value.Value.Value)
			if behind := s.ap.keys[k].behind(n, time.Now()); behind > 0 {
				s.t.Errorf("AP: %s at %s is %d: a write acknowledged %s ago is lost", apName(k), at, n, behind)
			}
			versions = append(versions, value.Version)
		}
		if len(versions) == 2 && versions[0] != versions[1] {
			s.t.Errorf("AP: %s is %s at db_g1 and %s at db_g2", apName(k), versions[0], versions[1])
		}
	}
}

// compareNodes: past the services, both nodes hold the same keys with the same values.
func (s *soak) compareNodes() {
	var held [2]map[string]string
	for which, node := range s.nodes {
		held[which] = s.holds(node.Addr())
	}
	for which := range held {
		for name, value := range held[which] {
			if other := held[1-which][name]; other != value {
				s.t.Errorf("%s is %q at db_g%d and %q at db_g%d", name, value, which+1, other, 2-which)
			}
		}
	}
	if len(held[0]) < apKeys {
		s.t.Errorf("the nodes hold %d keys only", len(held[0]))
	}
	s.t.Logf("both nodes hold %d keys", len(held[0]))
}

// holds gives the versions and values of all keys of a node.
func (s *soak) holds(addr string) map[string]string {
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	held := map[string]string{}
	scan := client.Scan(ctx, 0, "*", 1000).Iterator()
	for scan.Next(ctx) {
		name := scan.Val()
		fields := []string{layout.CPVersion, layout.CPValue}
		if _, ok := layout.APUserKey(name); ok {
			fields = []string{layout.APStamp, layout.APOrigin, layout.APValue}
		} else if _, ok := layout.CPUserKey(name); !ok {
			continue
		}
		values, err := client.HMGet(ctx, name, fields...).Result()
		s.must(err)
		if values[0] == nil {
			continue // a promise that came to nothing
		}
		held[name] = strings.TrimSpace(fmt.Sprintln(values...))
	}
	s.must(scan.Err())
	return held
}
