package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"golang.org/x/net/http/httpguts"

	"captop/service"
)

// badHeader is a header that is no request of ours. It is answered, and the connection ends.
type badHeader struct {
	status  int
	code    service.Code
	message string
}

// Error implements error.
func (b *badHeader) Error() string { return b.message }

func malformed(detail string) error {
	message := "the request line, an escape (%XX) in it, or a header does not parse"
	if detail != "" {
		message += ": " + detail
	}
	return &badHeader{http.StatusBadRequest, service.CodeBadRequest, message}
}

// readHeader reads and checks a request's header. An error that is no badHeader needs no answer: the client is gone.
func (x *exchange) readHeader(first bool) error {
	patience := headerTimeout
	if first {
		patience = 0 // it runs since the connection is there
	}
	block, err := x.conn.readHeaderBlock(patience)
	if err != nil {
		return err
	}
	line, fields, _ := bytes.Cut(block, []byte("\r\n"))
	if bytes.IndexByte(line, '\n') >= 0 {
		return errBareLF
	}
	framing, err := checkLines(fields)
	if err != nil {
		return err
	}
	if err := framing.check(); err != nil {
		return err
	}
	rest := x.conn.in.Buffered() - len(block)
	if err := x.Request.Header.Read(x.conn.in); err != nil || x.conn.in.Buffered() != rest {
		return malformed("") // what fasthttp tells quotes the client, tokens included
	}
	return x.checkHeader()
}

// readHeaderBlock waits for a whole header.
func (c *conn) readHeaderBlock(patience time.Duration) ([]byte, error) {
	if start, _ := c.in.Peek(min(2, c.in.Buffered())); string(start) == "\r\n" {
		_, _ = c.in.Discard(2) // old clients end a body with an empty line
	}
	block, err := c.readBlock(patience)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && c.in.Buffered() > 0:
		err = &badHeader{http.StatusRequestTimeout, service.CodeRequestTimeout, "the request's header did not arrive in time"}
	case errors.Is(err, io.EOF) && c.in.Buffered() > 0:
		err = malformed("it is cut off")
	}
	return block, err
}

var (
	blockEnd  = []byte("\r\n\r\n")
	errBareLF = malformed("a line ends without CR LF")
)

// readBlock waits for lines up to an empty one and gives them, without taking them. patience bounds the wait, from when
// there is one; 0 leaves the deadline as it is.
func (c *conn) readBlock(patience time.Duration) ([]byte, error) {
	for seen := 0; ; {
		held, _ := c.in.Peek(c.in.Buffered())
		from := max(seen-len(blockEnd)+1, 0)
		if end := bytes.Index(held[from:], blockEnd); end >= 0 {
			return held[:from+end+len(blockEnd)], nil
		}
		if bareLF(held, seen) {
			return nil, errBareLF // the end that we wait for may never come
		}
		if len(held) == c.in.Size() && !c.grow() {
			return nil, &badHeader{http.StatusRequestHeaderFieldsTooLarge, service.CodeHeaderTooLarge,
				fmt.Sprintf("the header has more than %d bytes; send a long value as the body", maxHeaderBytes)}
		}
		if patience > 0 {
			_ = c.SetReadDeadline(time.Now().Add(patience))
			patience = 0
		}
		if _, err := c.in.Peek(len(held) + 1); err != nil {
			return nil, err
		}
		seen = len(held)
	}
}

// bareLF finds a line feed without its carriage return, from a position on.
func bareLF(text []byte, from int) bool {
	for {
		at := bytes.IndexByte(text[from:], '\n')
		if at < 0 {
			return false
		}
		from += at
		if from == 0 || text[from-1] != '\r' {
			return true
		}
		from++
	}
}

// framing is what a header says of the end of its body.
type framing struct {
	lengths   int
	encodings int
	chunked   bool // the last encoding
}

// checkLines refuses what fasthttp takes and a proxy may read in another way, for then the two would not agree on where a
// request ends: lines that end in LF alone, lines that are continued, and names with a space.
func checkLines(lines []byte) (f framing, err error) {
	for {
		end := bytes.IndexByte(lines, '\n')
		if end < 1 || lines[end-1] != '\r' {
			return f, errBareLF
		}
		line := lines[:end-1]
		lines = lines[end+1:]
		if len(line) == 0 {
			return f, nil
		}
		name, value, found := bytes.Cut(line, []byte{':'})
		if !found || len(name) == 0 || bytes.IndexByte(name, ' ') >= 0 || bytes.IndexByte(name, '\t') >= 0 {
			return f, malformed("a header's name is invalid")
		}
		f.note(name, value)
	}
}

func (f *framing) note(name, value []byte) {
	switch len(name) {
	case len("Content-Length"):
		if bytes.EqualFold(name, []byte("Content-Length")) {
			f.lengths++
		}
	case len("Transfer-Encoding"):
		if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
			f.encodings++
			f.chunked = bytes.EqualFold(bytes.Trim(value, " \t"), []byte("chunked"))
		}
	}
}

// check refuses a body whose end is in doubt, and encodings that are not ours.
func (f framing) check() error {
	switch {
	case f.encodings > 0 && f.lengths > 0:
		return malformed("there are a Content-Length and a Transfer-Encoding; send one of them")
	case f.encodings > 1 || f.encodings == 1 && !f.chunked:
		return &badHeader{http.StatusNotImplemented, service.CodeBadRequest, "the Transfer-Encoding is not supported; take chunked"}
	}
	return nil
}

// checkHeader refuses what parses and still is no request of HTTP/1.
func (x *exchange) checkHeader() error {
	header := &x.Request.Header
	switch {
	case !bytes.HasPrefix(header.Protocol(), []byte("HTTP/1.")):
		return &badHeader{http.StatusHTTPVersionNotSupported, service.CodeBadRequest, "the version of HTTP is not supported; take 1.1"}
	case !httpguts.ValidHostHeader(string(header.Host())):
		return malformed("malformed Host header")
	case !uriParses(header.RequestURI()):
		return malformed("")
	}
	return nil
}
