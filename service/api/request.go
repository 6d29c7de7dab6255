package api

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"captop/service"
)

// checkPath refuses what the router would clean away by a redirect: an empty segment is an empty key or an empty value,
// and a dot is a key only when it is escaped (%2E). A redirected POST could write one key's value to another key.
func checkPath(escaped string) *service.Error {
	segments := strings.Split(strings.TrimPrefix(escaped, "/"), "/")
	outcome := outcomeOfPath(escaped)
	if first := segments[0]; first == "write" || first == "read" {
		if len(segments) == 1 || segments[1] == "" {
			return &service.Error{Code: service.CodeKeyEmpty, Outcome: outcome,
				Message: "the key is empty; name one, as in /" + first + "/{key}"}
		}
	}
	for i, segment := range segments {
		switch {
		case segment == "." || segment == "..":
			return &service.Error{Code: service.CodeBadRequest, Outcome: outcome,
				Message: "the path holds the segment " + segment + "; write a dot in a key as %2E"}
		case segment == "" && i == 2 && len(segments) == 3 && segments[0] == "write":
			return &service.Error{Code: service.CodeBadRequest, Outcome: outcome,
				Message: "the value in the path is empty; to write an empty value, POST /write/{key} with an empty body"}
		case segment == "" && len(segments) > 1:
			return &service.Error{Code: service.CodeBadRequest, Outcome: outcome,
				Message: "the path has an empty segment; write a slash in a key or a value as %2F"}
		}
	}
	return nil
}

// outcomeOfPath gives not_applied for a refused request to /write, "" for any other.
func outcomeOfPath(path string) service.Outcome {
	if path == "/write" || strings.HasPrefix(path, "/write/") {
		return service.NotApplied
	}
	return ""
}

// valueOf gives the value of a write: the path's, or the body.
func valueOf(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	value := body
	if r.Pattern == "POST /write/{key}/{value}" {
		if len(body) > 0 {
			return nil, &service.Error{Code: service.CodeBadRequest, Outcome: service.NotApplied,
				Message: "there is a value in the path and another in the body; send one of them"}
		}
		value = []byte(r.PathValue("value"))
	}
	if !utf8.Valid(value) {
		return nil, &service.Error{Code: service.CodeBadRequest, Outcome: service.NotApplied,
			Message: "the value is not valid UTF-8; answers are JSON and could not carry it"}
	}
	return value, nil
}

// readBody reads the whole body, up to the limit of a value, until the read deadline that ServeHTTP has set.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	tooLarge := &service.Error{Code: service.CodeValueTooLarge, Outcome: service.NotApplied,
		Message: "the value has more than 1048576 bytes, which are allowed"}
	if r.ContentLength > service.MaxValueBytes {
		w.Header().Set("Connection", "close") // do not read what is refused
		return nil, tooLarge
	}
	if r.ContentLength == 0 {
		return nil, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, service.MaxValueBytes))
	var limit *http.MaxBytesError
	switch {
	case err == nil:
		// Otherwise the wait for the client's disconnect would end at the deadline.
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		return body, nil
	case errors.As(err, &limit):
		return nil, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return nil, &service.Error{Code: service.CodeRequestTimeout, Outcome: service.NotApplied,
			Message: "the body did not arrive in time", Err: err}
	case errors.Is(err, io.ErrUnexpectedEOF):
		w.Header().Set("Connection", "close")
		return nil, &service.Error{Code: service.CodeBodyIncomplete, Outcome: service.NotApplied,
			Message: "the body is shorter than announced", Err: err}
	}
	w.Header().Set("Connection", "close")
	return nil, &service.Error{Code: service.CodeBadRequest, Outcome: service.NotApplied,
		Message: "the body cannot be read", Err: err}
}
