package api

import (
	"errors"
	"io"
	"net/http/httputil"
	"os"

	"captop/service"
)

// maxDiscard bounds what is read of a body for nothing but the next request behind it.
const maxDiscard = 256 << 10

// body is the body of a request as it comes. Nothing of it is read before somebody asks.
type body struct {
	exchange *exchange
	left     int  // of a known length
	chunked  bool // the length is not known
	awaited  bool // the client sends it when it is told to
	ended    bool // it was read to its end
	chunks   io.Reader
}

// Read implements io.Reader. The end of a body that is shorter than announced is io.ErrUnexpectedEOF.
func (b *body) Read(p []byte) (int, error) {
	if b.ended {
		return 0, io.EOF
	}
	if b.chunked {
		return b.readChunks(p)
	}
	n, err := b.exchange.conn.in.Read(p[:min(len(p), b.left)])
	b.left -= n
	b.ended = b.left == 0
	if errors.Is(err, io.EOF) && !b.ended {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (b *body) readChunks(p []byte) (int, error) {
	if b.chunks == nil {
		b.chunks = httputil.NewChunkedReader(b.exchange.conn.in)
	}
	n, err := b.chunks.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	switch err := b.exchange.conn.skipTrailer(); {
	case errors.Is(err, io.EOF):
		return n, io.ErrUnexpectedEOF
	case err != nil:
		return n, err
	}
	b.ended = true
	return n, io.EOF
}

// skipTrailer takes the lines behind the last chunk, which nobody here wants.
func (c *conn) skipTrailer() error {
	lines, err := c.in.Peek(2)
	if err != nil {
		return err
	}
	if string(lines) != "\r\n" {
		if lines, err = c.readBlock(0); err != nil {
			return err
		}
		if _, err = checkLines(lines); err != nil {
			return err
		}
	}
	_, err = c.in.Discard(len(lines))
	return err
}

// begin tells the client to send its body if it waits for that, and gives it the request's time to do so.
func (b *body) begin() error {
	c := b.exchange.conn
	if b.chunked || c.in.Buffered() < b.left {
		_ = c.SetReadDeadline(b.exchange.began.Add(c.server.options.Timeout))
	}
	if !b.awaited {
		return nil
	}
	b.awaited = false
	_ = c.SetWriteDeadline(b.exchange.began.Add(c.server.options.Timeout))
	_, _ = c.out.WriteString("HTTP/1.1 100 Continue\r\n\r\n")
	return c.out.Flush()
}

// discard reads what is left and reports whether that was the end.
func (b *body) discard() bool {
	if b.left > maxDiscard || b.begin() != nil {
		return false
	}
	_, _ = io.CopyN(io.Discard, b, maxDiscard+1)
	return b.ended
}

// read gives the whole body, up to the limit of a value, until the request's time is over.
func (b *body) read() ([]byte, error) {
	tooLarge := &service.Error{Code: service.CodeValueTooLarge, Outcome: service.NotApplied,
		Message: "the value has more than 1048576 bytes, which are allowed"}
	if b.ended {
		return nil, nil
	}
	if b.left > service.MaxValueBytes {
		return nil, tooLarge
	}
	err := b.begin()
	var value []byte
	switch {
	case err != nil:
	case b.chunked:
		value, err = io.ReadAll(io.LimitReader(b, service.MaxValueBytes+1))
	default:
		value = make([]byte, b.left)
		_, err = io.ReadFull(b, value)
	}
	if err == nil && len(value) > service.MaxValueBytes {
		return nil, tooLarge
	}
	return value, bodyError(err)
}

func bodyError(err error) error {
	if err == nil {
		return nil
	}
	refusal := &service.Error{Code: service.CodeBadRequest, Outcome: service.NotApplied, Message: "the body cannot be read", Err: err}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		refusal.Code, refusal.Message = service.CodeRequestTimeout, "the body did not arrive in time"
	case errors.Is(err, io.ErrUnexpectedEOF):
		refusal.Code, refusal.Message = service.CodeBodyIncomplete, "the body is shorter than announced"
	}
	return refusal
}
