package act

import (
	"context"
	"errors"
	"fmt"

	"captop/deploy/journal"
	"captop/deploy/stack"
)

// Recover looks at what was begun on this stack by processes that are gone, finds out what came of each, and ends it in
// the journal. It gives what it has found, the oldest first.
func (e *Engine) Recover(ctx context.Context) ([]journal.Record, error) {
	abandoned, err := e.Journal.Abandoned()
	if err != nil {
		return nil, err
	}
	var found []journal.Record
	for _, record := range abandoned {
		if record.Stack != e.Stack.About() {
			continue
		}
		if record.Verb == "" { // a rollout, a restore: whoever goes on with it ends it
			record.Outcome, record.Error = journal.Unknown, "it may be half done; the same command again goes on with it"
			found = append(found, record)
			continue
		}
		parts, err := e.Stack.Parts(ctx)
		if err != nil {
			return found, fmt.Errorf("finding out what became of %q: %w", record.What, err)
		}
		open, err := e.Journal.Adopt(record.ID)
		if errors.Is(err, journal.ErrHeld) || errors.Is(err, journal.ErrEnded) {
			continue // another captop was quicker
		}
		if err != nil {
			return found, err
		}
		record.Result = became(record, parts)
		record.By, record.After = e.Who, e.Look(ctx).with(parts).of(stack.Part{Service: serviceOf(parts, record.Instance), Instance: record.Instance})
		record.Ended = e.Now()
		if err := open.End(record.Result); err != nil {
			return found, err
		}
		found = append(found, record)
	}
	return found, nil
}

func serviceOf(parts []stack.Part, instance string) string {
	for _, part := range parts {
		if part.Instance == instance {
			return part.Service
		}
	}
	return ""
}

// became tells from how a part is now what came of an act on it.
func became(record journal.Record, parts []stack.Part) journal.Result {
	now, err := find(parts, stack.Part{Service: serviceOf(parts, record.Instance), Instance: record.Instance})
	if err != nil {
		return journal.Result{Outcome: journal.Unknown, Error: record.Instance + " is not there any more"}
	}
	verb := stack.Verb(record.Verb)
	switch {
	case now.State == "":
		return journal.Result{Outcome: journal.Unknown, Error: "captop was gone in the middle, and nobody can tell what came of it: look at " + now.Instance}
	case Reached(stack.Part{Since: record.Began}, now, verb):
		return journal.Result{Outcome: journal.Done, Proof: fmt.Sprintf("%s is %s: it was done, though captop was gone before its end", now.Instance, word(now))}
	case now.State == stack.Running && !now.Cut:
		return journal.Result{Outcome: journal.Undone, Error: now.Instance + " is running as before: captop was gone before anything took effect"}
	}
	return journal.Result{Outcome: journal.Failed, Error: fmt.Sprintf("captop was gone in the middle, and %s is %s: %s", now.Instance, word(now), remedy(now))}
}
