package act

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"captop/deploy/stack"
	"captop/service"
)

var (
	// errStuck: an effect that does not show by waiting for it.
	errStuck = errors.New("waiting does not help")
	// errSettling: a service has not settled the node with its peer yet.
	errSettling = errors.New("is settling it")
)

// prove waits for the effect of a plan and says what shows it.
func (e *Engine) prove(ctx context.Context, plan Plan, before Sight, step func(string)) (string, error) {
	gone := plan.Verb == stack.Stop || plan.Verb == stack.Pause || plan.Verb == stack.Cut
	node := isNode(plan.Part.Service)
	switch {
	case gone && node:
		step("waiting until the services notice")
	case gone:
	case node:
		step("waiting until app_cp and app_ap have settled " + plan.Part.Service)
	default:
		step("waiting until " + plan.Part.Instance + " is well")
	}
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	for good := 0; ; {
		facts, missing := e.evidence(ctx, plan, before, gone, node)
		if missing == nil && ctx.Err() == nil { // else nobody was really asked
			// Behind a balancer each answer is another instance's: all of them are wanted.
			if good++; good >= e.answersWanted() || !node {
				return strings.Join(facts, "\n"), nil
			}
			continue
		}
		if errors.Is(missing, errStuck) {
			return "", fmt.Errorf("%w: %w", ErrUnproven, missing)
		}
		good = 0
		select {
		case <-ctx.Done():
			if missing != nil {
				return "", fmt.Errorf("%w (%w): %w", ErrUnproven, missing, ended(ctx))
			}
			return "", fmt.Errorf("%w: %w", ErrUnproven, ended(ctx))
		case <-time.After(pollEvery):
		}
	}
}

// ended says why a wait ended in words.
func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("waited for %s", proofTime)
	}
	return fmt.Errorf("the wait was broken off: %w", ctx.Err())
}

// answersWanted is how many good looks in a row are wanted, so that every instance has been heard.
func (e *Engine) answersWanted() int {
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	parts, err := e.Stack.Parts(ctx)
	if err != nil {
		return 1
	}
	most, count := 1, map[string]int{}
	for _, part := range parts {
		if isService(part.Service) && part.State == stack.Running {
			count[part.Service]++
			most = max(most, count[part.Service])
		}
	}
	return most
}

// evidence gives what shows that a plan took effect, or what is still missing.
func (e *Engine) evidence(ctx context.Context, plan Plan, before Sight, gone, node bool) (facts []string, missing error) {
	parts, err := e.Stack.Parts(ctx)
	if err != nil {
		return nil, err
	}
	now, err := find(parts, plan.Part)
	if err != nil {
		return nil, err
	}
	for _, verb := range plan.Orders {
		if now.State != "" && !Reached(plan.Part, now, verb) {
			return nil, errors.New(plan.Part.Instance + " is " + word(now))
		}
	}
	facts = []string{plan.Part.Instance + " is " + word(now)}
	if now.State == "" {
		facts = []string{"the command for it has ended well"}
	}
	if !gone && now.Health != "" {
		if now.Health != "healthy" {
			return nil, errors.New(plan.Part.Instance + " is " + now.Health)
		}
		facts[0] += ", " + now.Health
	}
	if !node {
		return facts, nil
	}
	sight := e.Look(ctx)
	if gone {
		return lost(facts, sight, plan.Part.Service)
	}
	return e.settled(facts, sight, before, plan)
}

// lost wants no service to reach the node.
func lost(facts []string, sight Sight, node string) ([]string, error) {
	var without []string
	for _, view := range sight.Views {
		if view.Err != nil {
			continue // one that does not answer reaches nothing for anybody
		}
		for _, seen := range view.Health.Nodes {
			if seen.Name == node && seen.Reachable {
				return nil, errors.New(view.Service + " still reaches " + node)
			}
		}
		without = append(without, view.Service)
	}
	if len(without) > 0 {
		facts = append(facts, strings.Join(without, " and ")+" cannot reach "+node)
	}
	return facts, nil
}

// settled wants the node to answer, under a new run id after a restart, and every service to use it.
func (e *Engine) settled(facts []string, sight, before Sight, plan Plan) ([]string, error) {
	name := plan.Part.Service
	is, was := sight.Nodes[name], before.Nodes[name]
	if !is.Up {
		return nil, errors.New(name + " does not answer: " + is.Why)
	}
	restarted := plan.Verb == stack.Restart || plan.Verb == stack.Start
	if restarted && is.RunID != "" {
		if was.RunID != "" && (strings.HasPrefix(is.RunID, was.RunID) || strings.HasPrefix(was.RunID, is.RunID)) {
			return nil, fmt.Errorf("%s still has the run id %.8s", name, is.RunID)
		}
		former := was.RunID
		if former == "" {
			former = "none"
		}
		facts = append(facts, fmt.Sprintf("%s answers PING under a new run id: %.8s, before %.8s", name, is.RunID, former))
	}
	var using []string
	for i, view := range sight.Views {
		if view.Err != nil && i < len(before.Views) && before.Views[i].Err != nil {
			continue // it did not answer before either
		}
		if err := unsettled(view, name, is.RunID); err != nil {
			if peer := service.Peer(name); sight.Nodes[peer].Emptied && errors.Is(err, errSettling) {
				return nil, fmt.Errorf("%w: %s cannot settle %s, for %s was %s: restart %s next", errStuck, view.Service, name, peer, service.Emptied, peer)
			}
			if held := sight.Nodes[name].Held; held != "" && errors.Is(err, errSettling) {
				return nil, fmt.Errorf("%w: %s cannot settle %s: %s: restart %s next", errStuck, view.Service, name, held, service.Peer(name))
			}
			return nil, fmt.Errorf("%s %w", view.Service, err)
		}
		using = append(using, view.Service)
	}
	if len(using) > 0 {
		facts = append(facts, strings.Join(using, " and ")+" have settled it with its peer and use it")
	}
	return facts, nil
}

// unsettled says why a service is not well with this run of a node yet.
func unsettled(view View, node, run string) error {
	if view.Err != nil {
		return fmt.Errorf("does not say: %s", brief(view.Err))
	}
	known := run == ""
	for _, n := range view.Health.Nodes {
		if n.Name != node {
			continue
		}
		switch {
		case !n.Reachable:
			return fmt.Errorf("cannot reach %s", n.Name)
		case n.Rejoin.Active:
			return fmt.Errorf("%w: %d of %d keys of %s so far", errSettling, n.Rejoin.Done, n.Rejoin.Total, n.Name)
		case n.Breaker != service.BreakerClosed.String():
			return fmt.Errorf("has a breaker before %s that is %s", n.Name, n.Breaker)
		case n.RunID != "" && (strings.HasPrefix(run, n.RunID) || strings.HasPrefix(n.RunID, run)):
			known = true
		}
	}
	if !known {
		return errors.New("still knows the former run only")
	}
	return nil
}
