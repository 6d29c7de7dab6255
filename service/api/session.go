package api

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"hash"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"captop/service"
)

const (
	// sessionTTL is how long a session remembers after its last write.
	sessionTTL = time.Hour
	// maxCookieToken bounds a token that carries its own memory: browsers keep cookies of 4096 bytes.
	maxCookieToken = 3500
	// keyHashBytes of a keyed hash stand for a key in a token.
	keyHashBytes = 8
)

// Sessions remember which versions a client has written, so that its reads can be held against them. A token is signed
// with SECRET_KEY; it carries the memory itself, or names one in Redis where stores are given.
type Sessions struct {
	mode   service.Mode
	macs   sync.Pool // of keyed hash.Hash: to set one up costs as much as to use it
	now    func() time.Time
	logger *slog.Logger
	stores []*SharedStore
}

// NewSessions gives sessions for a mode; tokens of the other mode are ignored. With stores, the memory is kept in all
// of them; a write that none of them could note is noted in the token.
func NewSessions(mode service.Mode, secret []byte, now func() time.Time, logger *slog.Logger,
	stores ...*SharedStore) *Sessions {
	secret = derive(secret, "session "+string(mode))
	return &Sessions{mode: mode, macs: sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }}, now: now, logger: logger,
		stores: stores}
}

// sessionEntry is what a session knows of one key.
type sessionEntry struct {
	state   entryState
	version service.Version // if wroteVersion
}

type entryState int

const (
	wroteNothing entryState = iota // the session has not written the key
	wroteVersion                   // it has: this version
	wroteUnknown                   // it may have: older writes fell out, or a store did not answer
)

// memory is a token's payload. A session in Redis has an ID and nothing else.
type memory struct {
	ID      string      `json:"i,omitempty"`
	Expires int64       `json:"e,omitempty"` // Unix seconds
	Dropped bool        `json:"d,omitempty"` // older writes fell out
	Writes  [][2]string `json:"w,omitempty"` // hash of the key and version, oldest first
}

// lookup finds a key in the token's own memory.
func (m memory) lookup(hash string) sessionEntry {
	for i := len(m.Writes) - 1; i >= 0; i-- {
		if m.Writes[i][0] == hash {
			return sessionEntry{wroteVersion, service.Version(m.Writes[i][1])}
		}
	}
	if m.Dropped {
		return sessionEntry{state: wroteUnknown}
	}
	return sessionEntry{state: wroteNothing}
}

// note adds a write, or refreshes the one of the same key.
func (m *memory) note(hash string, version service.Version) {
	kept := m.Writes[:0]
	for _, write := range m.Writes {
		if write[0] != hash {
			kept = append(kept, write)
		}
	}
	m.Writes = append(kept, [2]string{hash, string(version)})
}

// sign makes the token, dropping the oldest writes until it fits.
func (s *Sessions) sign(m memory) string {
	for {
		payload, err := json.Marshal(m)
		if err != nil { // our own type: it always marshals
			panic(err)
		}
		text := base64.RawURLEncoding.EncodeToString(payload)
		if len(text) <= maxCookieToken || len(m.Writes) <= 1 {
			return text + "." + base64.RawURLEncoding.EncodeToString(s.mac("", text))
		}
		m.Writes, m.Dropped = m.Writes[1:], true
	}
}

// open gives the memory of a token; false if it is not ours, of the other mode, or over.
func (s *Sessions) open(token string) (m memory, reason string) {
	text, signature, _ := strings.Cut(token, ".")
	given, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || !hmac.Equal(given, s.mac("", text)) {
		return memory{}, "signature"
	}
	payload, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return memory{}, "payload"
	}
	if err := json.Unmarshal(payload, &m); err != nil {
		return memory{}, "payload"
	}
	if m.ID == "" && s.now().Unix() > m.Expires {
		return memory{}, "expired"
	}
	return m, ""
}

