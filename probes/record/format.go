package record

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"time"

	"github.com/klauspost/compress/zstd"

	"captop/probes"
)

// Format is the version of the files that this package writes. It reads this one and older ones.
const Format = 1

// The errors of files and frames.
var (
	// ErrNotRecording: the file does not begin as a recording does.
	ErrNotRecording = errors.New("this is no recording of captop")
	// ErrNewer: a newer captop wrote the file.
	ErrNewer = errors.New("a newer captop made this recording")
	// ErrTooLarge: one poll does not fit into a segment.
	ErrTooLarge = errors.New("the poll is too large to be recorded")

	errFrame = errors.New("the frame is damaged")
)

// magic is how every file begins.
const magic = "captop recording\n"

// Sizes, in bytes unless they say otherwise.
const (
	frameHead  = 32
	maxRaw     = 256 << 20 // of one poll before it is compressed
	maxRatio   = 1 << 15   // zstd needs at least four bytes for each 128 KiB
	wholeEvery = 60        // polls: one of them is whole, the others are compressed against it
)

// marker begins each frame, so that the next one is found behind a damaged one.
var marker = [4]byte{0xF5, 'c', 'p', 0xF6}

// kind says what a frame holds.
type kind byte

const (
	kindHeader kind = 'h'
	kindWhole  kind = 'w' // a poll
	kindDelta  kind = 'd' // a poll compressed against the last whole one
)

// Header says under which circumstances the polls behind it were taken. Every segment begins with one, and one follows
// in its midst whenever something of it changes.
type Header struct {
	Format  int            `json:"format"`
	Captop  string         `json:"captop"` // version of the program
	Poll    time.Duration  `json:"poll_ns"`
	Started time.Time      `json:"started"` // when watching began
	Targets probes.Targets `json:"targets"` // without credentials
	Rules   Rules          `json:"rules"`
	Acks    string         `json:"acks,omitempty"`  // the text of the file of acknowledgements
	Begins  time.Time      `json:"begins,omitzero"` // of a slice: the polls before are its warm-up

	Prometheus string `json:"prometheus,omitempty"` // the one that was seen through, without credentials; "" scraped
}

// setup is what a state begins with under this header.
func (h Header) setup() probes.Setup {
	return probes.Setup{Targets: h.Targets, Poll: h.Poll, Started: h.Started, Rules: []byte(h.Rules.Text), RulesFile: h.Rules.File,
		Prometheus: h.Prometheus}
}

// after gives the header that is in force after a poll: changes of the rules, the targets and the acknowledgements are
// Inputs. Rules that
// cannot be used are not in force.
func (h *Header) after(inputs []probes.Input) *Header {
	for _, in := range inputs {
		next := *h
		switch {
		case in.Part == probes.PartRulesFile && in.Fault == probes.Up:
			next.Rules.Text = in.Body
			if _, err := probes.NewState(next.setup()); err == nil {
				h = &next
			}
		case in.Part == probes.PartAcks && in.Fault == probes.Up:
			next.Acks = in.Body
			h = &next
		case in.Part == probes.PartTargets:
			if targets, changed := h.Targets.With(in); changed {
				next.Targets = targets
				h = &next
			}
		}
	}
	return h
}

// Rules is a rules file.
type Rules struct {
	File string `json:"file,omitempty"` // where it was read from; "" is captop's own
	Text string `json:"text"`
}

