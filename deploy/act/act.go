// Package act does things to a stack as they should be done: it says why not where something stands in the way, does one
// thing at a time, proves that it took effect, and keeps a journal of it. Screens and commands act through it alike.
package act

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"captop/deploy/journal"
	"captop/deploy/stack"
	"captop/service/api"
)

// Errors that callers tell apart.
var (
	ErrRefused  = errors.New("refused")                            // an interlock, or somebody else at it; nothing was done
	ErrUndone   = errors.New("nothing of it took effect")          //
	ErrUnproven = errors.New("it was done, but nothing proves it") // its effect did not show in time
)

// Bounds of time. What is begun is not broken off by an impatient caller: only these end it.
const (
	doingTime = 3 * time.Minute  // the order to the stack, with the grace that a container has to end
	stateTime = 45 * time.Second // after an order whose answer was lost: until the stack can be asked what came of it
	proofTime = 2 * time.Minute  // until an effect shows
	lookTime  = 2 * time.Second  // one look at a service or a node
)

// Service is where a service answers: one instance, or what stands before several.
type Service struct {
	Name   string // app_cp, app_ap
	Client *api.Client
}

// Engine acts on one stack. Its methods are safe for concurrent use.
type Engine struct {
	Stack    stack.Stack
	Services []Service
	Nodes    map[string]string // Redis URLs by name, as captop reaches them; those that it does not are asked through the services
	Journal  journal.File
	Who      string // as journal.Who gives it
	Seat     string // as journal.Seat gives it
	Now      func() time.Time

	running sync.WaitGroup
	mine    sync.Map // the ids of this engine's acts
}

// Mine reports whether an act in the journal is this engine's.
func (e *Engine) Mine(id string) bool {
	_, ok := e.mine.Load(id)
	return ok
}

// Wait waits until what is under way has ended.
func (e *Engine) Wait() { e.running.Wait() }

// Do does what a plan says: under the stack's lock it looks again whether it may, notes the begin, gives the order, waits
// for the effect, and notes the end. It names each step to progress. The proof is a fact a line. Once the order is given
// the end of ctx stops only the wait for the proof.
func (e *Engine) Do(ctx context.Context, plan Plan, progress func(string)) (proof string, err error) {
	e.running.Add(1)
	defer e.running.Done()
	if plan.Verb != stack.Heal { // which ends what another act may be waiting for
		release, err := e.lock(plan)
		if err != nil {
			return "", err
		}
		defer release()
	}
	progress("looking at " + plan.Part.Instance + " and what stands beside it")
	plan, sight, err := e.again(ctx, plan)
	if err != nil {
		return "", err
	}
	open, err := e.Journal.Begin(journal.Act{Who: e.Who, Seat: e.Seat, Stack: e.Stack.About(), What: plan.Title(),
		Verb: string(plan.Verb), Instance: plan.Part.Instance, Command: plan.Command, Before: sight.of(plan.Part)})
	if err != nil { // a full disk must not keep anybody from acting
		progress("NOT JOURNALLED: " + err.Error())
	} else {
		e.mine.Store(open.ID, nil)
	}
	step := func(text string) {
		if open != nil {
			_ = open.Step(text) // what cannot be written is on the screen
		}
		progress(text)
	}
	proof, err = e.perform(ctx, plan, sight, step)
	if open != nil {
		after := e.after(plan.Part)
		if end := open.End(journal.Result{Outcome: outcome(err), Proof: proof, Error: text(err), After: after}); end != nil {
			progress("NOT JOURNALLED: " + end.Error())
		}
	}
	return proof, err
}

