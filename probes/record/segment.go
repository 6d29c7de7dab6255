package record

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// suffix of the names of segments.
const suffix = ".captop"

// Limits bound what is kept of all captops that record into one directory.
type Limits struct {
	MaxBytes int64
	MaxAge   time.Duration
}

// DefaultLimits hold a day of two services and two nodes at one poll a second.
var DefaultLimits = Limits{MaxBytes: 256 << 20, MaxAge: 24 * time.Hour}

// segmentBytes and segmentAge are how large and how old a segment becomes.
func (l Limits) segmentBytes() int64       { return l.MaxBytes / 32 }
func (l Limits) segmentAge() time.Duration { return l.MaxAge / 24 }

// errNoRoom: other captops hold all that may be kept.
var errNoRoom = errors.New("other captops that record into it hold all the room there is")

// segment is one file while it is written.
type segment struct {
	file   *os.File
	path   string
	size   int64 // of sound frames
	since  time.Time
	synced time.Time
	encoder
	header *Header // the last one written
}

// createSegment makes a file, takes its lock, and makes room for all that it may hold.
func createSegment(path string, limits Limits, at time.Time) (*segment, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making a segment: %w", err)
	}
	s := &segment{file: file, path: path, since: at, synced: at}
	err = s.begin(limits, at)
	if err != nil {
		_ = file.Close()
		_ = os.Remove(path)
		return nil, err
	}
	return s, nil
}

func (s *segment) begin(limits Limits, at time.Time) error {
	if err := lock(s.file); err != nil {
		return fmt.Errorf("locking %s: %w", s.path, err)
	}
	fresh, err := newEncoder()
	if err != nil {
		return err
	}
	s.encoder = *fresh
	if err := prune(filepath.Dir(s.path), limits, at); err != nil {
		return err
	}
	return s.write([]byte(magic))
}

// write appends in one call, and takes back what a full disk let through.
func (s *segment) write(frame []byte) error {
	if _, err := s.file.Write(frame); err != nil {
		_ = s.file.Truncate(s.size) // a reader would take it for a torn end, too
		return fmt.Errorf("recording: %w", err)
	}
	s.size += int64(len(frame))
	return nil
}

// sync brings to the disk what was written, and finds out whether the file is still where readers look for it.
func (s *segment) sync(at time.Time) error {
	s.synced = at
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("bringing the recording to the disk: %w", err)
	}
	ours, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("looking at the recording: %w", err)
	}
	if there, err := os.Stat(s.path); err != nil || !os.SameFile(ours, there) {
		return fmt.Errorf("%s was taken away", s.path)
	}
	return nil
}

// close ends the file, and removes it where it holds no poll.
func (s *segment) close() error {
	err := errors.Join(s.file.Sync(), s.file.Close())
	if s.header == nil {
		err = errors.Join(err, os.Remove(s.path))
	}
	return err
}

// kept is a segment on disk.
type kept struct {
	path   string
	size   int64
	last   time.Time // when it was last written to
	active bool      // somebody writes it
}

// prune deletes segments that are too old, and then the oldest, until everything fits: the segments that are being
// written count with the size that they may reach.
func prune(dir string, limits Limits, now time.Time) error {
	segments, err := list(dir)
	if err != nil {
		return err
	}
	total := int64(0)
	for i, s := range segments {
		if s.active {
			segments[i].size = max(s.size, limits.segmentBytes())
		}
		total += segments[i].size
	}
	slices.SortFunc(segments, func(a, b kept) int { return a.last.Compare(b.last) })
	for _, s := range segments {
		if s.active || total <= limits.MaxBytes && now.Sub(s.last) <= limits.MaxAge {
			continue
		}
		if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("making room for the recording: %w", err)
		}
		total -= s.size
	}
	if total > limits.MaxBytes {
		return fmt.Errorf("making room in %s: %w", dir, errNoRoom)
	}
	return nil
}

// list gives the segments of a directory.
func list(dir string) ([]kept, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("listing the recordings: %w", err)
	}
	var segments []kept
	for _, entry := range entries {
		if !entry.Type().IsRegular() || !strings.HasSuffix(entry.Name(), suffix) {
			continue
		}
		s, err := look(filepath.Join(dir, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // another captop has just deleted it
		}
		if err != nil {
			return nil, fmt.Errorf("looking at a recording: %w", err)
		}
		segments = append(segments, s)
	}
	return segments, nil
}

func look(path string) (kept, error) {
	file, err := os.Open(path)
	if err != nil {
		return kept{}, err
	}
	defer file.Close() // and with it the lock
	info, err := file.Stat()
	if err != nil {
		return kept{}, err
	}
	return kept{path: path, size: info.Size(), last: info.ModTime(), active: locked(file)}, nil
}
