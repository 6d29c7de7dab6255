package ap

import "time"

// staleness bounds how far a node is behind at now, never from below: the age of the oldest acknowledged write that it
// may lack. own is what the node said of itself, peer what its peer said, nil if they never did. For a read, peer must
// be from before the read: a write that comes over in between leaves no mark. There are two ways to know:
//
// By its peer's marks. What the peer took before it was polled and did not mark is on this node, if this node is
// reconciled. So the node lacks nothing older than the oldest mark, and, without marks, than the poll. While the peer
// can't be reached the poll grows older, and the bound with it.
//
// By its own word. Its asof says up to when it had everything; it holds for a copy of the node too, for asof is as old
// as the copy. A node that knows nothing has no asof: it is behind since 1970.
func staleness(own, peer *view, now time.Time) time.Duration {
	if own == nil {
		return now.Sub(time.UnixMicro(0))
	}
	bound := time.Duration(own.clock-own.asof)*time.Microsecond + now.Sub(own.sent)
	if own.settled && peer != nil && peer.settled {
		bound = min(bound, now.Sub(peer.complete()))
	}
	return max(bound, 0)
}

// complete is the local time before which the peer has everything that the viewed node took.
func (v *view) complete() time.Time {
	if v.oldest == 0 {
		return v.sent
	}
	return v.sent.Add(-max(0, time.Duration(v.clock-v.oldest)*time.Microsecond))
}

// asof is the same for a node and in its clock, if it can be told now: not, where one of the two is not reconciled.
func (s *Store) asof(which side) (own *view, at int64, ok bool) {
	own, peer := s.watch[which].view(), s.watch[which.peer()].view()
	if own == nil || peer == nil || !own.settled || !peer.settled {
		return nil, 0, false
	}
	complete := peer.complete()
	if own.sent.Before(complete) {
		complete = own.sent // later another primary of its group may have taken its place, and the peer's writes
	}
	// own.clock was read no later than own.got: taking it for got's reading errs towards an older instant.
	return own, own.clock + complete.Sub(own.got).Microseconds(), true
}
