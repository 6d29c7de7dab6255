package record

import (
	"context"
	"fmt"
	"time"

	"captop/probes"
)

// Span is a part of a recording.
type Span struct{ From, To time.Time } // both count; zero is the beginning, or the end

// Replay gives visit each Snapshot of a part, under rules in the place of those recorded unless they are nil. What is
// before the part is replayed as far as alerts need it, and not given; nor is the warm-up of a slice. An error of visit
// ends it.
func (r *Recording) Replay(ctx context.Context, span Span, rules *Rules, visit func(*probes.Snapshot) error) ([]Damage, error) {
	header, err := r.Header()
	if err != nil {
		return nil, err
	}
	if span.From.Before(header.Begins) {
		span.From = header.Begins
	}
	var begin time.Time
	if !span.From.IsZero() {
		begin = span.From.Add(-header.warmup(rules))
	}
	player, err := r.Play(begin, rules)
	if err != nil {
		return nil, err
	}
	defer player.Close()
	for {
		if err := ctx.Err(); err != nil {
			return player.Damage(), fmt.Errorf("replaying %s: %w", r.Name(), err)
		}
		snapshot, err := player.Next()
		switch {
		case ended(err), err == nil && !span.To.IsZero() && snapshot.At.After(span.To):
			return player.Damage(), nil
		case err != nil:
			return player.Damage(), err
		case snapshot.At.Before(span.From):
			continue
		}
		if err := visit(snapshot); err != nil {
			return player.Damage(), err
		}
	}
}
