package bench

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"captop/service"
	"captop/service/api"
)

// zipfExponent is near that of web caches and of YCSB (0.99), which math/rand cannot have: it wants more than 1.
const zipfExponent = 1.01

// The codes of failures that no service has told.
const (
	CodeConnect        = "connect"         // no connection: it was never sent
	CodeConnectionLost = "connection_lost" // no answer came
	CodeNoAnswer       = "no_answer"       // none within the time of a request
	CodeNotHTTP        = "not_http"        // an answer that cannot be read
)

// worker has one connection, and one request at a time on it.
type worker struct {
	run    *run
	shard  *shard
	wire   *wire
	random *rand.Rand
	zipf   *rand.Zipf
	read   request
	write  request
	slept  bool // before the present request of an open loop
}

// request is an HTTP request whose key can be set.
type request struct {
	text []byte
	at   int // of the key's digits
}

const digits = 12

func (q request) set(key int) {
	for i := q.at + digits - 1; i >= q.at; i-- {
		q.text[i] = byte('0' + key%10)
		key /= 10
	}
}

func (w *worker) prepare() {
	plan, target := w.run.plan, w.run.target
	if plan.Zipf && plan.Keys > 1 {
		w.zipf = rand.NewZipf(w.random, zipfExponent, 1, uint64(plan.Keys-1))
	}
	header := " HTTP/1.1\r\nHost: " + target.host + "\r\n"
	if target.token != "" {
		header += "Authorization: Bearer " + target.token + "\r\n"
	}
	w.read = newRequest(target.dialect.Read, header+"\r\n")
	w.write = newRequest(target.dialect.Write, header+"Content-Length: "+strconv.Itoa(plan.ValueBytes)+"\r\n\r\n"+w.value(plan.ValueBytes))
}

// newRequest fills the key into a request line of a dialect.
func newRequest(line, rest string) request {
	before, after, _ := strings.Cut(line, keyMark)
	before += Prefix
	return request{text: []byte(before + strings.Repeat("0", digits) + after + rest), at: len(before)}
}

// value is text that nothing on the way can make much shorter.
func (w *worker) value(size int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	text := make([]byte, size)
	for i := range text {
		text[i] = letters[w.random.IntN(len(letters))]
	}
	return string(text)
}

// work sends requests until the run is over.
func (w *worker) work() {
	defer w.wire.close()
	for {
		number := w.run.next.Add(1) - 1
		begin := time.Now()
		if w.run.plan.Rate > 0 {
			// The clock starts when the request is due: what waits for a connection waits for the target.
			begin = w.run.due(number)
			if w.run.ended(number, begin) || !w.await(number, begin) {
				return
			}
			// But where the connection was free, a timer that rings a little late is not the target's doing.
			if now := time.Now(); w.slept && now.Sub(begin) < timerError {
				begin = now
			}
		} else if w.run.ended(number, begin) {
			return
		}
		w.shard.began()
		w.one(number, begin)
	}
}

// timerError is how late a timer may ring: the runtime rounds what is left to whole milliseconds.
const timerError = 2 * time.Millisecond

// await sleeps until a request is due, and notes whether it had to; false where it is not to be sent any more.
func (w *worker) await(number int64, due time.Time) bool {
	const slice = 100 * time.Millisecond // so that an interrupt is noticed
	wait := time.Until(due)
	w.slept = wait > 0
	if !w.slept {
		return !w.run.ended(number, time.Now())
	}
	for ; wait > 0; wait = time.Until(due) {
		time.Sleep(min(wait, slice))
		if w.run.over.Load() {
			return false
		}
	}
	return true
}

// one sends one request and books its answer.
func (w *worker) one(number int64, begin time.Time) {
	q, operation := w.write, write
	if reads := w.run.plan.Reads; reads > 0 && w.random.Float64() < reads {
		q, operation = w.read, read
	}
	q.set(w.key(number))
	sent, status, body, err := w.wire.exchange(q.text)
	took := time.Since(begin)
	if err == nil && status/100 == 2 {
		w.shard.succeed(operation, took)
		return
	}
	w.shard.fail(failure(operation, sent, status, body, err), took)
	if err != nil && !sent && w.run.plan.Rate == 0 {
		time.Sleep(10 * time.Millisecond) // nobody listens: asking faster would measure only the client
	}
}

func (w *worker) key(number int64) int {
	switch {
	case w.run.target.inOrder:
		return int(number)
	case w.zipf != nil:
		return int(w.zipf.Uint64())
	}
	return w.random.IntN(w.run.plan.Keys)
}

// failure names what went wrong, and whether a write may have taken effect.
func failure(operation operation, sent bool, status int, body []byte, err error) Failure {
	f := Failure{Operation: operation}
	outcome := service.Unknown
	switch {
	case err != nil && !sent:
		f.Code, outcome = CodeConnect, service.NotApplied
	case errors.Is(err, errNotHTTP):
		f.Code = CodeNotHTTP
	case timedOut(err):
		f.Code = CodeNoAnswer
	case err != nil:
		f.Code = CodeConnectionLost
	default:
		var refusal api.ErrorBody
		if json.Unmarshal(body, &refusal) == nil && refusal.Error.Code != "" {
			f.Code, outcome = string(refusal.Error.Code), refusal.Error.Outcome
		} else {
			f.Code = "http_" + strconv.Itoa(status)
		}
	}
	if operation == write {
		f.Outcome = outcome
	}
	return f
}

func timedOut(err error) bool {
	var network net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &network) && network.Timeout() ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT)
}
