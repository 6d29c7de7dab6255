package rdb

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"io"
	"strconv"
)

// jones is Redis' polynomial, in the order of bits that hash/crc64 wants.
var jones = crc64.MakeTable(0x95ac9329ac4bc9b5)

// source reads a dump, and keeps the offset and the checksum of what was read.
type source struct {
	in     *bufio.Reader
	offset int64
	sum    uint64
}

func newSource(from io.Reader) *source { return &source{in: bufio.NewReaderSize(from, 1<<18)} }

// count takes bytes that were read into the checksum. hash/crc64 inverts at both ends, and Redis at neither.
func (s *source) count(p []byte) {
	s.sum = ^crc64.Update(^s.sum, jones, p)
	s.offset += int64(len(p))
}

func (s *source) byte() (byte, error) {
	b, err := s.in.ReadByte()
	if err == nil {
		s.count([]byte{b})
	}
	return b, err
}

// bytes reads a few.
func (s *source) bytes(n int) ([]byte, error) {
	p := make([]byte, n)
	got, err := io.ReadFull(s.in, p)
	s.count(p[:got])
	return p, err
}

// skip walks over n bytes.
func (s *source) skip(n int64) error {
	for n > 0 {
		p, err := s.in.Peek(int(min(n, 1<<16)))
		if len(p) == 0 {
			return err
		}
		s.count(p)
		n -= int64(len(p))
		if _, err := s.in.Discard(len(p)); err != nil {
			return err
		}
	}
	return nil
}

// The encodings of strings that are no plain bytes.
const (
	encodedInt8  = 0
	encodedInt16 = 1
	encodedInt32 = 2
	encodedLZF   = 3
)

// length reads a length; encoded says that it is one of the encodings above instead.
func (s *source) length() (n uint64, encoded bool, err error) {
	first, err := s.byte()
	if err != nil {
		return 0, false, err
	}
	switch first >> 6 {
	case 0:
		return uint64(first & 0x3F), false, nil
	case 1:
		second, err := s.byte()
		return uint64(first&0x3F)<<8 | uint64(second), false, err
	case 3:
		return uint64(first & 0x3F), true, nil
	}
	switch first {
	case 0x80:
		p, err := s.bytes(4)
		return uint64(binary.BigEndian.Uint32(p)), false, err
	case 0x81:
		p, err := s.bytes(8)
		return binary.BigEndian.Uint64(p), false, err
	}
	return 0, false, fmt.Errorf("%w: byte %d is no length (%#x)", ErrDamaged, s.offset-1, first)
}

// plain reads a length that must be one.
func (s *source) plain() (uint64, error) {
	n, encoded, err := s.length()
	if err == nil && encoded {
		err = fmt.Errorf("%w: byte %d is no length", ErrDamaged, s.offset-1)
	}
	return n, err
}

func (s *source) lengths(n uint64) error {
	for range n {
		if _, err := s.plain(); err != nil {
			return err
		}
	}
	return nil
}

// span reads the head of a string and gives the number of bytes that follow.
func (s *source) span() (n int64, err error) {
	length, encoded, err := s.length()
	switch {
	case err != nil:
		return 0, err
	case encoded && length <= encodedInt32:
		return 1 << length, nil
	case encoded && length == encodedLZF:
		if length, err = s.plain(); err != nil {
			return 0, err
		}
		if _, err = s.plain(); err != nil {
			return 0, err
		}
	case encoded:
		return 0, fmt.Errorf("%w: byte %d is no encoding of a string", ErrDamaged, s.offset-1)
	}
	if length > 1<<40 {
		return 0, fmt.Errorf("%w: a string of %d bytes at byte %d", ErrDamaged, length, s.offset)
	}
	return int64(length), nil
}

// strings walks over n strings.
func (s *source) strings(n uint64) error {
	for range n {
		span, err := s.span()
		if err == nil {
			err = s.skip(span)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// text reads a short string; numbers that are stored as such become their digits, compressed text is not kept.
func (s *source) text() (string, error) {
	length, encoded, err := s.length()
	if err != nil {
		return "", err
	}
	if !encoded && length < 1<<16 {
		p, err := s.bytes(int(length))
		return string(p), err
	}
	if !encoded || length > encodedInt32 {
		return "", fmt.Errorf("%w: byte %d is no short text", ErrDamaged, s.offset-1)
	}
	p, err := s.bytes(1 << length)
	if err != nil {
		return "", err
	}
	switch length {
	case encodedInt8:
		return strconv.Itoa(int(int8(p[0]))), nil
	case encodedInt16:
		return strconv.Itoa(int(int16(binary.LittleEndian.Uint16(p)))), nil
	}
	return strconv.Itoa(int(int32(binary.LittleEndian.Uint32(p)))), nil
}
