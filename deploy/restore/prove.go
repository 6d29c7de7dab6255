package restore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"captop/deploy/dbnode"
	"captop/deploy/stack"
	"captop/service"
)

// start starts a node and waits until it has loaded its data.
func (r *Restorer) start(ctx context.Context, _ *Record, n *Node) error {
	if err := r.startPart(ctx, n.Name); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	r.say(Start, "waiting until %s has loaded its data", n.Name)
	last := errors.New("no answer")
	err := await(bounded, "it does not answer", func() (bool, error) {
		part, err := r.part(bounded, n.Name)
		if err != nil {
			return false, err
		}
		if part.State == stack.Stopped {
			return false, errors.New("it ended at its start; its log says why")
		}
		standing, err := dbnode.AskAt(bounded, r.URLs[n.Name])
		last = err
		if err == nil && n.RunBefore != "" && standing.RunID == n.RunBefore {
			return false, fmt.Errorf("it still has the run id %.8s: it did not restart", n.RunBefore)
		}
		n.RunAfter = standing.RunID
		return err == nil && !standing.Loading, nil
	})
	if err != nil && last != nil {
		err = fmt.Errorf("%w (%w)", err, last)
	}
	return err
}

func (r *Restorer) startPart(ctx context.Context, name string) error {
	part, err := r.part(ctx, name)
	if err != nil || part.State == stack.Running {
		return err
	}
	r.say(Start, "starting %s", name)
	if err := r.Stack.Do(ctx, part, stack.Start); err != nil {
		return fmt.Errorf("starting it: %w", err)
	}
	return nil
}

// compare says whether a node has loaded what the backup holds. A node with AOF that found a dump.rdb only has loaded
// nothing, and says so here.
func (r *Restorer) compare(ctx context.Context, record *Record, n *Node) error {
	if record.Kind == Undo || n.Source == "" {
		return nil // what it should hold is not known
	}
	standing, err := dbnode.AskAt(ctx, r.URLs[n.Name])
	if err != nil {
		return err
	}
	if standing.RunID != n.RunAfter {
		return nil // somebody has restarted it since: it began with what it had saved then
	}
	return Holds(standing, n.Keys, n.Expiring)
}

// Holds compares what a node began with, or where it does not tell, what it holds, with what a dump holds.
func Holds(standing dbnode.Standing, keys, expiring int64) error {
	if standing.Loaded >= 0 {
		if standing.Loaded != keys {
			return fmt.Errorf("%w: it loaded %d keys, and the backup holds %d", ErrLost, standing.Loaded, keys)
		}
		return nil
	}
	// The services may have ended their own small keys by now: no more than so many.
	const own = 200
	if least := keys - expiring - own; standing.Keys < least || standing.Keys == 0 && keys > 0 {
		return fmt.Errorf("%w: it holds %d keys, and the backup %d", ErrLost, standing.Keys, keys)
	}
	return nil
}

// settle waits until the services have settled a node, and counts.
func (r *Restorer) settle(ctx context.Context, record *Record, n *Node) error {
	client, err := dbnode.Connect(r.URLs[n.Name])
	if err != nil {
		return err
	}
	defer client.Close()
	wanted, err := r.modes(ctx, record, n)
	if err != nil {
		return err
	}
	r.say(Settle, "waiting until the services have settled %s", n.Name)
	var last settling
	moved := r.Now()
	for {
		state, err := readSettling(ctx, client)
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("waiting until it is settled: %w", err)
		}
		if err == nil && (!wanted.cp || state.cp && state.cpOK) && (!wanted.ap || state.ap && state.apOK) {
			break
		}
		if state != last {
			last, moved = state, r.Now()
			r.Tell(Progress{Step: Settle, Text: "the services settle " + n.Name, Done: state.done, Total: state.total})
		}
		if r.Now().Sub(moved) > r.Patience {
			return fmt.Errorf("%w, and there was no progress for %s: do app_cp and app_ap run? captop backup restore --resume goes on waiting", ErrUnsettled, r.Patience)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookEvery):
		}
	}
	cp, ap, err := ClientKeys(ctx, client, func(seen int64) { r.Tell(Progress{Step: Settle, Text: "counting the keys of " + n.Name, Done: seen}) })
	if err != nil {
		return err
	}
	n.KeysAfter = cp + ap
	if n.CP >= 0 && cp < n.CP || n.AP >= 0 && ap < n.AP {
		return fmt.Errorf("%w: it holds %d keys of CP and %d of AP, and the backup %d and %d", ErrLost, cp, ap, n.CP, n.AP)
	}
	r.say(Settle, "%s is settled and holds %d keys of CP and %d of AP", n.Name, cp, ap)
	return nil
}

// modes says which services use the pair: those that the other node knows, or, where both went back, those that have
// keys in a backup.
func (r *Restorer) modes(ctx context.Context, record *Record, n *Node) (settling, error) {
	if record.Both {
		var s settling
		for _, one := range record.Nodes {
			s.cp, s.ap = s.cp || one.CP > 0, s.ap || one.AP > 0
		}
		return s, nil
	}
	other, err := dbnode.Connect(r.URLs[service.Peer(n.Name)])
	if err != nil {
		return settling{}, err
	}
	defer other.Close()
	return readSettling(ctx, other)
}