// of gives the memory of the request's token, an empty one where there is none. Header before cookie.
func (s *Sessions) of(x *exchange, client string) (m memory, found bool) {
	token := x.Request.Header.Peek(SessionHeader)
	if len(token) == 0 {
		if token = x.Request.Header.Cookie(SessionCookie); token == nil {
			return memory{}, false
		}
	}
	m, reason := s.open(string(token))
	if reason != "" {
		s.logger.Info("SESSION_IGNORED", LogClient, client, "reason", reason)
		return memory{}, false
	}
	return m, true
}

// hash stands for a key in tokens and in Redis, which then do not tell it.
func (s *Sessions) hash(key string) string {
	return base64.RawURLEncoding.EncodeToString(s.mac("key ", key)[:keyHashBytes])
}

// mac signs a text of one purpose.
func (s *Sessions) mac(purpose, text string) []byte {
	sum := s.macs.Get().(hash.Hash)
	defer s.macs.Put(sum)
	sum.Reset()
	_, _ = io.WriteString(sum, purpose)
	_, _ = io.WriteString(sum, text)
	return sum.Sum(nil)
}

// recall gives what the request's session knows of the key.
func (s *Server) recall(c *call) sessionEntry {
	sessions := s.options.Sessions
	m, found := sessions.of(c.x, c.caller.name())
	switch {
	case !found:
		return sessionEntry{state: wroteNothing}
	case m.ID != "":
		return sessions.load(c.ctx, m.ID, sessions.hash(c.key), s.store.Newer)
	}
	return m.lookup(sessions.hash(c.key))
}

var cookieRules = "; Path=/; Max-Age=" + strconv.Itoa(int(sessionTTL.Seconds())) + "; HttpOnly"

// remember notes the write in the request's session, or in a new one, and hands out the token.
func (s *Server) remember(c *call, version service.Version) {
	sessions := s.options.Sessions
	m, found := sessions.of(c.x, c.caller.name())
	token := sessions.note(c.ctx, m, found, sessions.hash(c.key), version, s.store.Newer)
	c.x.Response.Header.Set(SessionHeader, token)
	cookie := SessionCookie + "=" + token + cookieRules
	if s.options.Secure {
		cookie += "; Secure"
	}
	c.x.Response.Header.Add("Set-Cookie", cookie+"; SameSite=Lax")
}

// note gives the token of m with one more write. It never fails: where Redis can't note it, the token does.
func (s *Sessions) note(ctx context.Context, m memory, found bool, hash string, version service.Version,
	newer func(a, b service.Version) (bool, error)) string {
	inRedis := len(s.stores) > 0 && (!found || m.ID != "")
	if inRedis {
		if m.ID == "" {
			m.ID = rand.Text()
		}
		if s.save(ctx, m.ID, hash, version, newer) {
			return s.sign(memory{ID: m.ID})
		}
		m = memory{Dropped: found} // goes on in the token; what Redis knew counts as fallen out
	}
	if before := m.lookup(hash); before.state == wroteVersion {
		if isNewer, err := newer(version, before.version); err == nil && !isNewer {
			version = before.version
		}
	}
	m.note(hash, version)
	m.Expires = s.now().Add(sessionTTL).Unix()
	return s.sign(m)
}

// readYourWrites says whether an answer is no older than the session's write; nil where the session wrote nothing.
func (s *Server) readYourWrites(wrote sessionEntry, version service.Version) *bool {
	if wrote.state == wroteNothing {
		return nil
	}
	kept := false
	if wrote.state == wroteVersion {
		newer, err := s.store.Newer(version, wrote.version)
		kept = newer && err == nil
	}
	return &kept
}

// derive makes a key for one purpose, so that no two purposes share one.
func derive(secret []byte, purpose string) []byte { return mac(secret, "captop "+purpose) }

func mac(secret []byte, text string) []byte {
	sum := hmac.New(sha256.New, secret)
	sum.Write([]byte(text))
	return sum.Sum(nil)
}
