package api

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"captop/service"
)

// Role is what a token allows; each role includes the ones before it.
type Role int

// The roles, weakest first.
const (
	RoleRead Role = iota + 1
	RoleWrite
	RoleAdmin
)

// ParseRole reads read, write or admin.
func ParseRole(text string) (Role, error) {
	switch text {
	case "read":
		return RoleRead, nil
	case "write":
		return RoleWrite, nil
	case "admin":
		return RoleAdmin, nil
	}
	return 0, fmt.Errorf("there is no role %q; take read, write or admin", text)
}

// Tokens are the bearer tokens that an instance takes, known by their hashes only.
type Tokens struct {
	entries []tokenEntry
}

type tokenEntry struct {
	name string
	role Role
	hash [sha256.Size]byte
}

// ParseTokens reads lines of the form "name role sha256-in-hex". Empty lines and lines that start with # are comments.
// Its errors name the line, never its contents.
func ParseTokens(r io.Reader) (*Tokens, error) {
	tokens := &Tokens{}
	names := map[string]bool{}
	lines := bufio.NewScanner(r)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		entry, err := parseToken(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if names[entry.name] {
			return nil, fmt.Errorf("line %d: its name is taken by a line before", number)
		}
		names[entry.name] = true
		tokens.entries = append(tokens.entries, entry)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(tokens.entries) == 0 {
		return nil, fmt.Errorf("it holds no token; capd token NAME ROLE makes one")
	}
	return tokens, nil
}

func parseToken(line string) (tokenEntry, error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return tokenEntry{}, fmt.Errorf("it has %d fields instead of 3: name, role, SHA-256 of the token in hex", len(fields))
	}
	role, err := ParseRole(fields[1])
	if err != nil {
		return tokenEntry{}, err
	}
	entry := tokenEntry{name: fields[0], role: role}
	hash, err := hex.DecodeString(fields[2])
	if err != nil || len(hash) != len(entry.hash) {
		return tokenEntry{}, fmt.Errorf("its third field is not a SHA-256 in 64 hex digits")
	}
	copy(entry.hash[:], hash)
	return entry, nil
}

// NewToken makes a token of 256 random bits, and the line of the tokens file that admits it.
func NewToken(name, role string) (token, line string, err error) {
	if _, err := ParseRole(role); err != nil {
		return "", "", err
	}
	if name == "" || strings.HasPrefix(name, "#") || strings.ContainsAny(name, " \t\r\n") {
		return "", "", fmt.Errorf("the name %q can't be used; it must be one word that does not start with #", name)
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails, says its documentation
	token = base64.RawURLEncoding.EncodeToString(secret)
	hash := sha256.Sum256([]byte(token))
	return token, name + " " + role + " " + hex.EncodeToString(hash[:]), nil
}

// find gives the entry of a token. It compares with every entry, in constant time.
func (t *Tokens) find(token string) (tokenEntry, bool) {
	hash := sha256.Sum256([]byte(token))
	at := -1
	for i := range t.entries {
		if subtle.ConstantTimeCompare(hash[:], t.entries[i].hash[:]) == 1 {
			at = i
		}
	}
	if at < 0 {
		return tokenEntry{}, false
	}
	return t.entries[at], true
}

// admit refuses the call where its caller is over a rate limit, unknown, or not allowed to do it.
func (s *Server) admit(c *call) error {
	outcome := service.Outcome("")
	if c.kind == write {
		outcome = service.NotApplied
	}
	if err := s.limit(c, outcome); err != nil {
		return err
	}
	if s.options.Tokens == nil {
		return nil
	}
	needed := RoleRead
	if c.kind == write {
		needed = RoleWrite
	}
	if refusal := s.authorise(c.x, c.caller, needed, string(c.kind)); refusal != nil {
		refusal.Outcome = outcome
		return refusal
	}
	return nil
}

// authorise refuses a caller without a valid token of the role that is needed. The answer never tells what was wrong
// with a token; the log does.
func (s *Server) authorise(x *exchange, caller caller, needed Role, operation string) *service.Error {
	if caller.failure == "" && caller.role >= needed {
		return nil
	}
	reason := caller.failure
	refusal := &service.Error{Code: service.CodeUnauthorized, Message: "a valid token is needed: Authorization: Bearer TOKEN"}
	if reason == "" {
		reason = "role"
		refusal = &service.Error{Code: service.CodeForbidden, Message: "this token does not allow that"}
	} else {
		x.Response.Header.Set("WWW-Authenticate", `Bearer realm="captop"`)
	}
	s.metrics.authFailures.Inc()
	s.options.Logger.Warn("AUTH_FAILURE", LogClient, caller.address.String(), "reason", reason, "operation", operation)
	return refusal
}

// authenticate gives the entry of the request's token, or the class of what is wrong with it.
func (t *Tokens) authenticate(header string) (tokenEntry, string) {
	if header == "" {
		return tokenEntry{}, "no_token"
	}
	scheme, token, found := strings.Cut(header, " ")
	if !found || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return tokenEntry{}, "malformed"
	}
	entry, known := t.find(strings.TrimSpace(token))
	if !known {
		return tokenEntry{}, "unknown_token"
	}
	return entry, ""
}
