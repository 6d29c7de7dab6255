// Package drill practises the worst day: it restores the newest backups into servers of its own, or promotes the standby
// pair, has both services settle and serve what they find there, and measures how much would be lost and how long it takes.
package drill

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The targets of the operations guide.
const (
	RPOTarget = 5 * time.Minute
	RTOTarget = 15 * time.Minute
)

// Kind is what was practised.
type Kind string

// The kinds.
const (
	Restore  Kind = "restore"
	Failover Kind = "failover"
)

// Result is what a drill found.
type Result struct {
	Kind    Kind          `json:"kind"`
	At      time.Time     `json:"at"` // its begin
	OK      bool          `json:"ok"` // it worked, and both targets were reached
	Problem string        `json:"problem,omitempty"`
	RPO     time.Duration `json:"rpo_ns"` // as reached: what would have been lost, had all been lost at its begin
	RTO     time.Duration `json:"rto_ns"` // as reached: from its begin until both services wrote and read
	Steps   []Step        `json:"steps"`
	Nodes   []Node        `json:"nodes"`
	Read    int           `json:"read"` // keys that were read through the services from both nodes, alike
}

// Step is one part of a drill.
type Step struct {
	Text string        `json:"text"`
	Took time.Duration `json:"took_ns"`
}

// Node is one node of a drill.
type Node struct {
	Name   string    `json:"node"`
	Backup string    `json:"backup,omitempty"` // of a restore: "" for a node without one, which takes all from the other
	At     time.Time `json:"taken_at,omitzero"`
	CP     int64     `json:"cp_keys"` // keys that clients know, when both services had settled it
	AP     int64     `json:"ap_keys"`
}

// Driller drills. Its fields are set once.
type Driller struct {
	Dir  string // of the backups; what is remembered lies there, too
	Now  func() time.Time
	Tell func(text string)
}

// exercise is one drill that is under way.
type exercise struct {
	*Driller
	Result
	since time.Time // of the present step
}

func (d *Driller) begin(kind Kind) *exercise {
	now := d.Now()
	return &exercise{Driller: d, Result: Result{Kind: kind, At: now.UTC()}, since: now}
}

// step ends the step before and begins another.
func (e *exercise) step(format string, args ...any) {
	e.endStep()
	text := fmt.Sprintf(format, args...)
	e.Tell(text)
	e.Steps = append(e.Steps, Step{Text: text})
}

func (e *exercise) endStep() {
	now := e.Now()
	if n := len(e.Steps); n > 0 {
		e.Steps[n-1].Took = now.Sub(e.since)
	}
	e.since = now
}

// end judges a drill and remembers it. One that was interrupted found nothing out.
func (e *exercise) end(ctx context.Context, err error) (Result, error) {
	e.endStep()
	if ctx.Err() != nil {
		return e.Result, errors.Join(context.Cause(ctx), err)
	}
	switch {
	case err != nil:
		e.Problem = err.Error()
	case e.RPO > RPOTarget:
		e.Problem = fmt.Sprintf("RPO %s is above the target of %s", e.RPO.Round(time.Second), RPOTarget)
	case e.RTO > RTOTarget:
		e.Problem = fmt.Sprintf("RTO %s is above the target of %s", e.RTO.Round(time.Second), RTOTarget)
	}
	e.OK = e.Problem == ""
	return e.Result, errors.Join(err, remember(e.Dir, e.Result))
}

// memory is the file in the folder of backups with one drill a line.
const memory = "drills.jsonl"

func remember(dir string, r Result) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("remembering the drill: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("remembering the drill: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, memory), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("remembering the drill: %w", err)
	}
	_, err = file.Write(append(text, '\n'))
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("remembering the drill: %w", err)
	}
	return nil
}

// Last gives the last drill of a kind that is remembered in a folder of backups; false if there is none.
func Last(dir string, kind Kind) (Result, bool, error) {
	all, err := List(dir)
	if err != nil {
		return Result{}, false, err
	}
	for _, r := range slices.Backward(all) {
		if r.Kind == kind {
			return r, true, nil
		}
	}
	return Result{}, false, nil
}

// List gives all that is remembered in a folder of backups, the oldest first.
func List(dir string) ([]Result, error) {
	file, err := os.Open(filepath.Join(dir, memory))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what was drilled: %w", err)
	}
	defer file.Close()
	var all []Result
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r Result
		if json.Unmarshal(lines.Bytes(), &r) == nil { // else a line that a killed drill left
			all = append(all, r)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading what was drilled: %w", err)
	}
	return all, nil
}
