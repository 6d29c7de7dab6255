package act

import (
	"fmt"
	"strings"

	"captop/deploy/stack"
	"captop/service"
)

func isNode(name string) bool    { return name == service.G1 || name == service.G2 }
func isService(name string) bool { return strings.HasPrefix(name, "app_") }

// takes says whether a verb takes a part away, if only for a moment.
func takes(verb stack.Verb) bool {
	return verb == stack.Stop || verb == stack.Restart || verb == stack.Pause || verb == stack.Cut
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, args...))
}

// Interlock gives the reason why something must not be done now, with what would do; nil if it may. It is a pure function
// of what is known.
func Interlock(parts []stack.Part, sight Sight, verb stack.Verb, part stack.Part) error {
	if why := stateRefusal(part, verb); why != nil {
		return why
	}
	switch {
	case !takes(verb):
		return nil
	case isNode(part.Service):
		return nodeRefusal(parts, sight, verb, part)
	case isService(part.Service):
		return lastRefusal(parts, verb, part)
	}
	return nil
}

// stateRefusal is about the part itself.
func stateRefusal(part stack.Part, verb stack.Verb) error {
	is := func(state stack.State) bool { return part.State == state }
	switch {
	case is(stack.Paused) && (verb == stack.Restart || verb == stack.Stop || verb == stack.Start):
		return refuse("%s is paused; heal it first", name(part))
	case is(stack.Paused) && verb == stack.Pause:
		return refuse("%s is paused already; heal ends that", name(part))
	case part.Cut && verb == stack.Cut:
		return refuse("%s is cut off already; heal ends that", name(part))
	case part.Cut && verb == stack.Restart:
		return refuse("%s is cut off, so that the services could not settle it; heal it first", name(part))
	case is(stack.Running) && verb == stack.Start:
		return refuse("%s runs already; restart stops and starts it", name(part))
	case is(stack.Running) && verb == stack.Unpause:
		return refuse("%s is not paused", name(part))
	case verb == stack.Heal && !part.Cut && !is(stack.Paused):
		return refuse("%s is neither cut off nor paused", name(part))
	case is(stack.Stopped) && (verb == stack.Stop || verb == stack.Pause || verb == stack.Unpause || verb == stack.Cut):
		return refuse("%s is stopped; start starts it", name(part))
	}
	return nil
}

// nodeRefusal keeps a node that serves from being taken away while its peer could not stand in for it.
func nodeRefusal(parts []stack.Part, sight Sight, verb stack.Verb, part stack.Part) error {
	node := sight.Nodes[part.Service]
	peer := service.Peer(part.Service)
	if node.Saving != "" && verb != stack.Cut {
		return refuse("%s is saving (%s); wait until that is done", part.Service, node.Saving)
	}
	if part.State == stack.Stopped || node.Known && !node.Up {
		return nil // it serves nobody, so nothing is taken away
	}
	for _, other := range parts {
		if other.Service == peer && (other.State == stack.Stopped || other.State == stack.Paused || other.Cut) {
			return refuse("%s is %s: without %s too, nothing would answer; first %s", peer, word(other), part.Service, remedy(other))
		}
	}
	switch other := sight.Nodes[peer]; {
	case !other.Known:
		return refuse("nobody can tell whether %s is well: neither a service nor captop reaches it", peer)
	case !other.Up:
		return refuse("%s is down (%s): without %s too, nothing would answer", peer, other.Why, part.Service)
	case (node.Emptied || other.Held != "") && verb == stack.Restart:
		return nil // nothing else helps it, or its peer
	case other.Emptied:
		return refuse("%s was %s, and only %s knows what it has forgotten; first restart %s", peer, service.Emptied, part.Service, peer)
	case other.Evicted && !node.Evicted:
		return refuse("%s %s, and only %s has them; first restart %s", peer, service.Evicted, part.Service, peer)
	case other.Settling != "":
		return refuse("%s; wait until that is done", other.Settling)
	case node.Settling != "":
		return refuse("%s; wait until that is done", node.Settling)
	}
	return nil
}

// lastRefusal keeps the last instance of a service that is well from being taken away. Where there is one only, a restart
// is the one way to renew it, and allowed.
func lastRefusal(parts []stack.Part, verb stack.Verb, part stack.Part) error {
	if !well(part) {
		return nil
	}
	others, sick := 0, []string{}
	for _, other := range parts {
		if other.Service != part.Service || other.Instance == part.Instance {
			continue
		}
		if others++; well(other) {
			return nil
		}
		sick = append(sick, other.Instance)
	}
	switch {
	case others > 0:
		return refuse("%s is the last instance of %s that is well; first bring %s back", part.Instance, part.Service, strings.Join(sick, ", "))
	case verb != stack.Restart:
		return refuse("%s is the only instance of %s: nobody would answer; start a second one first (docker-compose up -d --scale %s=2)",
			part.Instance, part.Service, part.Service)
	}
	return nil
}

func well(part stack.Part) bool {
	return part.State == stack.Running && !part.Cut && (part.Health == "" || part.Health == "healthy")
}

// atStake says whether the name is to be typed: data is at stake, or all of a service.
func atStake(parts []stack.Part, verb stack.Verb, part stack.Part) bool {
	if !takes(verb) {
		return false
	}
	if isNode(part.Service) {
		return verb == stack.Stop
	}
	others := 0
	for _, other := range parts {
		if other.Service == part.Service && other.Instance != part.Instance && well(other) {
			others++
		}
	}
	return others == 0 && (isService(part.Service) || part.Service == "haproxy")
}
