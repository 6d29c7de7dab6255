package record

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

// Damage is a part of a file that could not be read.
type Damage struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Bytes  int64  `json:"bytes"`
	Torn   bool   `json:"torn"` // the end of the file: it was being written when its writer died, or it is still growing
	Why    string `json:"why"`
}

// String says it in a sentence.
func (d Damage) String() string {
	if d.Torn {
		return fmt.Sprintf("%s: the last %d bytes, from offset %d, are left out: %s", d.File, d.Bytes, d.Offset, d.Why)
	}
	return fmt.Sprintf("%s is damaged at offset %d; %d bytes are left out: %s", d.File, d.Offset, d.Bytes, d.Why)
}

// Cursor goes through the polls of a recording. Not safe for concurrent use.
type Cursor struct {
	recording *Recording
	from      time.Time
	damage    []Damage

	next    int // the file after the current one, in recording.files
	file    *os.File
	name    string
	size    int64
	offset  int64
	decoder decoder
	whole   int64 // where the last whole poll begins that was passed over; 0: none is needed
	header  *Header
	ended   bool // no whole frame is behind the offset, for now
}

// Next gives the next poll and the header that is in force for it. io.EOF: there is none (yet); where the recording is
// still being written, a later call may give one. Other errors are those of reading the disk. Damaged parts are passed
// over; Damage tells of them.
func (c *Cursor) Next() (Poll, *Header, error) {
	for {
		if c.file == nil {
			if err := c.open(); err != nil {
				return Poll{}, nil, err
			}
		}
		poll, found, err := c.step()
		c.ended = errors.Is(err, io.EOF)
		switch {
		case c.ended:
			if more, err := c.leave(); err != nil || !more {
				return Poll{}, nil, err
			}
		case err != nil:
			return Poll{}, nil, err
		case found && c.header != nil:
			return poll, c.header, nil
		}
	}
}

// Damage tells what was passed over so far, and the torn end where the cursor has arrived at it.
func (c *Cursor) Damage() []Damage {
	if c.file != nil && c.ended && c.offset < c.size {
		return append(c.damage[:len(c.damage):len(c.damage)], c.torn())
	}
	return c.damage
}

// Close ends reading.
func (c *Cursor) Close() error {
	c.decoder.forget()
	if c.file == nil {
		return nil
	}
	err := c.file.Close()
	c.file = nil
	return err
}

// open goes to the next file that is still there.
func (c *Cursor) open() error {
	for c.next < len(c.recording.files) {
		c.name = c.recording.files[c.next]
		file, err := os.Open(c.name)
		c.next++
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted to make room
		}
		if err != nil {
			return fmt.Errorf("opening a recording: %w", err)
		}
		c.file, c.offset, c.header, c.whole = file, int64(len(magic)), nil, 0
		c.decoder.forget()
		return c.measure()
	}
	return io.EOF
}

// measure looks how large the file is by now.
func (c *Cursor) measure() error {
	info, err := c.file.Stat()
	if err != nil {
		return fmt.Errorf("looking at a recording: %w", err)
	}
	c.size = info.Size()
	return nil
}

// leave ends a file whose frames are all read, if there is another one behind it; else it stays, for it may grow.
func (c *Cursor) leave() (more bool, err error) {
	if c.next >= len(c.recording.files) {
		if err := c.recording.refresh(); err != nil {
			return false, err
		}
	}
	before := c.size
	if err := c.measure(); err != nil {
		return false, err
	}
	if c.size > before { // it grew since; the file behind it began after that
		return true, nil
	}
	if c.next >= len(c.recording.files) {
		return false, io.EOF
	}
	if c.offset < c.size {
		c.damage = append(c.damage, c.torn())
	}
	return true, c.Close()
}

func (c *Cursor) torn() Damage {
	return Damage{File: c.name, Offset: c.offset, Bytes: c.size - c.offset, Torn: true, Why: "no whole frame is in them"}
}

// step reads one frame; found is false for one that is no poll, or not wanted. io.EOF: no whole frame is left.
func (c *Cursor) step() (poll Poll, found bool, err error) {
	h, err := c.head()
	if err != nil {
		return poll, false, err
	}
	start, end := c.offset, c.offset+frameHead+int64(h.length)
	if h.kind != kindHeader && time.Unix(0, h.at).Before(c.from) {
		if h.kind == kindWhole {
			c.whole = start
		}
		c.offset = end
		return poll, false, nil
	}
	if c.whole > 0 && h.kind == kindDelta {
		if _, err := c.payload(c.whole); err != nil && !errors.Is(err, errFrame) {
			return poll, false, err
		}
	}
	if h.kind != kindHeader {
		c.whole = 0
	}
	raw, err := c.payload(start)
	if err == nil && h.kind == kindHeader {
		var header Header
		if err = json.Unmarshal(raw, &header); err == nil {
			c.header = &header
		} else {
			err = fmt.Errorf("%w: %w", errFrame, err)
		}
	} else if err == nil {
		poll, err = parsePoll(raw)
		found = err == nil
	}
	c.offset = end
	if errors.Is(err, errFrame) {
		if h.kind == kindWhole {
			c.decoder.forget()
		}
		c.damage = append(c.damage, Damage{File: c.name, Offset: start, Bytes: end - start, Why: err.Error()})
		return poll, false, nil
	}
	return poll, found, err
}

// head gives the head of the frame at the offset. Where none is, it goes on to the next sound one.
func (c *Cursor) head() (head, error) {
	var b [frameHead]byte
	if err := c.readAt(b[:], c.offset); err != nil {
		return head{}, err
	}
	if h, ok := parseHead(b[:]); ok {
		if c.offset+frameHead+int64(h.length) > c.size {
			return head{}, io.EOF
		}
		return h, nil
	}
	at, h, err := c.search(c.offset + 1)
	if err != nil {
		return head{}, err
	}
	c.damage = append(c.damage, Damage{File: c.name, Offset: c.offset, Bytes: at - c.offset, Why: "no frame begins there"})
	c.offset = at
	return h, nil
}

// search finds the next sound head that has its payload behind it. io.EOF: there is none.
func (c *Cursor) search(from int64) (int64, head, error) {
	const step = 64 << 10
	buffer := make([]byte, step+frameHead)
	for ; from < c.size; from += step {
		b := buffer[:min(int64(len(buffer)), c.size-from)]
		if err := c.readAt(b, from); err != nil {
			return 0, head{}, err
		}
		for i := 0; ; i++ {
			next := bytes.Index(b[i:], marker[:])
			if next < 0 || i+next >= step {
				break
			}
			i += next
			if h, ok := parseHead(b[i:]); ok && from+int64(i)+frameHead+int64(h.length) <= c.size {
				return from + int64(i), h, nil
			}
		}
	}
	return 0, head{}, io.EOF
}

// payload reads the frame at offset and decompresses it.
func (c *Cursor) payload(offset int64) ([]byte, error) {
	var b [frameHead]byte
	if err := c.readAt(b[:], offset); err != nil {
		return nil, err
	}
	h, ok := parseHead(b[:])
	if !ok || offset+frameHead+int64(h.length) > c.size {
		return nil, fmt.Errorf("%w: its head is", errFrame)
	}
	payload := make([]byte, h.length)
	if err := c.readAt(payload, offset+frameHead); err != nil {
		return nil, err
	}
	return c.decoder.take(h, payload)
}

// readAt fills b. What lies beyond the end is io.EOF: nothing whole is there yet.
func (c *Cursor) readAt(b []byte, offset int64) error {
	_, err := c.file.ReadAt(b, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading %s: %w", c.name, err)
	}
	return err
}
