package restore

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Kind is what a record is of.
type Kind string

// The kinds.
const (
	Restore Kind = "restore"
	Undo    Kind = "undo"
)

// Step is what is done next, or how it ended.
type Step string

// The steps in their order, and the three ends.
const (
	Carry   Step = "carry"   // what AP still owes the other node is brought there
	Stop    Step = "stop"    //
	Save    Step = "save"    // the safety copy
	Replace Step = "replace" // the data
	Start   Step = "start"   //
	Compare Step = "compare" // what was loaded with what should have been
	Settle  Step = "settle"  // the services make both nodes agree

	Done    Step = "done"
	Aborted Step = "aborted" // nothing was replaced, and what had been stopped was started again
	Undone  Step = "undone"
)

var steps = []Step{Carry, Stop, Save, Replace, Start, Compare, Settle}

// over says whether nothing is left to be done.
func (s Step) over() bool { return s == Done || s == Aborted || s == Undone }

// Record is one restore, or the undoing of one, as far as it has come: a file in the folder of backups that is replaced
// whole before each step. So whoever comes after a captop that was killed knows what is left.
type Record struct {
	Format int       `json:"format"` // 1
	ID     string    `json:"id"`     // sorts by the time of the begin
	Kind   Kind      `json:"kind"`
	Of     string    `json:"of,omitempty"` // of an undo: the restore
	Both   bool      `json:"both"`         // both nodes go back; nothing is carried over from what they hold
	Began  time.Time `json:"began"`
	Ended  time.Time `json:"ended,omitzero"`
	Step   Step      `json:"step"`
	Error  string    `json:"error,omitempty"` // of the last try
	Nodes  []*Node   `json:"nodes"`

	resumed bool // by another captop than the one that began it
}

// Node is what happens to one node.
type Node struct {
	Name         string    `json:"node"`
	Source       string    `json:"source,omitempty"` // a dump or a safety copy in the folder of backups; "" empties the node
	SHA256       string    `json:"sha256,omitempty"` // of Source
	TakenAt      time.Time `json:"taken_at,omitzero"`
	Keys         int64     `json:"keys"`             // that the source holds; -1 where that is not known
	Expiring     int64     `json:"expiring"`         // of these
	CP           int64     `json:"cp_keys"`          // of these, keys that clients know; -1 where that is not known
	AP           int64     `json:"ap_keys"`          //
	Files        Files     `json:"files"`            // how the node keeps its data
	RunBefore    string    `json:"run_before"`       // "" where it did not run
	KeysBefore   int64     `json:"keys_before"`      // -1 where it did not run
	Carried      int       `json:"carried"`          // AP registers that were brought to the other node
	Safety       string    `json:"safety,omitempty"` // the safety copy, once there is one
	SafetySHA256 string    `json:"safety_sha256,omitempty"`
	SafetyBytes  int64     `json:"safety_bytes,omitempty"`
	Replaced     bool      `json:"replaced,omitempty"` // its data may be another: the replacing was begun
	RunAfter     string    `json:"run_after,omitempty"`
	KeysAfter    int64     `json:"keys_after"` // that clients know, at the end of all

	version string // of the Redis that it ran before
	bytes   int64  // that its data takes at least; 0 where it does not run
}

// Names are the nodes' names, in words.
func (r *Record) Names() string {
	var names []string
	for _, n := range r.Nodes {
		names = append(names, n.Name)
	}
	return strings.Join(names, " and ")
}

// Over says whether nothing is left to be done.
func (r *Record) Over() bool { return r.Step.over() }

// WayOn says what brings a record that is not over to its end. An undo is not taken back.
func (r *Record) WayOn() string {
	const resume = "captop backup restore --resume finishes it"
	if r.Kind == Undo {
		return resume
	}
	return resume + ", captop backup undo takes it back"
}

const (
	recordFormat    = 1
	recordBeginning = "restore-"
	safetyEnding    = ".safety.tar"
)

// Records gives all that is noted in a folder, the newest first. A folder that is absent holds none.
func Records(dir string) ([]*Record, error) {
	files, err := filepath.Glob(filepath.Join(dir, recordBeginning+"*.json"))
	if err != nil {
		return nil, fmt.Errorf("looking for restores: %w", err)
	}
	var found []*Record
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading what was restored: %w", err)
		}
		r := &Record{}
		if err := json.Unmarshal(text, r); err != nil || r.Format != recordFormat {
			return nil, fmt.Errorf("%s cannot be used: %w", file, errors.Join(err, fmt.Errorf("format %d", r.Format)))
		}
		found = append(found, r)
	}
	slices.SortFunc(found, func(a, b *Record) int { return strings.Compare(b.ID, a.ID) })
	for _, undo := range found { // of a captop that was killed between the two
		if undo.Kind == Undo && undo.Step == Done {
			for _, r := range found {
				if r.ID == undo.Of {
					r.Step = Undone
				}
			}
		}
	}
	return found, nil
}

// Pending is what is left to be done in a folder, nil if nothing is.
func Pending(dir string) (*Record, error) {
	records, err := Records(dir)
	if err != nil {
		return nil, err
	}
	return pendingOf(records), nil
}

func pendingOf(records []*Record) *Record {
	if at := slices.IndexFunc(records, func(r *Record) bool { return !r.Over() }); at >= 0 {
		return records[at]
	}
	return nil
}

// save puts a record on the disk, whole or not at all.
func (r *Record) save(dir string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("noting the restore: %w", err)
	}
	path := filepath.Join(dir, recordBeginning+r.ID+".json")
	file, err := os.OpenFile(path+".partial", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("noting the restore: %w", err)
	}
	_, err = file.Write(append(text, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(path+".partial", path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("noting the restore: %w", err)
	}
	return nil
}

// syncDir makes the names in a folder last.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
