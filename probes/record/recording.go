package record

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ErrEmpty: there is no poll in what was opened.
var ErrEmpty = errors.New("nothing is recorded there")

// Recording is one run's segments, or a single file. Several Cursors may read it, one after the other.
type Recording struct {
	path  string
	run   string // "" for a single file
	files []string
}

// Open opens a segment or a slice; of a directory, the newest run; or one run as Name gives it. It wraps
// ErrNotRecording, ErrNewer and ErrEmpty.
func Open(path string) (*Recording, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		if r, missing := OpenRun(filepath.Dir(path), filepath.Base(path)); missing == nil {
			return r, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening a recording: %w", err)
	}
	if info.IsDir() {
		runs, err := Runs(path)
		if err != nil {
			return nil, err
		}
		if len(runs) == 0 {
			return nil, fmt.Errorf("%s: %w (no file ends in %s)", path, ErrEmpty, suffix)
		}
		return OpenRun(path, runs[len(runs)-1])
	}
	if err := check(path); err != nil {
		return nil, err
	}
	return &Recording{path: path, files: []string{path}}, nil
}

// OpenRun opens one run of a directory.
func OpenRun(dir, run string) (*Recording, error) {
	r := &Recording{path: dir, run: run}
	if err := r.refresh(); err != nil {
		return nil, err
	}
	if len(r.files) == 0 {
		return nil, fmt.Errorf("%s: %w (of the run %s)", dir, ErrEmpty, run)
	}
	return r, check(r.files[len(r.files)-1])
}

// Runs gives the names of the runs in a directory, the one that was written last at the end.
func Runs(dir string) ([]string, error) {
	segments, err := list(dir)
	if err != nil {
		return nil, err
	}
	last := map[string]time.Time{}
	for _, s := range segments {
		if run, ok := runOf(s.path); ok && !s.last.Before(last[run]) {
			last[run] = s.last
		}
	}
	var runs []string
	for run := range last {
		runs = append(runs, run)
	}
	slices.SortFunc(runs, func(a, b string) int {
		if c := last[a].Compare(last[b]); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	return runs, nil
}

// runOf reads a segment's name: run, number, suffix.
func runOf(path string) (string, bool) {
	name, ok := strings.CutSuffix(filepath.Base(path), suffix)
	dot := strings.LastIndexByte(name, '.')
	if !ok || dot < 0 {
		return "", false
	}
	return name[:dot], true
}

// refresh looks for segments that were added since.
func (r *Recording) refresh() error {
	if r.run == "" {
		return nil
	}
	entries, err := os.ReadDir(r.path)
	if err != nil {
		return fmt.Errorf("listing the recordings: %w", err)
	}
	for _, entry := range entries { // sorted by name, and so by number
		path := filepath.Join(r.path, entry.Name())
		run, ok := runOf(path)
		if ok && run == r.run && (len(r.files) == 0 || path > r.files[len(r.files)-1]) {
			r.files = append(r.files, path)
		}
	}
	return nil
}

// check looks whether a file begins as a recording of a format that is known.
func check(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening a recording: %w", err)
	}
	defer file.Close()
	begin := make([]byte, len(magic))
	n, err := io.ReadFull(file, begin)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if !strings.HasPrefix(magic, string(begin[:n])) { // a segment may have been begun this moment
		return fmt.Errorf("%s: %w; captop makes them under its state directory, and with captop cut", path, ErrNotRecording)
	}
	c := Cursor{recording: &Recording{files: []string{path}}}
	defer c.Close()
	if err := c.open(); err != nil {
		return err
	}
	if _, _, err := c.step(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if c.header != nil && c.header.Format > Format {
		return fmt.Errorf("%s: %w (%s): its format is %d, and this captop reads up to %d", path, ErrNewer, c.header.Captop,
			c.header.Format, Format)
	}
	return nil
}

// Name is what was opened: the file, or the directory and the run.
func (r *Recording) Name() string {
	if r.run == "" {
		return r.path
	}
	return filepath.Join(r.path, r.run)
}

// History looks back into this recording.
func (r *Recording) History(rules *Rules) *History { return NewHistory(r.path, r.run, rules) }

// Polls gives a cursor at the first poll that is not before from.
func (r *Recording) Polls(from time.Time) (*Cursor, error) {
	if err := r.refresh(); err != nil {
		return nil, err
	}
	c := &Cursor{recording: r, from: from}
	for i := len(r.files) - 1; i > 0 && !from.IsZero(); i-- {
		first, err := r.first(r.files[i])
		if err == nil && !first.IsZero() && !first.After(from) {
			c.next = i
			break
		}
	}
	return c, nil
}

// Header is the first one of the recording. It wraps ErrEmpty.
func (r *Recording) Header() (Header, error) {
	c, err := r.Polls(time.Time{})
	if err != nil {
		return Header{}, err
	}
	defer c.Close()
	_, header, err := c.Next()
	if errors.Is(err, io.EOF) {
		return Header{}, fmt.Errorf("%s: %w", r.Name(), ErrEmpty)
	}
	if err != nil {
		return Header{}, err
	}
	return *header, nil
}

// first is the time of the first poll of one file; zero where it has none.
func (r *Recording) first(path string) (time.Time, error) {
	c := Cursor{recording: &Recording{files: []string{path}}}
	defer c.Close()
	if err := c.open(); err != nil {
		return time.Time{}, err
	}
	for {
		h, err := c.head()
		if err != nil {
			return time.Time{}, err
		}
		if h.kind != kindHeader {
			return time.Unix(0, h.at), nil
		}
		c.offset += frameHead + int64(h.length)
	}
}

// Bounds are the times of the first and the last poll, found without reading what is between. It wraps ErrEmpty.
func (r *Recording) Bounds() (from, to time.Time, err error) {
	if err := r.refresh(); err != nil {
		return from, to, err
	}
	for i := 0; i < len(r.files) && from.IsZero(); i++ {
		if from, err = r.first(r.files[i]); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrNotExist) {
			return from, to, err
		}
	}
	for i := len(r.files) - 1; i >= 0 && to.IsZero(); i-- {
		if to, err = r.last(r.files[i]); err != nil && !errors.Is(err, os.ErrNotExist) {
			return from, to, err
		}
	}
	if from.IsZero() || to.IsZero() {
		return from, to, fmt.Errorf("%s: %w", r.Name(), ErrEmpty)
	}
	return from, to, nil
}

// last is the time of the last poll of one file; zero where it has none.
func (r *Recording) last(path string) (last time.Time, err error) {
	c := Cursor{recording: &Recording{files: []string{path}}}
	defer c.Close()
	if err := c.open(); err != nil {
		return last, err
	}
	for {
		h, err := c.head()
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		if err != nil {
			return last, err
		}
		if h.kind != kindHeader {
			last = time.Unix(0, h.at)
		}
		c.offset += frameHead + int64(h.length)
	}
}
