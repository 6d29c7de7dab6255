package ap

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"captop/service/layout"
	"captop/service/node"
)

const (
	// pollEvery is how often a node is asked for its marks: as much as the answers of an undisturbed pair seem behind.
	pollEvery = 50 * time.Millisecond
	// bucketSlow is how much more rarely a store of one bucket does whatever it does by itself: there are 64 of them.
	bucketSlow = 4
	// idleEvery is the same where nothing was written for idleAfter, and the bound on staleness leaves room for it: 64
	// sets are many to ask for nothing, 20 times a second.
	idleEvery = 250 * time.Millisecond
	idleAfter = 2 * time.Second
	// probeEvery is how often a poll passes a breaker that is not CLOSED.
	probeEvery = 200 * time.Millisecond
	// answeredLately is how long an answer that does not count speaks for a group.
	answeredLately = 3 * probeEvery
	// handWait is how old a mark must be to be taken from the node: until then, who wrote it hands it over.
	handWait = 100 * time.Millisecond
	// countEvery is the number of polls between two counts of the queue.
	countEvery = 5
)

// view is what a node said of itself, and when.
type view struct {
	inc     *node.Incarnation
	sent    time.Time // before it was asked: what happened earlier is in the view
	got     time.Time
	clock   int64  // the node's clock, microseconds
	settled bool   // it was reconciled under this run id
	asof    int64  // by its clock, microseconds: up to here it has all that its peer acknowledged
	oldest  int64  // by its clock, microseconds: the oldest write that its peer lacks; 0 if there is none
	late    uint64 // bit b: the oldest mark of bucket b is older than handing over takes
	batches bool   // so is that of a batch
	depth   int64  // keys that its peer lacks a write of; a batch counts for one until it is late
	done    int64
	total   int64
	rejoins bool // some instance reconciles it, and goes on with that
}

// readMeta takes over the fields settled and asof, and what tells of a reconciliation if that is there.
func (v *view) readMeta(t []string) {
	v.settled = t[0] == v.inc.RunID
	v.asof = number(t[1])
	if len(t) > 2 {
		v.done, v.total = number(t[2]), number(t[3])
		since := v.clock - number(t[5])
		v.rejoins = t[4] != "" && max(since, -since) < rejoinAbandoned.Microseconds()
	}
}

// watch keeps the last view of one node.
type watch struct {
	unsettled chan struct{} // the node is not reconciled

	mu       sync.Mutex
	last     *view
	since    time.Time // of the present answer to: is it reconciled?
	waiting  string    // why its reconciliation cannot go on
	polls    int
	probed   time.Time
	heard    time.Time // of the last answer of a group's primary that no majority was behind
	clockErr error
}

func newWatch(now time.Time) *watch { return &watch{since: now, unsettled: make(chan struct{}, 1)} }

func (w *watch) view() *view {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// skew tells if the instance's clock and the node's were too far apart at the last poll.
func (w *watch) skew() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clockErr
}

func (w *watch) wait(reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = reason
}

// take replaces the view, and gives the error about clocks if it is new.
func (w *watch) take(v *view, clockErr error) (news error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last != nil && w.last.settled != v.settled || w.last == nil && !v.settled {
		w.since = v.sent
	}
	if clockErr != nil && w.clockErr == nil {
		news = clockErr
	}
	w.last, w.clockErr = v, clockErr
	w.polls++
	return news
}

// hear notes an answer that does not count.
func (w *watch) hear(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = now
}

// heardLately reports whether such an answer came a short while ago: reads may do with one. A poll that gets it takes
// about as long as patience.
func (w *watch) heardLately(now time.Time, patience time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return now.Sub(w.heard) < patience+answeredLately
}

// counting reports whether the next poll counts the queue.
func (w *watch) counting() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.polls%countEvery == 0
}

// probing reports whether it is time for a poll to pass the breaker.
func (w *watch) probing(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Sub(w.probed) < probeEvery {
		return false
	}
	w.probed = now
	return true
}

// quiet reports whether a poll may wait: both nodes are well, nobody has written lately, and the last answer is young.
func (s *Store) quiet(which side) bool {
	now, interval := s.config.Now(), min(s.slow*idleEvery, s.config.MaxStaleness/4)
	own := s.watch[which].view()
	if own == nil || now.Sub(own.sent) >= interval-s.slow*pollEvery/2 {
		return false
	}
	for _, side := range []side{g1, g2} {
		if s.rank(side) != rankGood || now.Sub(s.flows[side].lastDirty()) < idleAfter {
			return false
		}
	}
	return true
}

