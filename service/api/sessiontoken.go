package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"slices"
	"sync"

	"captop/service"
)

const (
	// maxCookieToken bounds a token that carries its own memory: browsers keep cookies of 4096 bytes.
	maxCookieToken = 3500
	// signatureBytes of the keyed hash sign a token: half of SHA-256 is what a forger would have to guess.
	signatureBytes = 16
)

// keyHash stands for a key in a token.
type keyHash [8]byte

// text is the hash as Redis has it.
func (h keyHash) text() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

// memory is what a token carries: what a session has written, or the name under which Redis knows that.
type memory struct {
	id      string         // of a session in Redis; it has nothing else
	expires int64          // Unix seconds
	dropped bool           // older writes fell out
	writes  []sessionWrite // oldest first
}

type sessionWrite struct {
	key     keyHash
	version service.Version
}

// lookup finds a key in the token's own memory.
func (m memory) lookup(key keyHash) sessionEntry {
	for _, write := range slices.Backward(m.writes) {
		if write.key == key {
			return sessionEntry{wroteVersion, write.version}
		}
	}
	if m.dropped {
		return sessionEntry{state: wroteUnknown}
	}
	return sessionEntry{state: wroteNothing}
}

// note adds a write, or refreshes the one of the same key.
func (m *memory) note(key keyHash, version service.Version) {
	m.writes = slices.DeleteFunc(m.writes, func(write sessionWrite) bool { return write.key == key })
	m.writes = append(m.writes, sessionWrite{key, version})
}

// The first byte of a memory says what it is.
const (
	memoryWhole   = 'w'
	memoryDropped = 'd'
	memoryInRedis = 'r'
)

// append adds the memory as bytes: in Redis, its name; else when it expires and, for each write, the hash of the key, the
// length of the version, and the version.
func (m memory) append(to []byte) []byte {
	if m.id != "" {
		return append(append(to, memoryInRedis), m.id...)
	}
	what := byte(memoryWhole)
	if m.dropped {
		what = memoryDropped
	}
	to = binary.AppendUvarint(append(to, what), uint64(m.expires))
	for _, write := range m.writes {
		to = binary.AppendUvarint(append(to, write.key[:]...), uint64(len(write.version)))
		to = append(to, write.version...)
	}
	return to
}

// readMemory reads what append wrote; false where it is something else.
func readMemory(from []byte) (m memory, ok bool) {
	if len(from) == 0 {
		return memory{}, false
	}
	what, rest := from[0], from[1:]
	if what == memoryInRedis {
		return memory{id: string(rest)}, len(rest) > 0
	}
	expires, n := binary.Uvarint(rest)
	if n <= 0 || what != memoryWhole && what != memoryDropped {
		return memory{}, false
	}
	m = memory{expires: int64(expires), dropped: what == memoryDropped}
	for rest = rest[n:]; len(rest) > 0; {
		var write sessionWrite
		rest = rest[copy(write.key[:], rest):]
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			return memory{}, false
		}
		write.version, rest = service.Version(rest[n:n+int(length)]), rest[n+int(length):]
		m.writes = append(m.writes, write)
	}
	return m, true
}

// signer makes and checks what only those can who know a secret. Safe for concurrent use.
type signer struct{ free sync.Pool } // of *keyed

// keyed is a keyed hash with room for what goes in: to set one up costs as much as to use it.
type keyed struct {
	hash.Hash
	in []byte
}

func newSigner(secret []byte) *signer {
	return &signer{sync.Pool{New: func() any { return &keyed{Hash: hmac.New(sha256.New, secret)} }}}
}

// keyPurpose begins what is signed to stand for a key; no token begins so.
const keyPurpose = "key "

// hash stands for a key in tokens and in Redis, which then do not tell it.
func (s *signer) hash(key string) keyHash {
	sum := sign(s, keyPurpose, key)
	return keyHash(sum[:])
}

func (s *signer) signature(text []byte) [signatureBytes]byte {
	sum := sign(s, "", text)
	return [signatureBytes]byte(sum[:])
}

// sign gives the keyed hash of a text of one purpose.
func sign[T string | []byte](s *signer, purpose string, text T) (sum [sha256.Size]byte) {
	k := s.free.Get().(*keyed)
	defer s.free.Put(k)
	k.in = append(append(k.in[:0], purpose...), text...)
	k.Reset()
	_, _ = k.Write(k.in)
	k.in = k.Sum(k.in[:0])
	copy(sum[:], k.in)
	return sum
}

var tokenText = base64.RawURLEncoding

// token makes a token of m, dropping the oldest writes until it fits.
func (s *signer) token(m memory) []byte {
	for {
		payload := m.append(make([]byte, 0, 64))
		if size := tokenText.EncodedLen(len(payload)); size > maxCookieToken && len(m.writes) > 1 {
			m.writes, m.dropped = m.writes[1:], true
			continue
		}
		text := tokenText.AppendEncode(make([]byte, 0, 128), payload)
		signature := s.signature(text)
		return tokenText.AppendEncode(append(text, '.'), signature[:])
	}
}
