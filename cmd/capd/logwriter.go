package main

import (
	"bytes"
	"io"
	"sync"
	"time"
)

const (
	// logDelay is how long a line may wait to be written; a process that is killed loses no more.
	logDelay = 100 * time.Millisecond
	// logChunk is what is written at once without waiting; logBound is what may wait in all: beyond it who logs waits for
	// the disk.
	logChunk = 64 << 10
	logBound = 4 << 20
)

// logWriter writes lines behind its callers' backs, many at a time: a request does not wait for the disk. It keeps
// their order, and lines whole. Close writes what waits. Safe for concurrent use.
type logWriter struct {
	out   io.Writer
	ended chan struct{}

	mu      sync.Mutex
	changed *sync.Cond // of the fields below
	waiting []byte
	due     bool // logDelay has gone by since the first line that waits, or there is enough for a chunk
	closed  bool
}

func newLogWriter(out io.Writer) *logWriter {
	w := &logWriter{out: out, ended: make(chan struct{})}
	w.changed = sync.NewCond(&w.mu)
	go w.run()
	return w
}

// Write takes a line. Errors of the disk have nobody to be told to.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.waiting) > logBound && !w.closed {
		w.changed.Wait()
	}
	if w.closed {
		return w.out.Write(line)
	}
	if len(w.waiting) == 0 {
		time.AfterFunc(logDelay, w.flush)
	}
	w.waiting = append(w.waiting, line...)
	// What is worse than news should not be lost with the process.
	urgent := bytes.Contains(line[:min(len(line), 80)], []byte(`"level":"ERROR"`))
	if !w.due && (urgent || len(w.waiting) >= logChunk) {
		w.due = true
		w.changed.Broadcast()
	}
	return len(line), nil
}

func (w *logWriter) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due = true
	w.changed.Broadcast()
}

// run writes what is due until Close.
func (w *logWriter) run() {
	defer close(w.ended)
	var chunk []byte
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for !w.due && !w.closed {
			w.changed.Wait()
		}
		chunk, w.waiting, w.due = w.waiting, chunk[:0], false
		if len(chunk) == 0 && w.closed {
			return
		}
		w.mu.Unlock()
		_, _ = w.out.Write(chunk)
		w.mu.Lock()
		w.changed.Broadcast() // for those who wait for room
	}
}

// Close writes what waits. What is logged afterwards is written at once.
func (w *logWriter) Close() error {
	w.mu.Lock()
	w.closed = true
	w.changed.Broadcast()
	w.mu.Unlock()
	<-w.ended
	return nil
}
