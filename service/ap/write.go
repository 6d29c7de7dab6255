package ap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/layout"
	"captop/service/node"
)

// proposals bounds how many stamps a write draws at one node before it counts as overtaken.
const proposals = 3

// skewError: two clocks are further apart than allowed; the write was not applied.
type skewError struct{ message string }

func (e *skewError) Error() string { return e.message }

// Write makes value the value of key on one node; the other gets it behind the answer. The second node is tried where
// the first fails, also where the first may have applied it: both then carry the same value under stamps drawn within
// this request, and the higher is the one that is answered. The first is tried again where it was slow and the second
// fails.
func (s *Store) Write(ctx context.Context, key string, value []byte) (service.Written, error) {
	if err := service.CheckKey(key); err != nil {
		return service.Written{}, err
	}
	if err := service.CheckValue(value); err != nil {
		return service.Written{}, err
	}
	now := time.Now()
	whole := service.Until(ctx, now.Add(s.config.Timeout))
	defer whole.Stop()
	ctx = whole
	order := s.order()
	first := s.attempt(ctx, now, order[1])
	defer first.Stop()
	written, errFirst := s.writeAt(first, order[0], key, value)
	if errFirst == nil {
		return written, nil
	}
	written, errSecond := s.writeAt(ctx, order[1], key, value)
	if errSecond == nil {
		return written, nil
	}
	if first.Err() != nil {
		var again error
		if written, again = s.writeAt(ctx, order[0], key, value); again == nil {
			return written, nil
		}
		if !maybeApplied(errFirst) {
			errFirst = again
		}
	}
	return service.Written{}, s.refuseWrite(order, errFirst, errSecond)
}

// writeAt writes at one node. Where the register is newer than the stamp that was drawn, a higher one is drawn.
func (s *Store) writeAt(ctx context.Context, which side, key string, value []byte) (service.Written, error) {
	name := s.nodes[which].Name()
	if err := s.watch[which].skew(); err != nil {
		return service.Written{}, err
	}
	ctx = s.insist(ctx, which)
	inc, err := s.nodes[which].Current(ctx)
	if err != nil {
		return service.Written{}, fmt.Errorf("writing at %s: %w", name, err)
	}
	text := string(value) // the caller may want value back before the node has it
	written := service.Written{Key: key, Nodes: []string{name}, Outcome: service.Applied}
	for range proposals {
		drawn, now := s.clock.next()
		x := newItem(key, decimal(drawn.at), s.origin, text)
		written.Version = layout.APVersion(x.at, x.origin)
		reply, err := s.sendWrite(ctx, which, inc, x)
		if err != nil {
			return service.Written{}, fmt.Errorf("writing at %s: %w", name, err)
		}
		what, stored, err := verdict(reply)
		switch {
		case err != nil:
			return service.Written{}, fmt.Errorf("writing at %s: %w", name, err)
		case what == "written":
			return written, nil
		case what == "newer":
			s.clock.observe(stored)
		default:
			return service.Written{}, s.refuseSkew(what, name, now, stored)
		}
	}
	// The register got a newer value between every two of our attempts: those writes ran beside this one, and it
	// counts as overwritten by them.
	return written, nil
}

func (s *Store) sendWrite(ctx context.Context, which side, inc *node.Incarnation, x item) (any, error) {
	if len(x.value) < soloBytes {
		return s.writes[which].Do(ctx, inc, x)
	}
	var answer [1]node.Answer[any]
	err := inc.Do(ctx, func(client *redis.Client) error {
		s.flows[which].sendMarked(ctx, client, []item{x}, answer[:])
		return answer[0].Err
	})
	return answer[0].Value, err
}

// taken reports whether the write script has applied a write.
func taken(answer node.Answer[any]) bool { return answer.Err == nil && answer.Value == int64(1) }

// verdict reads the answer of the write script, and where it refused, the time in it (microseconds).
func verdict(reply any) (what string, at int64, err error) {
	switch reply := reply.(type) {
	case int64:
		return "written", 0, nil
	case []any:
		if t := texts(reply); len(t) == 2 {
			return t[0], number(t[1]), nil
		}
	}
	return "", 0, &service.Error{Code: service.CodeInternal, Message: fmt.Sprintf("unexpected answer %v of the write script", reply)}
}

// refuseSkew tells how far an instance's clock and what a node says are apart.
func (s *Store) refuseSkew(what, name string, now, at int64) error {
	by := time.Duration(at-now) * time.Microsecond
	e := &skewError{fmt.Sprintf("the stored value is stamped %s after this instance's clock; %s are allowed",
		by, s.config.MaxClockSkew)}
	if what == "ahead" {
		e = s.skewed(-by, "ahead of "+name)
	}
	s.config.Logger.Error("CLOCK_SKEW", "node", name, "error", e.message)
	return e
}

// refuseWrite says why neither node took a write, and whether one may have.
func (s *Store) refuseWrite(order [2]side, first, second error) error {
	refusal := &service.Error{Code: service.CodeNodeUnavailable, Outcome: service.NotApplied, Err: errors.Join(first, second),
		Message: "neither node took the write; see /health for what is wrong with them"}
	var skew *skewError
	switch {
	case errors.As(first, &skew), errors.As(second, &skew):
		refusal.Code, refusal.Message = service.CodeClockSkew, skew.message
	case maybeApplied(first) || maybeApplied(second):
		refusal.Code, refusal.Message = service.CodeUnknownOutcome, "no node answered; one may have taken the write"
		if timedOut(first) && timedOut(second) {
			refusal.Code = service.CodeTimeout
		}
	}
	switch {
	case maybeApplied(first):
		refusal.Outcome, refusal.Node = service.Unknown, s.nodes[order[0]].Name()
	case maybeApplied(second):
		refusal.Outcome, refusal.Node = service.Unknown, s.nodes[order[1]].Name()
	}
	return refusal
}

func timedOut(err error) bool {
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout()
}

func maybeApplied(err error) bool {
	var skew *skewError
	return !errors.As(err, &skew) && node.Sent(err)
}
