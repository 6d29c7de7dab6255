package ap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"captop/service"
	"captop/service/node"
)

// answer is what one node said of one key.
type answer struct {
	from    side
	version stamp // zero where the node does not have the key
	value   string
	settled bool          // the node was reconciled when it answered
	alone   bool          // the primary of a group that no majority of it is behind
	age     time.Duration // upper bound of how far it was behind
}

// supersededBy reports whether another node's answer is the better one.
func (a answer) supersededBy(b answer) bool {
	if a.version != b.version {
		return a.version.before(b.version)
	}
	return a.alone || a.version.at != 0 && b.age < a.age
}

// Read answers the value of key from the preferred node, and asks the other one where that fails, is not reconciled,
// lacks the key, or is older than options.After, and where its answer would be stale and the other one is well; the first again
// where it was slow and the other one fails. Of two answers the newer is given, of the same one that of the node that is less
// behind. Only a reconciled node's word counts for a key that was never written.
func (s *Store) Read(ctx context.Context, key string, options service.ReadOptions) (service.Value, error) {
	if err := service.CheckKey(key); err != nil {
		return service.Value{}, err
	}
	var after stamp
	if options.After != "" {
		var err error
		if after, err = parseVersion(options.After); err != nil {
			return service.Value{}, &service.Error{Code: service.CodeBadRequest, Message: "the session's version is not one of AP", Err: err}
		}
	}
	now := time.Now()
	whole := service.Until(ctx, now.Add(s.config.Timeout))
	defer whole.Stop()
	ctx = whole
	if options.Node != "" {
		return s.readOnly(ctx, options.Node, key)
	}
	order := s.order()
	first := s.attempt(ctx, now, order[1])
	defer first.Stop()
	a, errFirst := s.readAt(first, order[0], key)
	late := a.age > s.config.MaxStaleness && s.rank(order[1]) == rankGood
	if errFirst == nil && a.settled && a.version.at != 0 && !a.version.before(after) && !late {
		return s.value(key, a)
	}
	b, errSecond := s.readAt(ctx, order[1], key)
	if errFirst != nil && errSecond != nil && first.Err() != nil { // the other one needed nothing of the time that was left to it
		a, errFirst = s.readAt(ctx, order[0], key)
	}
	switch {
	case errFirst != nil && errSecond != nil:
		return service.Value{}, &service.Error{Code: service.CodeNodeUnavailable, Err: errors.Join(errFirst, errSecond),
			Message: "neither node can be read; see /health for what is wrong with them"}
	case errFirst != nil, errSecond == nil && a.supersededBy(b):
		return s.value(key, b)
	}
	return s.value(key, a)
}

// readOnly reads at the node that the caller named, or not at all.
func (s *Store) readOnly(ctx context.Context, name, key string) (service.Value, error) {
	for _, which := range []side{g1, g2} {
		if s.nodes[which].Name() != name {
			continue
		}
		a, err := s.readAt(ctx, which, key)
		if err != nil {
			return service.Value{}, &service.Error{Code: service.CodeNodeUnavailable, Node: name, Err: err,
				Message: name + " cannot be read"}
		}
		return s.value(key, a)
	}
	return service.Value{}, &service.Error{Code: service.CodeBadRequest,
		Message: fmt.Sprintf("no node %q; there are %s and %s", name, service.G1, service.G2)}
}

func (s *Store) value(key string, a answer) (service.Value, error) {
	name := s.nodes[a.from].Name()
	if a.version.at == 0 && !a.settled {
		return service.Value{}, &service.Error{Code: service.CodeRejoining, Node: name,
			Message: name + " does not have the key, but it lost data and is not reconciled yet, and the other node did not answer"}
	}
	if a.version.at == 0 {
		return service.Value{}, &service.Error{Code: service.CodeNotFound, Node: name,
			Message: fmt.Sprintf("the key was never written, as far as %s knows, which may be %s behind", name, a.age.Round(time.Millisecond))}
	}
	// Rounded up: a bound may not lose its fraction.
	return service.Value{Key: key, Value: a.value, Version: a.version.version(), Node: name,
		StalenessMS: int64((a.age + time.Millisecond - 1) / time.Millisecond), Stale: a.age > s.config.MaxStaleness}, nil
}

// readAt reads a register, and in the same breath what the node says about itself: its word on the register counts as
// much as it was reconciled at that moment.
func (s *Store) readAt(ctx context.Context, which side, key string) (answer, error) {
	name := s.nodes[which].Name()
	ctx = s.insist(ctx, which)
	if s.watch[which].heardLately(s.config.Now(), s.config.Timeout) {
		ctx = node.Insist(ctx)
	}
	inc, err := s.nodes[which].Current(ctx)
	if err != nil {
		return answer{}, fmt.Errorf("reading at %s: %w", name, err)
	}
	peer := s.watch[which.peer()].view()
	own := &view{inc: inc, sent: s.config.Now()}
	r, err := s.reads[which].Do(ctx, inc, key)
	alone := errors.Is(err, node.ErrUnconfirmed) && r.after != nil && r.register != nil
	if err != nil && !alone {
		return answer{}, fmt.Errorf("reading at %s: %w", name, err)
	}
	own.clock = r.clock.UnixMicro()
	// Both words count, for the node may be emptied, or catch up, between any two commands.
	own.readMeta(texts(r.after))
	settled, asof := own.settled, own.asof
	own.readMeta(texts(r.before))
	own.settled, own.asof = own.settled && settled, min(own.asof, asof)
	if alone {
		own.settled = false // what the peer has carried over may have gone to another primary: its own word is left
	}
	a := answer{from: which, settled: own.settled, alone: alone, age: staleness(own, peer, s.config.Now())}
	if register := texts(r.register); register[0] != "" {
		if a.version, err = parseStamp(register[0], register[1]); err != nil {
			return answer{}, fmt.Errorf("reading at %s: %w", name, err)
		}
		a.value = register[2]
	}
	return a, nil
}
