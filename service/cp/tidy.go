package cp

import (
	"context"

	"captop/service/node"
)

// The finishing of acknowledged writes, off their path: what is lost here (a full queue, a crash) is resolved by
// whoever meets the key next.
const (
	tidyQueue   = 8192
	tidyWorkers = 2
	tidyBatch   = 256
)

// leftover is the last step of a write whose caller has its answer.
type leftover struct {
	key string
	inc *node.Incarnation
	t   task
}

// leave queues the step that is left of t, if one is.
func (s *Store) leave(key string, p *pair, t task) {
	if t.step == ended || t.result == pending {
		return
	}
	select {
	case s.tidy <- leftover{key: key, inc: p.incs[head], t: t}:
	default:
	}
}

// tidyUp finishes and drops, as many as wait in one round trip.
func (s *Store) tidyUp(ctx context.Context) {
	batch := make([]leftover, 0, tidyBatch)
	for {
		batch = batch[:0]
		select {
		case <-ctx.Done():
			return
		case first := <-s.tidy:
			batch = append(batch, first)
		}
	more:
		for len(batch) < tidyBatch {
			select {
			case next := <-s.tidy:
				batch = append(batch, next)
			default:
				break more
			}
		}
		s.tidyBatch(ctx, batch)
	}
}

// tidyBatch runs the last steps of a batch, by run of the head: there is one, but for the moment of a restart.
func (s *Store) tidyBatch(ctx context.Context, batch []leftover) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	for len(batch) > 0 {
		var keys []string
		var requests []request
		var later []leftover
		for _, l := range batch {
			if l.inc != batch[0].inc {
				later = append(later, l)
				continue
			}
			keys, requests = append(keys, l.key), append(requests, l.t.request())
		}
		// What fails stays dirty; the resolver comes for it.
		_, _ = sendAll(ctx, batch[0].inc, keys, requests)
		batch = later
	}
}
