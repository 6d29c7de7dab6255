package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"captop/deploy/act"
	"captop/deploy/journal"
	acting "captop/deploy/stack"
	"captop/probes"
	"captop/service"
	"captop/tui"
)

// The screen looks that often which parts there are, and waits that long for an answer.
const (
	partsEvery = 2 * time.Second
	partsTime  = 20 * time.Second
)

// deeds are what the screen can do to a stack.
type deeds struct {
	ctx    context.Context // of the acts: they go on when the screen is gone
	engine *act.Engine
	demo   bool                          // nothing is at stake
	parts  atomic.Pointer[[]acting.Part] // as they were seen last
	keys   atomic.Pointer[[]tui.Action]  // what has a key, for these parts
}

// keyed are what has a key of its own: on db_g2, which is where a room wants to see a partition.
var keyed = []struct {
	key  string
	verb acting.Verb
}{{"r", acting.Restart}, {"c", acting.Cut}, {"p", acting.Pause}, {"h", acting.Heal}, {"S", acting.Stop}, {"B", acting.Start}}

// keyedFor gives the actions that have a key where there are these parts.
func (d *deeds) keyedFor(parts []acting.Part) []tui.Action {
	var actions []tui.Action
	for _, k := range keyed {
		if _, err := d.engine.Plan(parts, act.Sight{}, k.verb, service.G2); errors.Is(err, acting.ErrUnsupported) || errors.Is(err, acting.ErrNoPart) {
			continue
		}
		now := func() tui.Action { return d.action(k.verb, service.G2) }
		action := now()
		action.Key, action.Now = k.key, now
		actions = append(actions, action)
	}
	return actions
}

// offered are the actions that have a key now.
func (d *deeds) offered() ([]tui.Action, error) { return *d.keys.Load(), nil }

// follow looks which parts there are until ctx ends.
func (d *deeds) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(partsEvery):
		}
		d.refresh(ctx)
	}
}

// refresh looks which parts there are. What cannot be asked now stays as it was: an act looks again before it begins.
func (d *deeds) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, partsTime)
	defer cancel()
	_ = d.look(ctx)
}

// look looks which parts there are.
func (d *deeds) look(ctx context.Context) error {
	parts, err := d.engine.Stack.Parts(ctx)
	if err != nil {
		return err
	}
	d.parts.Store(&parts)
	keys := d.keyedFor(parts)
	d.keys.Store(&keys)
	return nil
}

// more is everything that can be done to any part.
func (d *deeds) more() []tui.Action {
	var all []tui.Action
	for _, verb := range act.Verbs {
		for _, name := range act.Names(*d.parts.Load()) {
			all = append(all, d.action(verb, name))
		}
	}
	return all
}

// remedy is the act that helps in the place of one that a verdict names, as the stack knows its parts.
func (d *deeds) remedy(proposed string) (better, fact string) {
	verb, name, _ := strings.Cut(proposed, " ")
	helps, fact := act.Remedy(*d.parts.Load(), acting.Verb(verb), name)
	if helps == "" {
		return "", fact
	}
	return string(helps) + " " + name, fact
}

// action is one verb on one name, as things stand.
func (d *deeds) action(verb acting.Verb, name string) tui.Action {
	parts := *d.parts.Load()
	plans, err := d.engine.Plan(parts, act.Sight{}, verb, name)
	action := tui.Action{Name: string(verb) + " " + name, Confirm: tui.ConfirmAsk, Run: d.run(verb, name)}
	if err != nil {
		action.Check = func(*probes.Snapshot) error { return err }
		return action
	}
	var commands []string
	for _, plan := range plans {
		commands = append(commands, plan.Command)
		action.Explain = plan.Explain
		if plan.Typed != "" {
			action.Confirm, action.Subject = tui.ConfirmType, plan.Typed
		}
	}
	if d.demo && (verb == acting.Cut || verb == acting.Pause || verb == acting.Heal || verb == acting.Start) {
		action.Confirm = tui.ConfirmNone
	}
	action.Command = strings.Join(commands, " && ")
	action.Check = func(snapshot *probes.Snapshot) error {
		if snapshot == nil {
			return errNotHeard
		}
		for _, plan := range plans {
			if err := act.Interlock(*d.parts.Load(), sightOf(snapshot), verb, current(*d.parts.Load(), plan.Part)); err != nil {
				return err
			}
		}
		return nil
	}
	return action
}

// errNotHeard: a key came before the first answers did.
var errNotHeard = fmt.Errorf("%w: captop has just started and has not heard from the nodes yet; try again in a moment", act.ErrRefused)

// current is a part as it was seen last.
func current(parts []acting.Part, wanted acting.Part) acting.Part {
	for _, part := range parts {
		if part.Instance == wanted.Instance {
			return part
		}
	}
	return wanted
}

