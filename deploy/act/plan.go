package act

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"captop/deploy/stack"
)

// ErrSeveral: a name stands for several parts, and this is done to one at a time.
var ErrSeveral = errors.New("name one of them")

// Verbs are what can be done, in the order in which they are offered.
var Verbs = []stack.Verb{stack.Restart, stack.Stop, stack.Start, stack.Pause, stack.Unpause, stack.Cut, stack.Heal}

// Plan is one thing that could be done to one part.
type Plan struct {
	Verb    stack.Verb
	Part    stack.Part
	Orders  []stack.Verb // what the stack is told, in this order: heal ends a pause too
	Command string       // the exact command that it stands for
	Explain string       // a sentence: what it means for the services
	Typed   string       // the name to type where much is at stake; "" where a yes is enough
	Refused error        // an interlock that stands in the way; wraps ErrRefused
}

// Title is verb and object, as the journal has it.
func (p Plan) Title() string { return string(p.Verb) + " " + name(p.Part) }

// name is how a part is called: by its service, and by its instance where that says more.
func name(part stack.Part) string {
	if strings.Contains(part.Instance, part.Service) && !strings.HasSuffix(part.Instance, "1") {
		return part.Instance
	}
	return part.Service
}

// Plan says what a verb would do to the parts that a name stands for: a service, or one instance of it. Several plans are
// done one after the other. Those that an interlock stands in the way of are Refused.
func (e *Engine) Plan(parts []stack.Part, sight Sight, verb stack.Verb, name string) ([]Plan, error) {
	var named []stack.Part
	for _, part := range parts {
		if part.Service == name || part.Instance == name {
			named = append(named, part)
		}
	}
	if len(named) == 0 {
		return nil, fmt.Errorf("%q: %w: it has %s", name, stack.ErrNoPart, strings.Join(Names(parts), ", "))
	}
	if len(named) > 1 {
		// What brings back applies to those that want it, and a restart goes through all of them.
		wants := slices.DeleteFunc(slices.Clone(named), func(part stack.Part) bool { return stateRefusal(part, verb) != nil })
		switch verb {
		case stack.Start, stack.Unpause, stack.Heal:
			if len(wants) > 0 {
				named = wants
			}
		case stack.Restart:
		default:
			return nil, fmt.Errorf("%s are %s: %w", strings.Join(instances(named), ", "), name, ErrSeveral)
		}
	}
	var plans []Plan
	for _, part := range named {
		plan, err := e.plan(parts, sight, verb, part)
		if err != nil {
			return nil, err
		}
		plans = append(plans, plan)
	}
	return plans, nil
}

// Names are what can be named: every service, and the instances of those that have several.
func Names(parts []stack.Part) []string {
	var names []string
	count := map[string]int{}
	for _, part := range parts {
		if count[part.Service]++; count[part.Service] == 1 {
			names = append(names, part.Service)
		}
	}
	for _, part := range parts {
		if count[part.Service] > 1 {
			names = append(names, part.Instance)
		}
	}
	return names
}

// Remedy is what helps the part in the place of verb, which somebody proposes who sees it from outside only: what is stopped
// wants a start, what is paused or cut off is healed, and what is none of that is not. fact is how the part is, where that
// answers what the other could not know. "" for both: as far as the stack can tell there is nothing to be done, or no such part.
func Remedy(parts []stack.Part, verb stack.Verb, service string) (better stack.Verb, fact string) {
	found := false
	for _, part := range parts {
		if part.Service != service {
			continue
		}
		found = true
		switch helps := mends(part); {
		case part.State == "", helps == stack.Start && verb != stack.Heal:
			return verb, ""
		case helps != "":
			return helps, part.Instance + " is " + word(part)
		}
	}
	if found && verb == stack.Restart {
		return verb, ""
	}
	return "", ""
}

func instances(parts []stack.Part) []string {
	var names []string
	for _, part := range parts {
		names = append(names, part.Instance)
	}
	return names
}

func (e *Engine) plan(parts []stack.Part, sight Sight, verb stack.Verb, part stack.Part) (Plan, error) {
	plan := Plan{Verb: verb, Part: part, Orders: orders(verb, part), Explain: explain(verb, part), Refused: Interlock(parts, sight, verb, part)}
	if atStake(parts, verb, part) {
		plan.Typed = name(part)
	}
	var commands []string
	for _, order := range plan.Orders {
		command, err := e.Stack.Command(part, order)
		if err != nil {
			return plan, fmt.Errorf("%s %s: %w", order, name(part), err)
		}
		commands = append(commands, command)
	}
	plan.Command = strings.Join(commands, " && ")
	return plan, nil
}

// orders are what a stack is told for a verb.
func orders(verb stack.Verb, part stack.Part) []stack.Verb {
	if verb != stack.Heal || part.State != stack.Paused {
		return []stack.Verb{verb}
	}
	if part.Cut {
		return []stack.Verb{stack.Unpause, stack.Heal}
	}
	return []stack.Verb{stack.Unpause}
}

// explain is what a verb means for the services.
func explain(verb stack.Verb, part stack.Part) string {
	node := isNode(part.Service)
	switch {
	case verb == stack.Heal:
		return "Ends a cut and a pause."
	case verb == stack.Unpause:
		return part.Service + " goes on where it was stopped."
	case verb == stack.Start && node:
		return "Both services settle it with its peer before they believe it."
	case verb == stack.Start:
		return "Starts what is stopped."
	case verb == stack.Pause && node:
		return part.Service + " keeps its connections and answers nobody, as on a host that hangs."
	case verb == stack.Cut && node:
		return "Both services lose " + part.Service + "; it goes on alone."
	case verb == stack.Restart && node:
		return "app_cp refuses writes meanwhile and app_ap goes on with the other node; both settle it when it is back."
	case verb == stack.Stop && node:
		return "app_cp refuses writes until it is started again; app_ap goes on with the other node."
	case verb == stack.Cut:
		return part.Instance + " loses the nodes: app_cp answers 503 there, and so does app_ap."
	}
	return "Whoever is talking to " + part.Instance + " is turned away meanwhile."
}
