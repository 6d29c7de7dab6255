package api

import (
	"bytes"
	"net/url"
	"unicode/utf8"

	"captop/service"
)

// target is the path of a request, cut into its segments. These are unescaped after that: %2F is no slash.
type target struct {
	segments [3][]byte // the first ones
	count    int
}

// targetOf cuts a path, or says what is wrong with it. Nothing is cleaned away, and nothing redirected: an empty segment is
// an empty key or an empty value, and a dot is a key only when it is escaped (%2E). A redirected POST could write one
// key's value to another key.
func targetOf(path []byte) (t target, refusal *service.Error) {
	wrong := ""
	for rest, more := bytes.TrimPrefix(path, []byte{'/'}), true; more; t.count++ {
		var segment []byte
		segment, rest, more = bytes.Cut(rest, []byte{'/'})
		if t.count < len(t.segments) {
			t.segments[t.count] = segment
		}
		if wrong == "" {
			wrong = t.wrong(segment, more)
		}
	}
	if first := t.segments[0]; (string(first) == "write" || string(first) == "read") && len(t.segments[1]) == 0 {
		return t, &service.Error{Code: service.CodeKeyEmpty, Outcome: t.outcome(),
			Message: "the key is empty; name one, as in /" + string(first) + "/{key}"}
	}
	if wrong != "" {
		return t, &service.Error{Code: service.CodeBadRequest, Outcome: t.outcome(), Message: wrong}
	}
	for i := range t.segments {
		t.segments[i] = unescape(t.segments[i])
	}
	return t, nil
}

// wrong says why the segment at t.count is refused: where it means something else than itself, or nothing.
func (t target) wrong(segment []byte, more bool) string {
	switch {
	case string(segment) == "." || string(segment) == "..":
		return "the path holds the segment " + string(segment) + "; write a dot in a key as %2E"
	case len(segment) > 0 || t.count == 0 && !more:
		return ""
	case t.count == 2 && !more && string(t.segments[0]) == "write":
		return "the value in the path is empty; to write an empty value, POST /write/{key} with an empty body"
	}
	return "the path has an empty segment; write a slash in a key or a value as %2F"
}

// outcome gives not_applied for a refused request to /write, "" for any other.
func (t target) outcome() service.Outcome {
	if string(t.segments[0]) == "write" {
		return service.NotApplied
	}
	return ""
}

// pathOf cuts off a URI's query, and what a client that takes us for a proxy sends before the path.
func pathOf(uri []byte) []byte {
	path, _, _ := bytes.Cut(uri, []byte{'?'})
	if len(path) > 0 && path[0] == '/' {
		return path
	}
	_, authority, _ := bytes.Cut(path, []byte("://"))
	if slash := bytes.IndexByte(authority, '/'); slash >= 0 {
		return authority[slash:]
	}
	return nil
}

// uriParses says whether the escapes of a path do, and what stands before the path where something does.
func uriParses(uri []byte) bool {
	if uri[0] != '/' {
		_, err := url.ParseRequestURI(string(uri))
		return err == nil
	}
	path := pathOf(uri)
	if bytes.IndexByte(path, '%') < 0 {
		return true
	}
	_, err := url.PathUnescape(string(path))
	return err == nil
}

// unescape is for a segment whose escapes parse.
func unescape(segment []byte) []byte {
	if bytes.IndexByte(segment, '%') < 0 {
		return segment
	}
	text, _ := url.PathUnescape(string(segment))
	return []byte(text)
}

// valueOf gives the value of a write: the path's, or the body.
func valueOf(c *call) ([]byte, error) {
	value, err := c.x.body.read()
	if err != nil {
		c.x.Response.SetConnectionClose() // do not read what is refused
		return nil, err
	}
	if c.inPath {
		if len(value) > 0 {
			return nil, &service.Error{Code: service.CodeBadRequest, Outcome: service.NotApplied,
				Message: "there is a value in the path and another in the body; send one of them"}
		}
		value = c.pathValue
	}
	if !utf8.Valid(value) {
		return nil, &service.Error{Code: service.CodeBadRequest, Outcome: service.NotApplied,
			Message: "the value is not valid UTF-8; answers are JSON and could not carry it"}
	}
	return value, nil
}
