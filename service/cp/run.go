package cp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/node"
)

// errInFlight: another write of the key was in flight until the deadline.
var errInFlight = errors.New("another write of this key is in flight")

// errOvertaken: the write was fenced by a resolver, or its head restarted, before it could be decided.
var errOvertaken = errors.New("the write took too long and was given up by another instance")

// errUnsettled: a node has restarted, and its peer, who knows what it may have lost, can't be asked.
var errUnsettled = errors.New("a node has restarted and could not be settled with its peer yet")

// emptiedError: a node was emptied under its present run, which may have promised or answered what it has forgotten. Its next
// run has not.
type emptiedError struct{ node string }

func (e emptiedError) Error() string {
	return e.node + " was " + service.Emptied + ", and is not believed before it has been restarted"
}

// evictedError: a node has evicted keys under its present run, and lacks one that it may have had. Its peer gives its next run
// what it has.
type evictedError struct{ node string }

func (e evictedError) Error() string {
	return e.node + " " + service.Evicted + ", and is not believed about what it lacks before it has been restarted"
}

// errSameNode: both URLs lead to one Redis.
var errSameNode = errors.New("db_g1 and db_g2 are the same Redis process; give two in DB_G1_URL and DB_G2_URL")

// pair binds an operation to one run of each node, taken when first needed.
type pair struct {
	nodes [2]*node.Node
	incs  [2]*node.Incarnation
	mark  *mark // of the batch that the operation's own promise was made in
}

func (s *Store) newPair() *pair { return &pair{nodes: s.nodes} }

func (p *pair) at(ctx context.Context, which side) (*node.Incarnation, error) {
	if p.incs[which] == nil {
		inc, err := p.nodes[which].Current(ctx)
		if err != nil {
			return nil, err
		}
		p.incs[which] = inc
	}
	if p.incs[head] != nil && p.incs[tail] != nil && p.incs[head].RunID == p.incs[tail].RunID {
		return nil, errSameNode
	}
	return p.incs[which], nil
}

// both takes the runs of both nodes.
func (p *pair) both(ctx context.Context) error {
	for _, which := range []side{head, tail} {
		if _, err := p.at(ctx, which); err != nil {
			return err
		}
	}
	return nil
}

func (p *pair) runs() (runs [2]string) {
	for which, inc := range p.incs {
		if inc != nil {
			runs[which] = inc.RunID
		}
	}
	return runs
}

// withReserve keeps a little of the request's time back, to take a promise back in where the rest ran out.
func withReserve(ctx context.Context) (context.Context, func()) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	inner := service.Until(ctx, deadline.Add(-time.Until(deadline)/10))
	return inner, inner.Stop
}

// run takes a task to its result. The error says why the result is not the one wished for. Steps that are left after
// the result (finish) are not run: leave does that.
func (s *Store) run(ctx context.Context, p *pair, key string, t task) (task, error) {
	return s.runWithin(ctx, ctx, p, key, t)
}

// runWithin is run where taking a promise back may last as long as ctx, everything else as long as inner.
func (s *Store) runWithin(ctx, inner context.Context, p *pair, key string, t task) (task, error) {
	var err error
	for t.result == pending {
		limit := inner
		if t.step == drop || t.step == forget {
			limit = ctx
		}
		at := t.request().at
		inc, stepErr := p.at(limit, at)
		if stepErr == nil {
			t.runs[at] = inc.RunID
			t, stepErr = s.step(limit, p, inc, key, t)
		}
		if stepErr != nil {
			err = stepErr
			t = t.lost(node.Sent(stepErr) && !isOurs(stepErr))
		}
	}
	switch t.result {
	case applied, found, absent, settled, open:
		return t, nil
	case notApplied:
		if err == nil {
			err = errOvertaken
		}
	}
	return t, err
}

// isOurs tells errors that arose on this side of the wire.
func isOurs(err error) bool {
	return errors.Is(err, errInFlight) || errors.Is(err, errUnsettled) || errors.Is(err, errSameNode)
}