// run does it. It goes on when the screen that began it is gone.
func (d *deeds) run(verb acting.Verb, name string) func(context.Context, func(string)) (string, error) {
	return func(_ context.Context, progress func(string)) (string, error) {
		defer d.refresh(d.ctx)
		progress("looking which parts the stack has") // an engine under load takes its time over that
		parts, err := d.engine.Stack.Parts(d.ctx)
		if err != nil {
			return "", err
		}
		plans, err := d.engine.Plan(parts, d.engine.Look(d.ctx), verb, name)
		if err != nil {
			return "", err
		}
		var proofs []string
		for _, plan := range plans {
			proof, err := d.engine.Do(d.ctx, plan, progress)
			if err != nil {
				return strings.Join(proofs, "\n"), err
			}
			proofs = append(proofs, proof)
		}
		return strings.Join(proofs, "\n"), nil
	}
}

// sightOf is what a snapshot says of the nodes, for an interlock.
func sightOf(snapshot *probes.Snapshot) act.Sight {
	sight := act.Sight{At: snapshot.At, Nodes: map[string]act.Node{}}
	for _, n := range snapshot.Nodes {
		node := act.Node{Known: n.Reach.Contact == probes.Up, Up: n.Reach.Contact == probes.Up}
		if !node.Up {
			node.Why = n.Reach.Contact.String()
		}
		if info := n.Info; node.Up && info.Freshness(snapshot.At, snapshot.Poll) != probes.FreshnessUnknown {
			node.RunID, node.Evicted = info.Value.RunID, info.Value.EvictedKeys > 0
			switch p := info.Value.Persistence; {
			case p.RDBSaving:
				node.Saving = "BGSAVE"
			case p.AOFRewriting:
				node.Saving = "AOF rewrite"
			}
		}
		for _, s := range snapshot.Services {
			for _, l := range s.Links {
				if l.Node != n.Name || l.Seen.Freshness(snapshot.At, snapshot.Poll) == probes.FreshnessUnknown {
					continue
				}
				node.Known = true
				if l.Seen.Value.Reachable {
					node.Up = true
				}
			}
		}
		if r := n.Rejoin; r.Known && r.Value.Active {
			node.Rejoins(n.Name, r.Value.By, r.Value.Rejoin)
		}
		sight.Nodes[n.Name] = node
	}
	return sight
}

// tell gives what others do to any stack, and what was found without an end, as events.
func (d *deeds) tell(ctx context.Context, events chan<- probes.Event) {
	send := func(event probes.Event) bool {
		select {
		case events <- event:
			return true
		case <-ctx.Done():
			return false
		}
	}
	found, err := d.engine.Recover(d.ctx)
	if err != nil && ctx.Err() == nil {
		send(probes.Event{At: time.Now(), Severity: probes.Warning, Kind: "action", Target: "captop", Text: "the journal: " + err.Error()})
	}
	recovered := map[string]bool{}
	for _, r := range found {
		recovered[r.ID] = true
		severity := probes.Warning
		if r.Outcome == journal.Failed {
			severity = probes.Critical
		}
		send(probes.Event{At: time.Now(), Severity: severity, Kind: "action", Target: "captop", Text: abandoned(r)})
	}
	open := map[string]*journal.Record{}
	since := time.Now().Add(-toldBack)
	for tail := d.engine.Journal.Tail(); ; {
		lines, _ := tail.Next() // what cannot be read now is read the next time
		for _, line := range lines {
			r := open[line.ID]
			if r == nil {
				r = &journal.Record{}
				open[line.ID] = r
			}
			r.Add(line)
			if line.Kind == journal.Step || line.At.Before(since) || d.engine.Mine(line.ID) || recovered[line.ID] {
				continue
			}
			if !send(actEvent(line.Kind, r)) {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// toldBack is how far the screen's events go back in the journal.
const toldBack = time.Hour

// actEvent is the begin or the end of an act of somebody else.
func actEvent(kind journal.Kind, r *journal.Record) probes.Event {
	event := probes.Event{At: r.Began, Severity: probes.OK, Kind: "action", Target: "captop", Text: r.What + ": begun by " + r.Who}
	if kind == journal.Begin {
		return event
	}
	event.At, event.Text = r.Ended, fmt.Sprintf("%s by %s: %s", r.What, r.Who, r.Outcome)
	if r.Error != "" {
		event.Severity, event.Text = probes.Critical, event.Text+": "+r.Error
	} else if r.Proof != "" {
		event.Text += "\n" + r.Proof
	}
	return event
}

// merged gives the events of both channels; nil is a channel on which nothing comes.
func merged(ctx context.Context, a, b <-chan probes.Event) <-chan probes.Event {
	out := make(chan probes.Event)
	go func() {
		defer close(out)
		for a != nil || b != nil {
			var event probes.Event
			var ok bool
			select {
			case <-ctx.Done():
				return
			case event, ok = <-a:
				if !ok {
					a = nil
					continue
				}
			case event, ok = <-b:
				if !ok {
					b = nil
					continue
				}
			}
			select {
			case out <- event:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
