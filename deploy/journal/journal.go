// Package journal keeps what was done to a stack: who began what, each step, and how it ended, a JSON object a line in one
// file that is only ever appended to and that all screens and commands of a user share.
//
// An act that was begun and never ended, by a process that is gone, is found by the next one that looks.
package journal

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Errors that callers tell apart.
var (
	ErrHeld  = errors.New("the process that began this act is still at it")
	ErrEnded = errors.New("this act has ended")
	ErrNoAct = errors.New("the journal has no such act")
)

// Kind is what a line says.
type Kind string

// The kinds.
const (
	Begin Kind = "begin"
	Step  Kind = "step"
	End   Kind = "end"
)

// Outcome is how an act ended.
type Outcome string

// The outcomes.
const (
	Done    Outcome = "done"    // and proved
	Failed  Outcome = "failed"  // not all of it took effect; Error says what is left as it is
	Undone  Outcome = "undone"  // nothing of it took effect, or all of it was taken back
	Unknown Outcome = "unknown" // nobody could tell
)

// Act is what is begun. Facts are a line each. No secret and no value of a key belongs here.
type Act struct {
	Who     string `json:"who,omitempty"`     // user@host, and who that was before sudo
	Seat    string `json:"seat,omitempty"`    // where he sat: screen or command, with the terminal
	Stack   string `json:"stack,omitempty"`   // what is acted on: "compose project shop"
	What    string `json:"what,omitempty"`    // verb and object: "restart db_g2"
	Command string `json:"command,omitempty"` // what it stands for, as a person would type it
	Before  string `json:"before,omitempty"`  // how things stood

	// What the next captop needs to find out what came of it: the order, and the instance that it was for.
	Verb     string `json:"verb,omitempty"`
	Instance string `json:"instance,omitempty"`
}

// Result is how an act ended. Facts are a line each.
type Result struct {
	Outcome Outcome `json:"outcome,omitempty"`
	Proof   string  `json:"proof,omitempty"` // what shows that it took effect
	Error   string  `json:"error,omitempty"` // "" if it was done
	After   string  `json:"after,omitempty"` // how things stand
	By      string  `json:"by,omitempty"`    // who found it abandoned and ended it; "" for who began it
}

// Line is one line of the file: a begin has an Act, a step a Text, an end a Result.
type Line struct {
	Kind Kind      `json:"kind"`
	ID   string    `json:"id"` // of the act; sorts by the time of its begin
	At   time.Time `json:"at"`
	Act
	Text string `json:"text,omitempty"`
	Result
}

// File is the journal. Its methods are safe for many processes at once. Their errors are those above and the file system's.
type File struct {
	Path string
	Now  func() time.Time
}

// Open is an act that this process is at.
type Open struct {
	ID   string
	file File
	lock *os.File
}

// Begin notes that an act begins, on disk before it returns. The act is this process's until it ends it or is gone.
func (f File) Begin(act Act) (*Open, error) {
	now := f.Now()
	id := now.UTC().Format("20060102T150405.000Z-") + rand.Text()[:6]
	lock, err := f.lock(id)
	if err != nil {
		return nil, fmt.Errorf("beginning an act in the journal: %w", err)
	}
	o := &Open{ID: id, file: f, lock: lock}
	if err := f.append(Line{Kind: Begin, ID: id, At: now, Act: act}); err != nil {
		o.release()
		return nil, fmt.Errorf("beginning an act in the journal: %w", err)
	}
	return o, nil
}

// Step notes what is done next.
func (o *Open) Step(text string) error {
	return o.file.append(Line{Kind: Step, ID: o.ID, At: o.file.Now(), Text: text})
}

// End notes how the act ended, on disk before it returns, and lets go of it. When that cannot be written the act counts as
// abandoned once this process is gone.
func (o *Open) End(result Result) error {
	if err := o.file.append(Line{Kind: End, ID: o.ID, At: o.file.Now(), Result: result}); err != nil {
		return fmt.Errorf("ending an act in the journal: %w", err)
	}
	o.release()
	return nil
}

// release removes the mark and, with it, gives the lock back.
func (o *Open) release() {
	_ = os.Remove(o.lock.Name())
	_ = o.lock.Close()
}

// Adopt makes an abandoned act this process's, to end it.
func (f File) Adopt(id string) (*Open, error) {
	lock, err := f.lock(id)
	if err != nil {
		return nil, err
	}
	o := &Open{ID: id, file: f, lock: lock}
	records, err := f.Read(time.Time{})
	if err != nil {
		o.release()
		return nil, err
	}
	at := slices.IndexFunc(records, func(r Record) bool { return r.ID == id })
	switch {
	case at < 0:
		err = ErrNoAct
	case !records[at].Open():
		err = ErrEnded
	}
	if err != nil {
		o.release()
		return nil, err
	}
	return o, nil
}

// Abandoned gives the acts that nobody is at any more and that have no end, the oldest first.
func (f File) Abandoned() ([]Record, error) {
	records, err := f.Read(time.Time{})
	if err != nil {
		return nil, err
	}
	var found []Record
	for _, r := range records {
		if r.Open() && !f.held(r.ID) {
			found = append(found, r)
		}
	}
	return slices.DeleteFunc(found, func(r Record) bool { return f.endedSince(r.ID) }), nil
}

// endedSince says whether an act ended while we looked at its lock.
func (f File) endedSince(id string) bool {
	records, err := f.Read(time.Time{})
	return err == nil && slices.ContainsFunc(records, func(r Record) bool { return r.ID == id && !r.Open() })
}

// mark is the file whose lock says that a process is at an act. The lock ends with the process.
func (f File) mark(id string) string { return filepath.Join(f.Path+".acting", filepath.Base(id)) }

func (f File) lock(id string) (*os.File, error) {
	path := f.mark(id)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrHeld
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return lock, nil
}

func (f File) held(id string) bool {
	lock, err := os.Open(f.mark(id))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist) // one that cannot be looked at may be held
	}
	defer lock.Close()
	return syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
}

// append writes one line with one write, below whatever a process that was killed in the middle of a line has left. A
// begin and an end are on disk when it returns; a step is when the next of those is.
func (f File) append(line Line) error {
	text, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("writing to the journal: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return fmt.Errorf("making the folder of the journal: %w", err)
	}
	file, err := os.OpenFile(f.Path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening the journal: %w", err)
	}
	defer file.Close() // which gives the lock back
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("locking the journal: %w", err)
	}
	fresh, torn, err := tail(file)
	if err != nil {
		return fmt.Errorf("reading the end of the journal: %w", err)
	}
	if torn {
		text = append([]byte("\n"), text...)
	}
	if _, err := file.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("writing to the journal: %w", err)
	}
	if line.Kind == Step {
		return nil
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("writing the journal to disk: %w", err)
	}
	if fresh {
		return syncFolder(filepath.Dir(f.Path))
	}
	return nil
}

// tail says whether the file is empty, and whether its last line is not whole.
func tail(file *os.File) (fresh, torn bool, err error) {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return err == nil, false, err
	}
	last := make([]byte, 1)
	_, err = file.ReadAt(last, info.Size()-1)
	return false, !bytes.Equal(last, []byte("\n")), err
}

// syncFolder makes a new file's name as durable as its content.
func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("writing the journal's folder to disk: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("writing the journal's folder to disk: %w", err)
	}
	return nil
}
