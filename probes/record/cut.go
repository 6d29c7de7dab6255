package record

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// ErrExists: a slice is not written over a file that is there.
var ErrExists = errors.New("the file is there already")

// Slice says what a cut has written.
type Slice struct {
	Path   string
	From   time.Time // of the first poll of interest
	To     time.Time // of the last one
	Polls  int       // of interest
	Warmup int       // polls before them, for the sake of alerts
	Bytes  int64
	Damage []Damage // of the recording, within the slice
}

// Cut writes a part of a recording into one file that can be replayed alone: with it go the polls before it that rules
// look back over. The file appears whole or not at all. It wraps ErrExists, and ErrEmpty where no poll is in the part.
func (r *Recording) Cut(ctx context.Context, span Span, path string) (Slice, error) {
	out := Slice{Path: path}
	header, err := r.Header()
	if err != nil {
		return out, err
	}
	if span.From.Before(header.Begins) {
		span.From = header.Begins
	}
	if _, err := os.Lstat(path); err == nil {
		return out, fmt.Errorf("%s: %w", path, ErrExists)
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".cut-*"+suffix)
	if err != nil {
		return out, fmt.Errorf("writing the slice: %w", err)
	}
	defer os.Remove(temporary.Name()) // does nothing once it has another name
	err = r.copy(ctx, span, header.warmup(nil), &segment{file: temporary, path: path}, &out)
	if err == nil {
		err = temporary.Sync()
	}
	if err = errors.Join(err, temporary.Close()); err != nil {
		return out, fmt.Errorf("writing the slice: %w", err)
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return out, fmt.Errorf("naming the slice: %w", err)
	}
	return out, nil
}

// copy writes the polls of a part, and its warm-up, as one segment.
func (r *Recording) copy(ctx context.Context, span Span, warmup time.Duration, to *segment, out *Slice) error {
	var begin time.Time
	if !span.From.IsZero() {
		begin = span.From.Add(-warmup)
	}
	cursor, err := r.Polls(begin)
	if err != nil {
		return err
	}
	defer cursor.Close()
	fresh, err := newEncoder()
	if err != nil {
		return err
	}
	to.encoder = *fresh
	if err := to.write([]byte(magic)); err != nil {
		return err
	}
	for ctx.Err() == nil {
		poll, header, err := cursor.Next()
		if errors.Is(err, io.EOF) || err == nil && !span.To.IsZero() && poll.At.After(span.To) {
			break
		}
		if err != nil {
			return err
		}
		if err := to.copy(poll, header, span.From); err != nil {
			return err
		}
		out.count(poll, span.From)
	}
	out.Damage, out.Bytes = cursor.Damage(), to.size
	if ctx.Err() == nil && out.Polls == 0 {
		return fmt.Errorf("%w between these times", ErrEmpty)
	}
	return ctx.Err()
}

// copy writes one poll, with its header where that is another one than before.
func (s *segment) copy(poll Poll, header *Header, begins time.Time) error {
	if s.header != header {
		s.header = header
		written := *header
		written.Begins = begins
		frame, err := s.encoder.header(written, poll.At)
		if err != nil {
			return err
		}
		if err := s.write(frame); err != nil {
			return err
		}
	}
	frame, err := s.encoder.poll(poll)
	if err != nil {
		return err
	}
	return s.write(frame)
}

func (s *Slice) count(poll Poll, from time.Time) {
	if poll.At.Before(from) {
		s.Warmup++
		return
	}
	if s.Polls == 0 {
		s.From = poll.At
	}
	s.Polls++
	s.To = poll.At
}
