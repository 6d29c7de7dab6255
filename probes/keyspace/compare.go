package keyspace

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/layout"
)

// Bounds of a comparison.
const (
	findingsKept  = 1000
	comparedBytes = 16 << 10 // values up to this size are compared byte by byte where the versions are the same
	recheckAfter  = 400 * time.Millisecond
	recheckRounds = 5 // for a key that changes under the eyes
	newsEvery     = 200 * time.Millisecond
)

// Phase is how far a comparison is.
type Phase int

// The phases.
const (
	Running Phase = iota
	Ended
	Cancelled
	Failed // a node could not be read to the end; what was found until then stands
)

// String gives one word.
func (p Phase) String() string {
	return [...]string{"running", "ended", "cancelled", "failed"}[p]
}

// Finding is a key whose copies differ.
type Finding struct {
	Mode   service.Mode
	Key    string
	State  State // InFlight, Unsettled or Divergent
	Why    string
	Copies [2]Copy
	At     time.Time
}

// Comparison is what a comparison of the nodes has found so far.
type Comparison struct {
	Phase   Phase
	Problem string // why it Failed
	Started time.Time
	At      time.Time // of this news

	Done, Total int64    // names visited, over both nodes; Total is as the nodes counted at the start
	Compared    [2]int64 // keys by mode, as Modes
	Foreign     int64    // names that are none of the services' keys
	BigValues   int64    // values that were compared by version and length only
	Rechecking  int      // keys that differed at first sight and are looked at again
	Busy        float64  // share of the time in which the nodes were asked, 0 to 1

	Divergent, Unsettled, InFlight int64     // keys, also those that Findings has no room for
	Findings                       []Finding // the worst first, at most 1000
}

// PerSecond is names visited a second.
func (c Comparison) PerSecond() float64 {
	if seconds := c.At.Sub(c.Started).Seconds(); seconds > 0 {
		return float64(c.Done) / seconds
	}
	return 0
}

// Left is the time that the rest will take at the same speed; false while that cannot be told.
func (c Comparison) Left() (time.Duration, bool) {
	rate := c.PerSecond()
	if rate == 0 || c.Done > c.Total {
		return 0, false
	}
	return time.Duration(float64(c.Total-c.Done) / rate * float64(time.Second)), true
}

// comparer is one comparison under way.
type comparer struct {
	space    *Space
	news     func(Comparison)
	state    Comparison
	lastNews time.Time
	asking   time.Duration
	suspects []suspect
	found    map[ref]bool
}

// suspect is a key that differed when it was looked at last.
type suspect struct {
	ref    ref
	seen   [2]Copy
	at     time.Time
	rounds int
}

// Compare looks at every key of both nodes and lists those that differ. A key that differs at first sight is looked at
// again until it is the same, or stays different without change; what changes all the time counts as in flight. news is
// told how far it is, a few times a second. Cancelling ctx ends it; what was found stands.
func (s *Space) Compare(ctx context.Context, news func(Comparison)) Comparison {
	c := &comparer{space: s, news: news, found: map[ref]bool{}}
	c.state.Started = s.now()
	err := c.run(ctx)
	switch {
	case ctx.Err() != nil:
		c.state.Phase = Cancelled
	case err != nil:
		c.state.Phase, c.state.Problem = Failed, err.Error()
	default:
		c.state.Phase = Ended
	}
	return c.snapshot()
}

func (c *comparer) run(ctx context.Context) error {
	for i, client := range c.space.nodes {
		size, err := bounded(ctx, func(ctx context.Context) (int64, error) { return client.DBSize(ctx).Result() })
		if err != nil {
			return fmt.Errorf("counting the keys of %s: %s", c.space.names[i], why(err))
		}
		c.state.Total += size
	}
	for node := range c.space.nodes {
		if err := c.walk(ctx, node); err != nil {
			return err
		}
	}
	for len(c.suspects) > 0 {
		if err := c.recheck(ctx); err != nil {
			return err
		}
		c.tell()
		if err := pause(ctx, recheckAfter/4); err != nil {
			return err
		}
	}
	return nil
}

// bounded gives one contact its time.
func bounded[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, contactTimeout)
	defer cancel()
	return f(ctx)
}

