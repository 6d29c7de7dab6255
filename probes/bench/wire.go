package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"time"
)

// errNotHTTP: the answer is none that this client reads: HTTP/1.1 with a Content-Length.
var errNotHTTP = errors.New("the answer is no HTTP/1.1 with a Content-Length")

// maxAnswer bounds an answer: a value of 1 MiB, escaped at its worst, and the rest.
const maxAnswer = 7 << 20

// wire is a connection to one address that is opened again when it was lost.
type wire struct {
	address address
	timeout time.Duration
	conn    net.Conn
	limit   time.Time // the deadline that is set
	buffer  []byte
}

func newWire(address address, timeout time.Duration) *wire {
	return &wire{address: address, timeout: timeout, buffer: make([]byte, 4096)}
}

func (w *wire) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", w.address.hostPort)
	if err == nil && w.address.tls != nil {
		secure := tls.Client(conn, w.address.tls)
		if err = secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
		}
		conn = secure
	}
	if err != nil {
		return err
	}
	w.conn, w.limit = conn, time.Time{}
	return nil
}

func (w *wire) close() {
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
}

// exchange sends a request and gives its answer's status and body; the body is valid until the next call. sent is false
// where the target cannot have the request.
func (w *wire) exchange(request []byte) (sent bool, status int, body []byte, err error) {
	if w.conn == nil {
		if err := w.dial(context.Background()); err != nil {
			return false, 0, nil, err
		}
	}
	// Setting a deadline costs more than the rest of this function: once a second is enough.
	if now := time.Now(); w.limit.Sub(now) < w.timeout {
		w.limit = now.Add(w.timeout + time.Second)
		if err := w.conn.SetDeadline(w.limit); err != nil {
			w.close()
			return false, 0, nil, err
		}
	}
	if _, err := w.conn.Write(request); err != nil {
		w.close()
		return true, 0, nil, err
	}
	status, body, last, err := w.answer()
	if err != nil || last {
		w.close()
	}
	return true, status, body, err
}

var (
	headerEnd     = []byte("\r\n\r\n")
	contentLength = []byte("Content-Length")
	connection    = []byte("Connection")
)

// answer reads one answer. last says that the target ends the connection after it.
func (w *wire) answer() (status int, body []byte, last bool, err error) {
	have, end := 0, -1
	for end < 0 {
		if have == len(w.buffer) {
			return 0, nil, false, errNotHTTP
		}
		n, err := w.conn.Read(w.buffer[have:])
		if n == 0 && err != nil {
			return 0, nil, false, err
		}
		have += n
		end = bytes.Index(w.buffer[:have], headerEnd)
	}
	status, length, last, err := header(w.buffer[:end+2])
	if err != nil {
		return 0, nil, false, err
	}
	begin := end + len(headerEnd)
	whole := begin + length
	if whole > len(w.buffer) {
		w.buffer = append(w.buffer, make([]byte, whole-len(w.buffer))...)
	}
	for have < whole {
		n, err := w.conn.Read(w.buffer[have:whole])
		if n == 0 && err != nil {
			return 0, nil, false, err
		}
		have += n
	}
	return status, w.buffer[begin:whole], last, nil
}

// header reads what matters of a status line and the header lines behind it, each ended by CR LF.
func header(text []byte) (status, length int, last bool, err error) {
	if len(text) < len("HTTP/1.1 200") || string(text[:7]) != "HTTP/1." {
		return 0, 0, false, errNotHTTP
	}
	status, err = strconv.Atoi(string(text[9:12]))
	length = -1
	for err == nil {
		_, rest, more := bytes.Cut(text, headerEnd[:2])
		if !more || len(rest) == 0 {
			break
		}
		text = rest
		// Nearly every line is another one: its first letter tells.
		if text[0]|0x20 != 'c' {
			continue
		}
		line, _, _ := bytes.Cut(text, headerEnd[:2])
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, contentLength):
			length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
		case bytes.EqualFold(name, connection):
			last = bytes.EqualFold(bytes.TrimSpace(value), []byte("close"))
		}
	}
	if status == 204 && length < 0 {
		length = 0
	}
	if err != nil || length < 0 || length > maxAnswer {
		return 0, 0, false, errNotHTTP
	}
	return status, length, last, nil
}
