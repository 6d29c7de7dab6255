package cp

import (
	"context"
	"crypto/rand"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service/layout"
	"captop/service/node"
)

const (
	// markAlone is the number of promises in a round trip up to which each has a mark of its own: to have the mark of a batch
	// taken away is a round trip more, if one that others share.
	markAlone = 3
	// clearEvery is how long the marks of batches that have ended are gathered.
	clearEvery = 10 * time.Millisecond
	// unfoldAfter is the age of a batch from which its keys are marked one by one: what is still in flight by then may be
	// somebody's to resolve, and is counted by the key.
	unfoldAfter = 100 * time.Millisecond
	// unfoldAtOnce is how many batches are read at once to be unfolded.
	unfoldAtOnce = 32
)

// marks are those that this instance makes at the head where a round trip has many promises: one for all of them, since one for
// each costs the head an eighth of all that a write does there. It goes when all of them have ended. A mark that stays (of an
// instance that was killed, of a write that nobody could end) is unfolded: each of its dirty keys gets a mark of its own, whose
// age says when it is to be resolved.
type marks struct {
	set    string // where they are
	origin string // begins the names of this instance's batches
	drawn  atomic.Uint64
	wake   chan struct{} // some have ended

	mu    sync.Mutex
	ended []any
}

// mark is that of one batch; its text is empty where each promise has its own.
type mark struct {
	text string
	open atomic.Int32 // promises that have not ended
}

func newMarks(set string) *marks {
	return &marks{set: set, origin: rand.Text()[:12], wake: make(chan struct{}, 1)}
}

// draw gives the mark of a batch that may promise versions of keys.
func (m *marks) draw(keys []string) *mark {
	if len(keys) <= markAlone {
		return &mark{}
	}
	return &mark{text: layout.Batch(m.origin+"."+strconv.FormatUint(m.drawn.Add(1), 36), keys)}
}

// account notes what a round trip has promised under its mark, and which promises it has ended.
func (m *marks) account(made *mark, asked []asking, answers []node.Answer[reply]) {
	for i := range asked {
		a, answer := &asked[i], &answers[i]
		if answer.Err != nil {
			continue
		}
		switch said := answer.Value.words[0]; {
		case a.script == "prepare" && said == "OK" && made.text != "":
			made.open.Add(1)
			answer.Value.mark = made
		case a.script == "end" && a.mark != nil && (said == "OK" || said == "GONE"):
			if a.mark.open.Add(-1) == 0 {
				m.end(a.mark)
			}
		}
	}
}

// end has a mark taken away.
func (m *marks) end(which *mark) {
	m.mu.Lock()
	m.ended = append(m.ended, which.text)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *marks) takeEnded() []any {
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := m.ended
	m.ended = nil
	return taken
}

// clearMarks takes the marks of batches that have ended away, until ctx ends.
func (s *Store) clearMarks(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-s.marks.wake:
		}
		select {
		case <-ctx.Done():
		case <-time.After(clearEvery):
		}
		s.clearEnded()
	}
}

// clearEnded takes away what it can; the rest is unfolded and found to be clean.
func (s *Store) clearEnded() {
	texts := s.marks.takeEnded()
	if len(texts) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.config.Timeout)
	defer cancel()
	inc, err := s.nodes[head].Current(ctx)
	if err == nil {
		_ = inc.Do(ctx, func(client *redis.Client) error { return client.ZRem(ctx, s.marks.set, texts...).Err() })
	}
}

// unfold marks the dirty keys of late batches one by one. What fails is left to the next look.
func (s *Store) unfold(ctx context.Context, inc *node.Incarnation, clock time.Time) error {
	before := strconv.FormatInt(clock.Add(-unfoldAfter).UnixMilli(), 10)
	for n := unfoldAtOnce; n == unfoldAtOnce; {
		var late []string
		err := inc.Do(ctx, func(client *redis.Client) (err error) {
			late, err = client.ZRangeArgs(ctx, redis.ZRangeArgs{Key: s.marks.set, ByScore: true, Start: "-inf", Stop: before,
				Count: unfoldAtOnce}).Result()
			return err
		})
		if err != nil {
			return err
		}
		for _, text := range late {
			keys := []string{s.marks.set}
			for _, key := range layout.BatchKeys(text) {
				keys = append(keys, layout.CPKey(key), layout.CPDirty(layout.Bucket(key)))
			}
			if _, err := inc.Run(ctx, scripts["unfold"], keys, text); err != nil {
				return err
			}
		}
		n = len(late)
	}
	return nil
}