// walk visits all names of one node. Keys that db_g1 has are compared on its own walk; db_g2's only adds those that
// db_g1 lacks.
func (c *comparer) walk(ctx context.Context, node int) error {
	for cursor := uint64(0); ; {
		began := c.space.now()
		names, next, err := c.page(ctx, node, cursor)
		if err != nil {
			return fmt.Errorf("reading the names at %s: %s", c.space.names[node], why(err))
		}
		var refs []ref
		for _, name := range names {
			if mode, key, ok := keyOf(name); ok {
				refs = append(refs, ref{mode, key})
			} else if node == g1 {
				c.state.Foreign++
			}
		}
		bytes, err := c.compare(ctx, node, refs)
		if err != nil {
			return err
		}
		c.state.Done += int64(len(names))
		if err := c.recheck(ctx); err != nil {
			return err
		}
		took := c.space.now().Sub(began)
		c.asking += took
		c.tell()
		if cursor = next; cursor == 0 {
			return nil
		}
		if err := c.space.pace.wait(ctx, len(names), bytes, took); err != nil {
			return err
		}
	}
}

func (c *comparer) page(ctx context.Context, node int, cursor uint64) (names []string, next uint64, err error) {
	names, err = bounded(ctx, func(ctx context.Context) (page []string, err error) {
		page, next, err = c.space.nodes[node].Scan(ctx, cursor, "", pageKeys).Result()
		return page, err
	})
	return names, next, err
}

// compare takes a first look at keys that node has, and gives how many bytes of values were read for it.
func (c *comparer) compare(ctx context.Context, node int, refs []ref) (bytes int64, err error) {
	if len(refs) == 0 {
		return 0, nil
	}
	var looks [2][]glance
	if node == g2 { // only what db_g1 lacks is news
		if looks[g1], err = c.space.glance(ctx, g1, refs); err != nil {
			return 0, err
		}
		refs, looks[g1] = lacking(refs, looks[g1])
		if len(refs) == 0 {
			return 0, nil
		}
		looks[g2], err = c.space.glance(ctx, g2, refs)
	} else {
		looks, err = c.glances(ctx, refs)
	}
	if err != nil {
		return 0, err
	}
	var alike []ref
	for i, r := range refs {
		c.state.Compared[modeIndex(r.mode)]++
		a, b := looks[g1][i], looks[g2][i]
		switch {
		case a != b || a.promised || b.promised:
			c.suspect(r, a, b)
		case a.length > comparedBytes:
			c.state.BigValues++
		case a.length > 0:
			alike, bytes = append(alike, r), bytes+2*a.length
		}
	}
	return bytes, c.compareValues(ctx, alike)
}

// glances takes a first look at both nodes at once.
func (c *comparer) glances(ctx context.Context, refs []ref) (looks [2][]glance, err error) {
	var running sync.WaitGroup
	var errs [2]error
	for node := range looks {
		running.Go(func() { looks[node], errs[node] = c.space.glance(ctx, node, refs) })
	}
	running.Wait()
	return looks, errors.Join(errs[:]...)
}

func lacking(refs []ref, looks []glance) (left []ref, leftLooks []glance) {
	for i, look := range looks {
		if look.version == "" {
			left, leftLooks = append(left, refs[i]), append(leftLooks, look)
		}
	}
	return left, leftLooks
}

func modeIndex(mode service.Mode) int { return slices.Index(Modes[:], mode) }

func (c *comparer) suspect(r ref, a, b glance) {
	if c.found[r] {
		return // SCAN may give a name twice
	}
	c.found[r] = true
	c.suspects = append(c.suspects, suspect{ref: r, seen: [2]Copy{a.copy(), b.copy()}, at: c.space.now()})
}

// compareValues compares small values of keys whose versions are the same.
func (c *comparer) compareValues(ctx context.Context, refs []ref) error {
	if len(refs) == 0 {
		return nil
	}
	var sums [2][][sha256.Size]byte
	var errs [2]error
	var running sync.WaitGroup
	for node := range sums {
		running.Go(func() { sums[node], errs[node] = c.space.sums(ctx, node, refs) })
	}
	running.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	for i, r := range refs {
		if sums[g1][i] != sums[g2][i] {
			c.suspect(r, glance{}, glance{})
		}
	}
	return nil
}

// recheck looks again at those suspects whose time has come.
func (c *comparer) recheck(ctx context.Context) error {
	due := 0
	for due < len(c.suspects) && due < pageKeys && c.space.now().Sub(c.suspects[due].at) >= recheckAfter {
		due++
	}
	if due == 0 {
		return nil
	}
	batch := c.suspects[:due]
	c.suspects = slices.Clone(c.suspects[due:])
	refs := make([]ref, due)
	for i, s := range batch {
		refs[i] = s.ref
	}
	var copies [2][]Copy
	var running sync.WaitGroup
	for node := range copies {
		running.Go(func() { copies[node] = c.space.full(ctx, node, refs) })
	}
	running.Wait()
	for i, s := range batch {
		pair := [2]Copy{copies[g1][i], copies[g2][i]}
		state, reason := judge(s.ref.mode, pair)
		switch {
		case state == CannotTell:
			return fmt.Errorf("looking again at %s key %q: %s", s.ref.mode, s.ref.key, reason)
		case state <= Same:
			delete(c.found, s.ref)
			continue
		}
		changed := timeless(pair[g1]) != s.seen[g1] || timeless(pair[g2]) != s.seen[g2]
		s.seen, s.at, s.rounds = [2]Copy{timeless(pair[g1]), timeless(pair[g2])}, c.space.now(), s.rounds+1
		switch {
		case s.rounds < recheckRounds && (changed || state == InFlight):
			c.suspects = append(c.suspects, s)
		case changed && state > InFlight:
			c.add(s, pair, InFlight, "the key changes all the time")
		default:
			c.add(s, pair, state, reason)
		}
	}
	return nil
}

