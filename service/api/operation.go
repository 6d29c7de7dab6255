package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"captop/service"
)

// kind is read or write: the label of the metrics, and what a refusal says of the outcome.
type kind string

const (
	read  kind = "read"
	write kind = "write"
)

// call is one read or write on its way through the server.
type call struct {
	kind      kind
	x         *exchange
	ctx       context.Context // ends at the deadline of the whole request
	caller    caller
	key       string
	inPath    bool   // the value of a write is in the path,
	pathValue []byte // and is this

	size    int             // of the value, bytes
	version service.Version // answered
	kept    *bool           // read_your_writes
	nodes   []string        // answered: holders of a write, or the node of a read
}

// operate wraps a read or a write: deadline, admission, metrics, one log line, and errors as bodies.
func (s *Server) operate(c *call, handle func(*call) (any, error)) {
	// A client that hangs up must not turn its write into half a one: only the deadline ends the work.
	ctx := service.Until(context.Background(), c.x.began.Add(s.options.Timeout))
	defer ctx.Stop()
	c.ctx, c.caller = ctx, s.identify(c.x)
	body, err := s.answer(c, handle)
	status := http.StatusOK
	if err == nil {
		c.x.json(status, body)
	} else {
		status = c.x.refuse(s.refusal(c.kind, err), c.kept)
	}
	took := time.Since(c.x.began)
	s.metrics.observe(c.kind, status, took)
	s.log(c, status, err, took)
}

// answer admits the call and handles it; a panic becomes an error.
func (s *Server) answer(c *call, handle func(*call) (any, error)) (body any, err error) {
	started := false
	defer func() {
		if p := recover(); p != nil {
			s.options.Logger.Error("PANIC", "operation", c.kind, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			refusal := &service.Error{Code: service.CodeInternal, Message: "the instance failed; its log says where"}
			if c.kind == write && started {
				refusal.Outcome = service.Unknown
			} else if c.kind == write {
				refusal.Outcome = service.NotApplied
			}
			body, err = nil, refusal
		}
	}()
	if err := s.admit(c); err != nil {
		return nil, err
	}
	if err := service.CheckKey(c.key); err != nil {
		return nil, err
	}
	started = true
	return handle(c)
}

func (s *Server) write(c *call) (any, error) {
	value, err := valueOf(c)
	if err != nil {
		return nil, err
	}
	c.size = len(value)
	if err := service.CheckValue(value); err != nil {
		return nil, err
	}
	written, err := s.store.Write(c.ctx, c.key, value)
	if err != nil {
		return nil, err
	}
	c.version, c.nodes = written.Version, written.Nodes
	if s.options.Sessions != nil {
		s.remember(c, written.Version)
	}
	return writeBody(written), nil
}

func (s *Server) read(c *call) (any, error) {
	options := service.ReadOptions{Node: c.x.query("node")}
	if options.Node != "" && options.Node != service.G1 && options.Node != service.G2 {
		return nil, &service.Error{Code: service.CodeBadRequest,
			Message: "node names no node; take db_g1 or db_g2, or leave it out"}
	}
	wrote := sessionEntry{state: wroteNothing}
	if s.options.Sessions != nil {
		wrote = s.recall(c)
		options.After = wrote.version
	}
	value, err := s.store.Read(c.ctx, c.key, options)
	if err != nil {
		if service.CodeOf(err) == service.CodeNotFound {
			c.kept = s.readYourWrites(wrote, "") // nothing is older than any write
		}
		return nil, err
	}
	c.version, c.nodes, c.size = value.Version, []string{value.Node}, len(value.Value)
	if value.Cached {
		s.metrics.cached.Inc()
	}
	return ReadBody{Value: value, ReadYourWrites: s.readYourWrites(wrote, value.Version)}, nil
}

// refusal gives the *service.Error that is answered for err. Reads have no outcome; a write whose error does not tell
// has an unknown one.
func (s *Server) refusal(kind kind, err error) *service.Error {
	refusal := service.Error{Code: service.CodeInternal, Message: "the instance failed; its log says why"}
	var told *service.Error
	switch {
	case errors.As(err, &told):
		refusal = *told
	case errors.Is(err, context.DeadlineExceeded):
		refusal = service.Error{Code: service.CodeTimeout,
			Message: fmt.Sprintf("no answer within %s (NETWORK_TIMEOUT_SEC)", s.options.Timeout)}
	}
	switch {
	case kind == read:
		refusal.Outcome = ""
	case refusal.Outcome == "":
		refusal.Outcome = service.Unknown
	}
	return &refusal
}

// log writes one line per write, and per read when LOG_LEVEL is DEBUG. The value is never logged.
func (s *Server) log(c *call, status int, err error, took time.Duration) {
	level := slog.LevelInfo
	switch {
	case status >= 500:
		level = slog.LevelWarn
	case c.kind == read:
		level = slog.LevelDebug
	}
	if !s.options.Logger.Enabled(c.ctx, level) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 9), // as many as there may be
		slog.String(LogKey, c.key[:min(len(c.key), service.MaxKeyBytes)]), slog.String(LogClient, c.caller.name()), slog.Int("status", status),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000), slog.Int("size", c.size))
	if err == nil {
		attrs = append(attrs, slog.String("version", string(c.version)), slog.String("nodes", strings.Join(c.nodes, ",")))
		if c.kind == write {
			attrs = append(attrs, slog.String("outcome", string(service.Applied)))
		}
	} else {
		refusal := s.refusal(c.kind, err)
		attrs = append(attrs, slog.String("code", string(refusal.Code)))
		if cause := causeOf(err); cause != nil { // messages may name the key; causes come from below and don't
			attrs = append(attrs, slog.String("error", cause.Error()))
		}
		if c.kind == write {
			attrs = append(attrs, slog.String("outcome", string(refusal.Outcome)))
		}
	}
	// What LogAttrs does, but for looking up the line of the program, which nobody asks for.
	line := slog.NewRecord(c.x.began.Add(took), level, string(c.kind), 0)
	line.AddAttrs(attrs...)
	_ = s.options.Logger.Handler().Handle(c.ctx, line)
}

// causeOf gives what lies behind a refusal, err itself if it is no refusal.
func causeOf(err error) error {
	var refusal *service.Error
	if errors.As(err, &refusal) {
		return refusal.Err
	}
	return err
}
