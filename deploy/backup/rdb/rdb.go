// Package rdb reads Redis' dump files far enough to count what they hold and to know that they are whole.
//
// It knows the format up to version 12 (Redis 7.4). Values are walked over, never kept.
package rdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// ErrDamaged says that a file is not a whole dump: it ends early, its checksum is wrong, or it is no dump at all.
var ErrDamaged = errors.New("not a whole Redis dump")

// Summary is what a dump holds.
type Summary struct {
	Version  int               `json:"version"` // of the format
	Aux      map[string]string `json:"aux"`     // what Redis says of itself, such as redis-ver and ctime
	Keys     int64             `json:"keys"`
	Expiring int64             `json:"expiring"` // of these, with a time to live
	Types    map[string]int64  `json:"types"`    // keys by type, in the words of the command TYPE
	CRC64    uint64            `json:"crc64"`    // 0 where Redis was told to write none
	Bytes    int64             `json:"bytes"`
}

// Memory is how many bytes the server that wrote the dump used then, 0 where the dump does not tell.
func (sum Summary) Memory() int64 {
	used, err := strconv.ParseInt(sum.Aux["used-mem"], 10, 64)
	if err != nil {
		return 0
	}
	return used
}

// The opcodes that stand where a type would.
const (
	opSlotInfo     = 0xF4
	opFunction     = 0xF5
	opModuleAux    = 0xF7
	opIdle         = 0xF8
	opFrequency    = 0xF9
	opAux          = 0xFA
	opResize       = 0xFB
	opExpireMillis = 0xFC
	opExpire       = 0xFD
	opSelect       = 0xFE
	opEnd          = 0xFF
)

// Versions of the format: the first with a checksum, and the last that is known.
const (
	firstWithChecksum = 5
	lastKnown         = 12
)

// Read walks a whole dump. Its errors are ErrDamaged with the offset, or the reader's own.
func Read(from io.Reader) (Summary, error) {
	s := newSource(from)
	sum := Summary{Aux: map[string]string{}, Types: map[string]int64{}}
	err := sum.read(s)
	sum.Bytes = s.offset
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: it ends at byte %d, in the middle", ErrDamaged, s.offset)
	}
	return sum, err
}

func (sum *Summary) read(s *source) error {
	header, err := s.bytes(9)
	if err != nil {
		return err
	}
	sum.Version, err = strconv.Atoi(string(header[5:]))
	if string(header[:5]) != "REDIS" || err != nil {
		return fmt.Errorf("%w: it begins with %q", ErrDamaged, header)
	}
	if sum.Version > lastKnown {
		return fmt.Errorf("%w that captop knows: its format has version %d, %d is the last known", ErrDamaged, sum.Version, lastKnown)
	}
	expires := false
	for {
		code, err := s.byte()
		if err != nil {
			return err
		}
		switch code {
		case opEnd:
			return sum.end(s)
		case opExpireMillis, opExpire:
			expires = true
			err = s.skip(map[byte]int64{opExpireMillis: 8, opExpire: 4}[code])
		default:
			err = sum.entry(s, code, &expires)
		}
		if err != nil {
			return err
		}
	}
}

// entry reads one thing that is neither the end nor a key's time to live.
func (sum *Summary) entry(s *source, code byte, expires *bool) error {
	switch code {
	case opAux:
		name, err := s.text()
		if err != nil {
			return err
		}
		sum.Aux[name], err = s.text()
		return err
	case opSelect, opIdle:
		return s.lengths(1)
	case opResize:
		return s.lengths(2)
	case opSlotInfo:
		return s.lengths(3)
	case opFrequency:
		return s.skip(1)
	case opFunction:
		return s.strings(1)
	case opModuleAux:
		if err := s.lengths(1); err != nil {
			return err
		}
		return s.module()
	}
	kind, known := kinds[code]
	if !known {
		return fmt.Errorf("%w: byte %d is no type that is known (%d)", ErrDamaged, s.offset-1, code)
	}
	if err := s.strings(1); err != nil {
		return err
	}
	if err := kind.skip(s); err != nil {
		return err
	}
	sum.Keys++
	sum.Types[kind.name]++
	if *expires {
		sum.Expiring++
		*expires = false
	}
	return nil
}

// end compares the checksum and expects nothing after it.
func (sum *Summary) end(s *source) error {
	counted := s.sum
	if sum.Version >= firstWithChecksum {
		trailer, err := s.bytes(8)
		if err != nil {
			return err
		}
		sum.CRC64 = binary.LittleEndian.Uint64(trailer)
		if sum.CRC64 != 0 && sum.CRC64 != counted {
			return fmt.Errorf("%w: its checksum is %016x, its content has %016x", ErrDamaged, sum.CRC64, counted)
		}
	}
	if _, err := s.byte(); err == nil {
		return fmt.Errorf("%w: it goes on after its end, byte %d", ErrDamaged, s.offset-1)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
