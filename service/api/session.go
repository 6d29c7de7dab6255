package api

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"log/slog"
	"strconv"
	"time"

	"captop/service"
)

// sessionTTL is how long a session remembers after its last write.
const sessionTTL = time.Hour

// Sessions remember which versions a client has written, so that its reads can be held against them. A token is signed
// with SECRET_KEY; it carries the memory itself, or names one in Redis where stores are given.
type Sessions struct {
	mode   service.Mode
	signer *signer
	now    func() time.Time
	logger *slog.Logger
	stores []*SharedStore
}

// NewSessions gives sessions for a mode; tokens of the other mode are ignored. With stores, the memory is kept in all
// of them; a write that none of them could note is noted in the token.
func NewSessions(mode service.Mode, secret []byte, now func() time.Time, logger *slog.Logger,
	stores ...*SharedStore) *Sessions {
	return &Sessions{mode: mode, signer: newSigner(derive(secret, "session "+string(mode))), now: now, logger: logger, stores: stores}
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

// open gives the memory of a token, and why there is none: it is not ours, of the other mode, or over.
func (s *Sessions) open(token []byte) (m memory, reason string) {
	text, given, _ := bytes.Cut(token, []byte{'.'})
	wanted := s.signer.signature(text)
	signature, err := tokenText.AppendDecode(nil, given)
	if err != nil || !hmac.Equal(signature, wanted[:]) {
		return memory{}, "signature"
	}
	payload, err := tokenText.AppendDecode(nil, text)
	m, ok := readMemory(payload)
	switch {
	case err != nil, !ok:
		return memory{}, "payload"
	case m.id == "" && s.now().Unix() > m.expires:
		return memory{}, "expired"
	}
	return m, ""
}

// of gives the memory of the request's token, an empty one where there is none. Header before cookie.
func (s *Sessions) of(c *call) (m memory, found bool) {
	header := &c.x.Request.Header
	token := header.Peek(SessionHeader)
	if len(token) == 0 {
		if token = header.Cookie(SessionCookie); token == nil {
			return memory{}, false
		}
	}
	m, reason := s.open(token)
	if reason != "" {
		s.logger.Info("SESSION_IGNORED", LogClient, c.caller.name(), "reason", reason)
		return memory{}, false
	}
	return m, true
}

// recall gives what the request's session knows of the key.
func (s *Server) recall(c *call) sessionEntry {
	sessions := s.options.Sessions
	m, found := sessions.of(c)
	switch {
	case !found:
		return sessionEntry{state: wroteNothing}
	case m.id != "":
		return sessions.load(c.ctx, m.id, sessions.signer.hash(c.key), s.store.Newer)
	}
	return m.lookup(sessions.signer.hash(c.key))
}

var sessionHeader = []byte(SessionHeader)

var cookieRules = "; Path=/; Max-Age=" + strconv.Itoa(int(sessionTTL.Seconds())) + "; HttpOnly"

// remember notes the write in the request's session, or in a new one, and hands out the token.
func (s *Server) remember(c *call, version service.Version) {
	sessions := s.options.Sessions
	m, found := sessions.of(c)
	token := sessions.note(c.ctx, m, found, sessions.signer.hash(c.key), version, s.store.Newer)
	c.x.Response.Header.SetCanonical(sessionHeader, token)
	cookie := append(make([]byte, 0, 256), SessionCookie+"="...)
	cookie = append(append(cookie, token...), cookieRules...)
	if s.options.Secure {
		cookie = append(cookie, "; Secure"...)
	}
	c.x.Response.Header.AddBytesV("Set-Cookie", append(cookie, "; SameSite=Lax"...))
}

// note gives the token of m with one more write. It never fails: where Redis can't note it, the token does.
func (s *Sessions) note(ctx context.Context, m memory, found bool, key keyHash, version service.Version,
	newer func(a, b service.Version) (bool, error)) []byte {
	inRedis := len(s.stores) > 0 && (!found || m.id != "")
	if inRedis {
		if m.id == "" {
			m.id = rand.Text()
		}
		if s.save(ctx, m.id, key, version, newer) {
			return s.signer.token(memory{id: m.id})
		}
		m = memory{dropped: found} // goes on in the token; what Redis knew counts as fallen out
	}
	if before := m.lookup(key); before.state == wroteVersion {
		if isNewer, err := newer(version, before.version); err == nil && !isNewer {
			version = before.version
		}
	}
	m.note(key, version)
	m.expires = s.now().Add(sessionTTL).Unix()
	return s.signer.token(m)
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