func (s *Store) pollUnlessQuiet(ctx context.Context, which side) {
	if !s.quiet(which) {
		s.poll(ctx, which)
	}
	if own := s.watch[which].view(); own != nil && !own.settled {
		select {
		case s.watch[which].unsettled <- struct{}{}:
		default: // what reconciles it has not begun with the one before
		}
	}
}

// poll asks a node for its marks, its clock and what it says about itself, in one round trip.
func (s *Store) poll(ctx context.Context, which side) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	if s.watch[which].probing(s.config.Now()) {
		ctx = node.Insist(ctx)
	}
	inc, err := s.nodes[which].Current(ctx)
	if err != nil {
		return // the node keeps the books on that
	}
	v := &view{inc: inc, sent: s.config.Now()}
	before := s.watch[which].view()
	counting := s.watch[which].counting()
	said, err := s.config.Polls.lanes[which].Do(ctx, inc, s.question(counting))
	if errors.Is(err, node.ErrUnconfirmed) {
		s.watch[which].hear(s.config.Now())
	}
	if err != nil {
		return
	}
	v.got = s.config.Now()
	v.readPoll(said, s.config.Buckets)
	if !counting && v.oldest != 0 && before != nil {
		v.depth = before.depth
	}
	if news := s.watch[which].take(v, s.clockError(which, v)); news != nil {
		s.config.Logger.Error("CLOCK_SKEW", "node", s.nodes[which].Name(), "error", news.Error())
	}
	s.flows[which].found(v.late)
	if v.batches {
		s.flows[which].foundBatches(v.clock)
	}
	if v.oldest != 0 {
		s.flows[which].marked.Store(v.got.UnixMicro())
	}
}

// question is what a poll asks.
func (s *Store) question(counting bool) scriptCall {
	keys := []string{s.meta, s.batches}
	for _, b := range s.config.Buckets {
		keys = append(keys, layout.APDirty(b))
	}
	count := "0"
	if counting {
		count = "1"
	}
	return scriptCall{pollScript, keys, append([]any{count}, metaFields...)}
}

// metaFields are those that readMeta reads.
var metaFields = []any{"settled", "asof", "done", "total", "rejoin", "beat"}

// readPoll takes over the answer to a question about these buckets.
func (v *view) readPoll(said []string, buckets []int) {
	v.clock, v.depth = number(said[0])*1e6+number(said[1]), number(said[2])
	v.batches = v.readOldest(said[3])
	for i, b := range buckets {
		if v.readOldest(said[4+i]) {
			v.late |= 1 << b
		}
	}
	v.readMeta(said[4+len(buckets):])
}

// readOldest takes the oldest mark of a set into account, and reports whether it is older than handing over takes.
func (v *view) readOldest(score string) (late bool) {
	if score == "" {
		return false
	}
	number, _ := strconv.ParseFloat(score, 64) // in Redis' own words
	at := int64(number)
	if v.oldest == 0 || at < v.oldest {
		v.oldest = at
	}
	return v.clock-at > handWait.Microseconds()
}

// clockError compares the clocks. The node read its own between sent and got.
func (s *Store) clockError(which side, v *view) error {
	ahead := time.Duration(v.sent.UnixMicro()-v.clock) * time.Microsecond
	behind := time.Duration(v.clock-v.got.UnixMicro()) * time.Microsecond
	switch name := s.nodes[which].Name(); {
	case ahead > s.config.MaxClockSkew:
		return s.skewed(ahead, "ahead of "+name)
	case behind > s.config.MaxClockSkew:
		return s.skewed(behind, "behind "+name)
	}
	return nil
}

// skewed says how far the instance's clock is from where, such as "ahead of db_g1".
func (s *Store) skewed(by time.Duration, where string) *skewError {
	return &skewError{fmt.Sprintf("this instance's clock is %s %s; %s are allowed", by.Round(time.Millisecond), where, s.config.MaxClockSkew)}
}

// texts gives the strings of an HMGET, "" for a field that is not there.
func texts(fields []any) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i], _ = f.(string)
	}
	return out
}

// number reads a number that a script wrote; 0 for a field that is not there.
func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}