// Poll is one poll: what was asked and answered, in the order in which it was taken in, and the time of the Snapshot.
type Poll struct {
	At     time.Time
	Inputs []probes.Input
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// head is a frame's first 32 bytes:
//
//	 0 marker   4
//	 4 kind     1, and three zero bytes
//	 8 length   4 of the payload behind the head
//	12 raw      4 length of the payload once it is decompressed
//	16 at       8 nanoseconds since 1970
//	24 sum      4 CRC32C of the payload
//	28 headSum  4 CRC32C of the 28 bytes before
type head struct {
	kind        kind
	length, raw uint32
	at          int64
	sum         uint32
}

// frame puts a head before a payload.
func frame(k kind, at time.Time, raw int, payload []byte) []byte {
	out := make([]byte, frameHead, frameHead+len(payload))
	copy(out, marker[:])
	out[4] = byte(k)
	binary.LittleEndian.PutUint32(out[8:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(out[12:], uint32(raw))
	binary.LittleEndian.PutUint64(out[16:], uint64(at.UnixNano()))
	binary.LittleEndian.PutUint32(out[24:], crc32.Checksum(payload, castagnoli))
	binary.LittleEndian.PutUint32(out[28:], crc32.Checksum(out[:28], castagnoli))
	return append(out, payload...)
}

// parseHead reads a head, if b begins with a sound one.
func parseHead(b []byte) (head, bool) {
	if len(b) < frameHead || [4]byte(b) != marker || crc32.Checksum(b[:28], castagnoli) != binary.LittleEndian.Uint32(b[28:]) {
		return head{}, false
	}
	h := head{kind: kind(b[4]), length: binary.LittleEndian.Uint32(b[8:]), raw: binary.LittleEndian.Uint32(b[12:]),
		at: int64(binary.LittleEndian.Uint64(b[16:])), sum: binary.LittleEndian.Uint32(b[24:])}
	known := h.kind == kindHeader || h.kind == kindWhole || h.kind == kindDelta
	return h, known && h.raw <= maxRaw && uint64(h.raw) <= (uint64(h.length)+1)*maxRatio
}

// encoder makes the frames of one segment.
type encoder struct {
	whole *zstd.Encoder
	delta *zstd.Encoder // against the last whole poll; nil before the first
	since int           // polls since the last whole one
}

func newEncoder() (*encoder, error) {
	whole, err := newZstd(minWindow)
	if err != nil {
		return nil, err
	}
	return &encoder{whole: whole}, nil
}

// Windows of the compressor: how far back it looks, in bytes. They are powers of two.
const (
	minWindow = 256 << 10
	maxWindow = 64 << 20
)

func newZstd(window int, more ...zstd.EOption) (*zstd.Encoder, error) {
	// The fastest level: the better ones gain a twentieth of the size for two to five times the work.
	options := []zstd.EOption{zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true)}
	encoder, err := zstd.NewWriter(nil, append(options, more...)...)
	if err != nil {
		return nil, fmt.Errorf("preparing to compress: %w", err)
	}
	return encoder, nil
}

func (e *encoder) header(h Header, at time.Time) ([]byte, error) {
	raw, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("writing the header of a recording: %w", err)
	}
	return frame(kindHeader, at, len(raw), e.whole.EncodeAll(raw, nil)), nil
}

func (e *encoder) poll(p Poll) ([]byte, error) {
	raw, err := appendPoll(nil, p)
	if err != nil {
		return nil, err
	}
	if len(raw) > maxRaw {
		return nil, fmt.Errorf("%w: it has %d bytes, and %d are possible", ErrTooLarge, len(raw), maxRaw)
	}
	if e.delta != nil && e.since < wholeEvery {
		e.since++
		return frame(kindDelta, p.At, len(raw), e.delta.EncodeAll(raw, nil)), nil
	}
	// The whole poll and another one behind it fit into the window, with room for one that grows.
	window := min(max(1<<bits.Len(uint(3*len(raw))), minWindow), maxWindow)
	if e.delta, err = newZstd(window, zstd.WithEncoderDictRaw(dictionaryID(raw), raw)); err != nil {
		return nil, err
	}
	e.since = 1
	return frame(kindWhole, p.At, len(raw), e.whole.EncodeAll(raw, nil)), nil
}

// dictionaryID names a whole poll within the polls that are compressed against it: one cannot be taken for another.
func dictionaryID(raw []byte) uint32 { return crc32.Checksum(raw, castagnoli) | 1 }

// decoder reads the frames of one segment.
type decoder struct {
	plain *zstd.Decoder
	delta *zstd.Decoder // against the last whole poll; nil before the first
}

// newPlain makes a decoder that gives no more bytes than a frame's head promises.
func newPlain(more ...zstd.DOption) (*zstd.Decoder, error) {
	options := []zstd.DOption{zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxWindow(2 * maxRaw)}
	plain, err := zstd.NewReader(nil, append(options, more...)...)
	if err != nil {
		return nil, fmt.Errorf("preparing to decompress: %w", err)
	}
	return plain, nil
}

// take gives the payload of a frame as it was. A whole poll is what the deltas behind it refer to from then on.
func (d *decoder) take(h head, payload []byte) (raw []byte, err error) {
	if uint32(len(payload)) != h.length || crc32.Checksum(payload, castagnoli) != h.sum {
		return nil, fmt.Errorf("%w: its checksum is wrong", errFrame)
	}
	if d.plain == nil {
		if d.plain, err = newPlain(); err != nil {
			return nil, err
		}
	}
	with := d.plain
	if h.kind == kindDelta {
		if with = d.delta; with == nil {
			return nil, fmt.Errorf("%w: the poll that it refers to is not there", errFrame)
		}
	}
	raw, err = with.DecodeAll(payload, make([]byte, 0, h.raw))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errFrame, err)
	}
	if uint32(len(raw)) != h.raw {
		return nil, fmt.Errorf("%w: it has %d bytes in place of %d", errFrame, len(raw), h.raw)
	}
	if h.kind == kindWhole {
		d.forget()
		d.delta, err = newPlain(zstd.WithDecoderDictRaw(dictionaryID(raw), raw))
	}
	return raw, err
}

// forget leaves the last whole poll.
func (d *decoder) forget() {
	if d.delta != nil {
		d.delta.Close()
		d.delta = nil
	}
}

// appendPoll writes a poll: its time, and for each Input all but the body as JSON, and the body as it is.
func appendPoll(b []byte, p Poll) ([]byte, error) {
	at, err := p.At.MarshalText()
	if err != nil {
		return nil, fmt.Errorf("recording a poll's time: %w", err)
	}
	b = appendBlock(b, at)
	for _, in := range p.Inputs {
		body := in.Body
		in.Body = ""
		text, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("recording the answer of %s: %w", in.Target, err)
		}
		b = appendBlock(b, text)
		b = appendBlock(b, body)
	}
	return b, nil
}

func parsePoll(raw []byte) (Poll, error) {
	var p Poll
	text, raw, ok := cutBlock(raw)
	if !ok || p.At.UnmarshalText(text) != nil {
		return p, fmt.Errorf("%w: it has no time", errFrame)
	}
	for len(raw) > 0 {
		var in probes.Input
		var body []byte
		if text, raw, ok = cutBlock(raw); ok {
			body, raw, ok = cutBlock(raw)
		}
		if !ok {
			return p, fmt.Errorf("%w: an answer in it is cut short", errFrame)
		}
		if err := json.Unmarshal(text, &in); err != nil {
			return p, fmt.Errorf("%w: %w", errFrame, err)
		}
		in.Body = string(body)
		p.Inputs = append(p.Inputs, in)
	}
	return p, nil
}

func appendBlock[T string | []byte](b []byte, block T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(block))), block...)
}

func cutBlock(b []byte) (block, rest []byte, ok bool) {
	length, n := binary.Uvarint(b)
	if n <= 0 || length > uint64(len(b)-n) {
		return nil, nil, false
	}
	return b[n : n+int(length)], b[n+int(length):], true
}
