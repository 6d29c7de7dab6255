package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Record is one act with all that the journal says of it.
type Record struct {
	ID    string    `json:"id"`
	Began time.Time `json:"began"`
	Act
	Steps []StepAt  `json:"steps,omitempty"`
	Ended time.Time `json:"ended,omitzero"` // zero while it has no end
	Result
}

// StepAt is a step and when it began.
type StepAt struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// Open reports whether the act has no end.
func (r Record) Open() bool { return r.Ended.IsZero() }

// Add takes a line of this act in.
func (r *Record) Add(line Line) {
	switch line.Kind {
	case Begin:
		r.ID, r.Began, r.Act = line.ID, line.At, line.Act
	case Step:
		r.Steps = append(r.Steps, StepAt{At: line.At, Text: line.Text})
	case End:
		r.Ended, r.Result = line.At, line.Result
	}
}

// Read gives the acts that had not ended before a time, in the order in which they began. No file is no acts. Lines that
// are not whole, and what no act began, are passed over.
func (f File) Read(since time.Time) ([]Record, error) {
	t := f.Tail()
	lines, err := t.Next()
	if err != nil {
		return nil, err
	}
	var all []*Record
	byID := map[string]*Record{}
	for _, line := range lines {
		r := byID[line.ID]
		if r == nil {
			if line.Kind != Begin {
				continue
			}
			r = &Record{}
			byID[line.ID] = r
			all = append(all, r)
		}
		r.Add(line)
	}
	var records []Record
	for _, r := range all {
		if r.Open() || !r.Ended.Before(since) {
			records = append(records, *r)
		}
	}
	return records, nil
}

// Tail reads the journal bit by bit, as it grows.
type Tail struct {
	path string
	at   int64
}

// Tail begins at the first line.
func (f File) Tail() *Tail { return &Tail{path: f.Path} }

// Next gives the whole lines that have come since the last call. One that is still being written waits for the next call;
// one that is no line of a journal, as a process leaves it that was killed while it wrote, is passed over.
func (t *Tail) Next() ([]Line, error) {
	file, err := os.Open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	defer file.Close()
	if _, err := file.Seek(t.at, io.SeekStart); err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	t.at += int64(whole)
	var lines []Line
	for text := range bytes.Lines(text[:whole]) {
		var line Line
		if json.Unmarshal(text, &line) == nil && line.ID != "" {
			lines = append(lines, line)
		}
	}
	return lines, nil
}