func (c *comparer) add(s suspect, copies [2]Copy, state State, reason string) {
	switch state {
	case Divergent:
		c.state.Divergent++
	case Unsettled:
		c.state.Unsettled++
	case InFlight:
		c.state.InFlight++
	}
	finding := Finding{Mode: s.ref.mode, Key: s.ref.key, State: state, Why: reason, Copies: copies, At: c.space.now()}
	at, _ := slices.BinarySearchFunc(c.state.Findings, finding, worstFirst)
	c.state.Findings = slices.Insert(c.state.Findings, at, finding)
	if len(c.state.Findings) > findingsKept {
		c.state.Findings = c.state.Findings[:findingsKept]
	}
}

func worstFirst(a, b Finding) int {
	return cmp.Or(cmp.Compare(b.State, a.State), cmp.Compare(modeIndex(a.Mode), modeIndex(b.Mode)), cmp.Compare(a.Key, b.Key))
}

// tell gives the news where some time has passed since the last.
func (c *comparer) tell() {
	if now := c.space.now(); now.Sub(c.lastNews) >= newsEvery {
		c.lastNews = now
		c.news(c.snapshot())
	}
}

// snapshot is the state as it is now, not to be changed later.
func (c *comparer) snapshot() Comparison {
	state := c.state
	state.At, state.Rechecking = c.space.now(), len(c.suspects)
	state.Total = max(state.Total, state.Done)
	state.Findings = slices.Clone(c.state.Findings)
	if passed := state.At.Sub(state.Started); passed > 0 {
		state.Busy = float64(c.asking) / float64(passed)
	}
	return state
}

// glance is what a first look tells of one node's copy.
type glance struct {
	version  service.Version // "" where the node lacks the key
	length   int64
	promised bool
}

func (g glance) copy() Copy { return Copy{Version: g.version, Length: g.length} }

// glance takes a first look at one node: versions and lengths, no values.
func (s *Space) glance(ctx context.Context, node int, refs []ref) ([]glance, error) {
	ctx, cancel := context.WithTimeout(ctx, contactTimeout)
	defer cancel()
	pipe := s.nodes[node].Pipeline()
	fields, lengths := make([]*redis.SliceCmd, len(refs)), make([]*redis.IntCmd, len(refs))
	for i, r := range refs {
		name := nameOf(r.mode, r.key)
		if r.mode == service.ModeCP {
			fields[i], lengths[i] = pipe.HMGet(ctx, name, layout.CPVersion, layout.CPPromised), pipe.HStrLen(ctx, name, layout.CPValue)
		} else {
			fields[i], lengths[i] = pipe.HMGet(ctx, name, layout.APStamp, layout.APOrigin), pipe.HStrLen(ctx, name, layout.APValue)
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("reading keys at %s: %s", s.names[node], why(err))
	}
	looks := make([]glance, len(refs))
	for i, r := range refs {
		parts := texts(fields[i])
		looks[i].length = lengths[i].Val()
		switch {
		case r.mode == service.ModeCP:
			looks[i].version, looks[i].promised = service.Version(parts[0]), parts[1] != ""
		case parts[0] != "":
			looks[i].version = layout.APVersion(parts[0], parts[1])
		}
	}
	return looks, nil
}

// sums reads values at one node and keeps their digests.
func (s *Space) sums(ctx context.Context, node int, refs []ref) ([][sha256.Size]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, contactTimeout)
	defer cancel()
	pipe := s.nodes[node].Pipeline()
	values := make([]*redis.StringCmd, len(refs))
	for i, r := range refs {
		field := layout.APValue
		if r.mode == service.ModeCP {
			field = layout.CPValue
		}
		values[i] = pipe.HGet(ctx, nameOf(r.mode, r.key), field)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("reading values at %s: %s", s.names[node], why(err))
	}
	sums := make([][sha256.Size]byte, len(refs))
	for i, value := range values {
		sums[i] = sha256.Sum256([]byte(value.Val()))
	}
	return sums, nil
}