func outcome(err error) journal.Outcome {
	switch {
	case err == nil:
		return journal.Done
	case errors.Is(err, ErrUndone):
		return journal.Undone
	case errors.Is(err, context.Canceled):
		return journal.Unknown
	}
	return journal.Failed
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// again plans anew from how things stand now.
func (e *Engine) again(ctx context.Context, plan Plan) (Plan, Sight, error) {
	parts, err := e.Stack.Parts(ctx)
	if err != nil {
		return plan, Sight{}, err
	}
	sight := e.Look(ctx)
	part, err := find(parts, plan.Part)
	if err != nil {
		return plan, sight, err
	}
	fresh, err := e.plan(parts, sight, plan.Verb, part)
	if err != nil {
		return plan, sight, err
	}
	return fresh, sight.with(parts), fresh.Refused
}

func find(parts []stack.Part, wanted stack.Part) (stack.Part, error) {
	for _, part := range parts {
		if part.Service == wanted.Service && part.Instance == wanted.Instance {
			return part, nil
		}
	}
	return wanted, fmt.Errorf("%s: %w", wanted.Instance, stack.ErrNoPart)
}

// perform gives the orders and waits for their effect.
func (e *Engine) perform(ctx context.Context, plan Plan, before Sight, step func(string)) (string, error) {
	began := e.Now()
	for _, verb := range plan.Orders {
		step(gerund(verb) + " " + plan.Part.Instance)
		if err := e.order(ctx, plan.Part, verb, step); err != nil {
			return "", err
		}
	}
	proof, err := e.prove(ctx, plan, before, step)
	if err != nil {
		return proof, err
	}
	return fmt.Sprintf("%s\nfrom the order to the proof it took %s", proof, e.Now().Sub(began).Round(10*time.Millisecond)), nil
}

// order has the stack do it. When the answer is an error, what counts is what came of it: the engine may have done it, and
// the connection to it may have broken before it could say so.
func (e *Engine) order(ctx context.Context, part stack.Part, verb stack.Verb, step func(string)) error {
	doing, cancel := context.WithTimeout(context.WithoutCancel(ctx), doingTime)
	defer cancel()
	refusal := e.Stack.Do(doing, part, verb)
	if refusal == nil {
		return nil
	}
	step("no good answer (" + refusal.Error() + "); looking what came of it")
	now, err := e.await(context.WithoutCancel(ctx), part, verb)
	switch {
	case err != nil:
		return fmt.Errorf("%w; and what came of it cannot be told: %w", refusal, err)
	case Reached(part, now, verb):
		step("it was done all the same")
		return nil
	case now.State == "": // a command of the user's own, which may have done half of its work
		return fmt.Errorf("%w; what came of it cannot be seen from here", refusal)
	case now.State == part.State && now.Cut == part.Cut:
		return fmt.Errorf("%w: %w", ErrUndone, refusal)
	}
	return fmt.Errorf("%w; %s is %s now: %s", refusal, part.Instance, word(now), remedy(now))
}

// await gives the part as soon as the stack can be asked again, and gives an order that is still under way some time.
func (e *Engine) await(ctx context.Context, was stack.Part, verb stack.Verb) (stack.Part, error) {
	ctx, cancel := context.WithTimeout(ctx, stateTime)
	defer cancel()
	part, known := was, false
	var last error
	for polls := 0; ; polls++ {
		parts, err := e.Stack.Parts(ctx)
		if err == nil {
			part, err = find(parts, was)
		}
		if last = err; err == nil {
			known = true
			if Reached(was, part, verb) || polls >= settlePolls {
				return part, nil
			}
		}
		select {
		case <-ctx.Done():
			if known {
				return part, nil
			}
			return was, last
		case <-time.After(pollEvery):
		}
	}
}

// The pace at which an effect is waited for.
const (
	pollEvery   = 200 * time.Millisecond
	settlePolls = 15
)

// Reached says whether a part is as a verb wants it. was is how it was before.
func Reached(was, now stack.Part, verb stack.Verb) bool {
	switch verb {
	case stack.Start, stack.Unpause:
		return now.State == stack.Running
	case stack.Restart:
		return now.State == stack.Running && now.Since.After(was.Since)
	case stack.Stop:
		return now.State == stack.Stopped
	case stack.Pause:
		return now.State == stack.Paused
	case stack.Cut:
		return now.Cut
	case stack.Heal:
		return !now.Cut
	}
	return false
}

// word is the state of a part in a word.
func word(part stack.Part) string {
	switch {
	case part.State == "":
		return "in a state that nobody can tell"
	case part.Cut:
		return string(part.State) + " and cut off"
	}
	return string(part.State)
}

// mends is the verb that brings a part back; "" where the stack sees nothing wrong with it.
func mends(part stack.Part) stack.Verb {
	switch {
	case part.State == stack.Stopped:
		return stack.Start
	case part.State == stack.Paused || part.Cut:
		return stack.Heal
	}
	return ""
}

// remedy is what brings a part back, in words.
func remedy(part stack.Part) string {
	switch mends(part) {
	case stack.Start:
		return "captop start " + part.Instance + " starts it"
	case stack.Heal:
		return "captop heal " + part.Instance + " brings it back"
	}
	return "nothing more is to be done"
}

func gerund(verb stack.Verb) string {
	switch verb {
	case stack.Stop, stack.Cut:
		return string(verb) + string(verb[len(verb)-1]) + "ing"
	case stack.Pause, stack.Unpause:
		return strings.TrimSuffix(string(verb), "e") + "ing"
	}
	return string(verb) + "ing"
}

// after is how things stand at the end, for the journal.
func (e *Engine) after(part stack.Part) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*lookTime)
	defer cancel()
	sight := e.Look(ctx)
	if parts, err := e.Stack.Parts(ctx); err == nil {
		sight = sight.with(parts)
	}
	return sight.of(part)
}
