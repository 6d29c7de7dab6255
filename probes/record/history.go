package record

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"sync"
	"time"

	"captop/probes"
)

// ErrTooEarly: nothing is recorded of that time (any more).
var ErrTooEarly = errors.New("nothing is recorded of that time")

// How a History goes about it.
const (
	windowSpan  = 5 * time.Minute // Snapshots before the wanted one that are kept: steps back among them are quick
	windowViews = 20_000          // targets in all kept Snapshots together, about 2 kB each
	leastKept   = 60              // Snapshots, however many targets there are
	mostKept    = 600             // Snapshots, however few
)

// History gives what captop saw at earlier times, from the files of a recording that may still be growing. Its methods
// are safe for concurrent use; one call runs at a time.
type History struct {
	path, run string
	rules     *Rules

	mu       sync.Mutex
	player   *Player
	warmup   time.Duration      // 0 until a recording is there
	span     time.Duration      // of the window
	position time.Time          // how far it is
	least    time.Time          // Snapshots before it are warm-up
	window   []*probes.Snapshot // that the player gave last, oldest first

	live lately
}

// NewHistory looks into a run of a directory, or into a file where run is "", with rules in the place of those recorded,
// unless they are nil. Each look back replays what came before, as far as the rules look back and wait.
func NewHistory(path, run string, rules *Rules) *History {
	return &History{path: path, run: run, rules: rules}
}

// Saw keeps a live Snapshot: steps back over the last minutes then need no replay.
func (h *History) Saw(snapshot *probes.Snapshot) { h.live.saw(snapshot) }

func (h *History) open() (*Recording, error) {
	if h.run == "" {
		return Open(h.path)
	}
	r, err := OpenRun(h.path, h.run)
	if errors.Is(err, ErrEmpty) || errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: the recording in %s is empty", ErrTooEarly, h.path)
	}
	return r, err
}

// Bounds are the times of the first and the last poll. It wraps ErrTooEarly or ErrEmpty where there is none.
func (h *History) Bounds() (from, to time.Time, err error) {
	r, err := h.open()
	if err != nil {
		return from, to, err
	}
	return r.Bounds()
}

// At gives the Snapshot of a time, or of the last poll before it; where an older one is at hand, one that is older by
// less than near will do. It ends with ctx; what was replayed until then is not lost for the next call. It wraps
// ErrTooEarly.
func (h *History) At(ctx context.Context, t time.Time, near time.Duration) (*probes.Snapshot, error) {
	if snapshot := h.live.at(t, near); snapshot != nil {
		return snapshot, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if snapshot := within(h.window, t); snapshot != nil {
		return snapshot, nil
	}
	if !h.ahead(t) {
		if err := h.rewind(t); err != nil {
			return nil, err
		}
	}
	if err := h.forward(ctx, t); err != nil {
		return nil, err
	}
	i := afterAmong(h.window, t)
	if i == 0 {
		return nil, fmt.Errorf("%w: the recording has a gap there", ErrTooEarly)
	}
	return h.window[i-1], nil
}

// after is the place of the first of n times behind t.
func after(n int, at func(int) time.Time, t time.Time) int {
	return sort.Search(n, func(i int) bool { return at(i).After(t) })
}

func afterAmong(snapshots []*probes.Snapshot, t time.Time) int {
	return after(len(snapshots), func(i int) time.Time { return snapshots[i].At }, t)
}

// within gives the Snapshot of t if one before it and one behind it are known.
func within(snapshots []*probes.Snapshot, t time.Time) *probes.Snapshot {
	if i := afterAmong(snapshots, t); i > 0 && i < len(snapshots) {
		return snapshots[i-1]
	}
	return nil
}

// ahead says that the way to t is shorter from where the player stands than from the beginning of a warm-up.
func (h *History) ahead(t time.Time) bool {
	if h.player == nil || t.Before(h.least) || len(h.window) > 0 && t.Before(h.window[0].At) {
		return false
	}
	return t.Sub(h.position) <= h.warmup+h.span
}

// rewind puts a player where the warm-up for t begins.
func (h *History) rewind(t time.Time) error {
	if err := h.leave(); err != nil {
		return err
	}
	recording, err := h.open()
	if err != nil {
		return err
	}
	from, to, err := recording.Bounds()
	if err != nil {
		return err
	}
	if t.Before(from) {
		return fmt.Errorf("the recording begins at %s: %w", from.UTC().Format(time.DateTime+" UTC"), ErrTooEarly)
	}
	if h.warmup == 0 {
		header, err := recording.Header()
		if err != nil {
			return err
		}
		h.warmup = header.warmup(h.rules)
		h.span = min(windowSpan, header.Poll*time.Duration(limitOf(len(header.Targets.Services)+len(header.Targets.Nodes))))
	}
	if t.After(to) {
		t = to
	}
	h.least = t.Add(-h.span)
	h.position = h.least.Add(-h.warmup)
	h.player, err = recording.Play(h.position, h.rules)
	return err
}

// leave forgets the window.
func (h *History) leave() error {
	h.window = nil
	if h.player == nil {
		return nil
	}
	err := h.player.Close()
	h.player = nil
	return err
}

// forward plays until a Snapshot behind t, or to the end of what is recorded by now.
func (h *History) forward(ctx context.Context, t time.Time) error {
	for len(h.window) == 0 || !h.window[len(h.window)-1].At.After(t) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("replaying the recording up to %s: %w", t.UTC().Format(time.TimeOnly+" UTC"), err)
		}
		snapshot, err := h.player.Next()
		if ended(err) {
			return nil
		}
		if err != nil {
			return errors.Join(err, h.leave())
		}
		h.position = snapshot.At
		if !snapshot.At.Before(h.least) {
			h.window = keep(h.window, snapshot)
		}
	}
	return nil
}

// keep appends, and forgets the oldest beyond the limit.
func keep(list []*probes.Snapshot, snapshot *probes.Snapshot) []*probes.Snapshot {
	limit := limitOf(len(snapshot.Services) + len(snapshot.Nodes))
	if len(list) >= 2*limit { // half of them at once: it is cheaper than one at a time
		list = append([]*probes.Snapshot(nil), list[len(list)-limit:]...)
	}
	return append(list, snapshot)
}

// limitOf is how many Snapshots of so many targets are kept, at least; twice as many are at most.
func limitOf(targets int) int { return min(max(windowViews/max(1, targets), leastKept), mostKept) }