// step asks once, and provides what the answer asks for before the next asking.
func (s *Store) step(ctx context.Context, p *pair, inc *node.Incarnation, key string, t task) (task, error) {
	reply, err := s.send(ctx, p, inc, key, t.request())
	if err != nil {
		return t, err
	}
	next := t.answered(reply)
	if next.need == nothing {
		return next, nil
	}
	if next.need == resolveKey {
		age, err := strconv.ParseInt(reply[3], 10, 64)
		if err != nil {
			return t, fmt.Errorf("reading the age of a write in flight: %w", err)
		}
		return next, s.resolve(ctx, p, key, next, time.Duration(age)*time.Millisecond)
	}
	if err := s.settle(ctx, p, key, next); err != nil {
		return next, fmt.Errorf("%w: %w", errUnsettled, err)
	}
	return next, nil
}

// settle does what stands in the way of a task after a restart.
func (s *Store) settle(ctx context.Context, p *pair, key string, blocked task) error {
	switch name := s.nodes[blocked.request().at].Name(); blocked.need {
	case restart:
		return emptiedError{name}
	case recall:
		return evictedError{name}
	}
	if err := p.both(ctx); err != nil {
		return err
	}
	var t task
	switch blocked.need {
	case namePeer:
		t = newName(p.runs(), blocked.request().at.peer(), rand.Text())
	case settleHead:
		t = newSettleHead(p.runs())
	case settleTail:
		t = newSettleTail(p.runs())
	}
	ended, err := s.run(ctx, p, key, t)
	s.leave(key, p, ended)
	return err
}

// resolve ends the write that is in the way of t if it is decided or overdue, else waits a little.
func (s *Store) resolve(ctx context.Context, p *pair, key string, t task, age time.Duration) error {
	if err := p.both(ctx); err != nil {
		return err
	}
	ended, err := s.run(ctx, p, key, newResolve(p.runs(), t.dirty, t.dirtyTx, age > s.config.Timeout))
	if err != nil {
		return err
	}
	if ended.result == open {
		return wait(ctx, time.Duration(1+mathrand.IntN(4))*time.Millisecond)
	}
	if ended.step != finish && ended.step != forget {
		return nil // somebody else has ended it
	}
	_, err = s.send(ctx, p, p.incs[head], key, ended.request())
	return err
}

func wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errInFlight, ctx.Err())
	}
}

// refusal turns what stopped an operation into the error that its caller sees.
func refusal(err error, outcome service.Outcome) error {
	e := &service.Error{Outcome: outcome, Err: err}
	var (
		emptied emptiedError
		evicted evictedError
		reply   redis.Error
	)
	switch {
	case outcome == service.Unknown:
		e.Code, e.Message = service.CodeUnknownOutcome, "db_g1 did not say whether it took the write; read the key to see"
	case errors.Is(err, errSameNode):
		e.Code, e.Message = service.CodeInternal, "the settings are wrong"
	case errors.Is(err, errInFlight), errors.Is(err, errOvertaken):
		e.Code, e.Message = service.CodeConflict, "nothing was written; try again"
	case errors.As(err, &emptied):
		e.Code, e.Message = service.CodeRejoining, emptied.Error()
	case errors.As(err, &evicted):
		e.Code, e.Message = service.CodeRejoining, evicted.Error()
	case errors.Is(err, errUnsettled):
		e.Code, e.Message = service.CodeRejoining, "a node came back and is not believed before its peer confirms this key"
	case errors.Is(err, node.ErrOpen):
		e.Code, e.Message = service.CodeCircuitOpen, "a node that this needs has been failing and is left alone for a moment"
	case errors.Is(err, context.DeadlineExceeded):
		e.Code, e.Message = service.CodeTimeout, "a node that this needs did not answer within NETWORK_TIMEOUT_SEC"
	case errors.As(err, &reply):
		text, _, _ := strings.Cut(reply.Error(), " script: ") // where in which script is no caller's concern
		e.Code, e.Message = service.CodeNodeUnavailable, "a node that this needs refuses it: "+text
	default:
		e.Code, e.Message = service.CodeNodeUnavailable, "a node that this needs cannot be reached"
	}
	return e
}
