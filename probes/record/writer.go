package record

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"captop/probes"
)

// How the writer goes about it.
const (
	syncEvery  = 10 * time.Second
	retryAfter = 5 * time.Second // a disk that was full, or a directory that cannot be written
	maxWaiting = 64              // polls
	waitBytes  = 64 << 20        // of answers that wait; one poll may always wait
)

// Dir is where recordings lie by default: $XDG_STATE_HOME/captop, or ~/.local/state/captop; "" where there is no home.
func Dir(getenv func(string) string) string {
	if state := getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "captop")
	}
	home := getenv("HOME")
	if home == "" {
		return ""
	}
	return filepath.Join(home, ".local", "state", "captop")
}

// Writer records in the background. Its methods are safe for concurrent use.
type Writer struct {
	dir    string
	run    string // how the names of its segments begin
	limits Limits
	queue  chan task
	done   chan struct{}

	mu      sync.Mutex
	header  *Header // in force; never changed, only replaced
	closed  bool
	waiting int // bytes of answers in the queue
	state   probes.Recording
	paths   int      // segments made so far
	segment *segment // of the background goroutine alone
	retry   time.Time
}

// task is one poll with the header that is in force for it.
type task struct {
	poll   Poll
	header *Header
	bytes  int
}

// NewWriter begins a recording in dir, which is made with the first poll. Whatever goes wrong there is told by Record.
// Format is filled in, and credentials are taken out of the targets.
func NewWriter(dir string, limits Limits, header Header) *Writer {
	header.Format, header.Targets = Format, header.Targets.Bare()
	w := &Writer{dir: dir, limits: limits, header: &header, queue: make(chan task, maxWaiting), done: make(chan struct{})}
	w.run = fmt.Sprintf("%s-%d", header.Started.UTC().Format("20060102T150405.000Z"), os.Getpid())
	go w.write()
	return w
}

// Run is how the names of this recording's segments begin.
func (w *Writer) Run() string { return w.run }

// Record takes one poll to be written, and says how the recording fares. It never waits: where the disk is slower than
// the polls, they are lost, and counted.
func (w *Writer) Record(at time.Time, inputs []probes.Input) probes.Recording {
	size := 0
	for _, in := range inputs {
		size += len(in.Body) + len(in.Error)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return w.state
	}
	header := w.header
	w.header = header.after(inputs) // of what follows, so that a replay may begin there
	if w.waiting > 0 && w.waiting+size > waitBytes || len(w.queue) == cap(w.queue) {
		w.state.Lost++
		w.state.Problem = "the disk is slower than the polls"
		return w.state
	}
	w.waiting += size
	w.queue <- task{poll: Poll{At: at, Inputs: inputs}, header: header, bytes: size}
	return w.state
}

// Close writes what waits and ends the recording. The error is that of the last segment.
func (w *Writer) Close() error {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.queue)
	}
	w.mu.Unlock()
	<-w.done
	if w.segment == nil {
		return nil
	}
	err := w.segment.close()
	w.segment = nil
	if err != nil {
		return fmt.Errorf("ending the recording: %w", err)
	}
	return nil
}

func (w *Writer) write() {
	defer close(w.done)
	for t := range w.queue {
		err := w.append(t)
		w.mu.Lock()
		w.waiting -= t.bytes
		switch {
		case err != nil:
			w.state.Lost++
			w.state.Problem = cause(err)
		case len(w.queue) == 0:
			w.state.Problem = ""
		}
		w.mu.Unlock()
	}
}

// cause says why before where: a narrow screen has room for the beginning.
func cause(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		return fmt.Sprintf("%v (%s %s)", at.Err, at.Op, at.Path)
	}
	return err.Error()
}

// errWaiting: the last attempt to record is not long ago.
var errWaiting = errors.New("recording is tried again soon")

// append writes one poll. After an error the segment is left, and a new one is tried a little later.
func (w *Writer) append(t task) error {
	at := t.poll.At
	if at.Before(w.retry) && w.retry.Sub(at) <= retryAfter {
		return w.lastProblem()
	}
	err := w.place(t)
	if err != nil {
		w.retry = at.Add(retryAfter)
	}
	if err != nil && w.segment != nil {
		_ = w.segment.close()
		w.segment = nil
	}
	return err
}

// lastProblem is why recording stopped, while it waits to be tried again.
func (w *Writer) lastProblem() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state.Problem == "" {
		return errWaiting
	}
	return errors.New(w.state.Problem)
}

// place finds the segment for a poll and writes it there.
func (w *Writer) place(t task) error {
	at := t.poll.At
	if s := w.segment; s != nil && (at.Sub(s.since) >= w.limits.segmentAge() || at.Before(s.since)) {
		if err := w.leave(); err != nil {
			return err
		}
	}
	fits, err := w.put(t)
	if err == nil && !fits {
		if err = w.leave(); err == nil {
			fits, err = w.put(t)
		}
	}
	switch {
	case err != nil:
		return err
	case !fits:
		return fmt.Errorf("%w: a segment has %d bytes", ErrTooLarge, w.limits.segmentBytes())
	case at.Sub(w.segment.synced) >= syncEvery:
		return w.segment.sync(at)
	}
	return nil
}

// leave ends the segment.
func (w *Writer) leave() error {
	s := w.segment
	w.segment = nil
	return s.close()
}

// put appends a poll to the segment, with the header before it where that is new. false: there is no room.
func (w *Writer) put(t task) (fits bool, err error) {
	if err := w.ensure(t.poll.At); err != nil {
		return false, err
	}
	s := w.segment
	var out []byte
	if s.header != t.header {
		if out, err = s.encoder.header(*t.header, t.poll.At); err != nil {
			return false, err
		}
	}
	poll, err := s.encoder.poll(t.poll)
	if err != nil {
		return false, err
	}
	out = append(out, poll...)
	if s.size+int64(len(out)) > w.limits.segmentBytes() {
		return false, nil
	}
	if err := s.write(out); err != nil {
		return false, err
	}
	s.header = t.header
	return true, nil
}

// ensure makes a segment where there is none.
func (w *Writer) ensure(at time.Time) (err error) {
	if w.segment != nil {
		return nil
	}
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return fmt.Errorf("making the directory for recordings: %w", err)
	}
	w.paths++
	path := filepath.Join(w.dir, fmt.Sprintf("%s.%06d%s", w.run, w.paths, suffix))
	w.segment, err = createSegment(path, w.limits, at)
	return err
}
