package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// lookZones asks the swarm for what runs where. Without one only this host is seen.
func lookZones(ctx context.Context, r *round, v *verdict) {
	swarm, err := r.swarm(ctx)
	switch {
	case err == nil:
		judgeZones(swarm, v)
		return
	case errors.Is(err, ErrNoManager):
		v.cannot("captop doctor zones, on a manager of the swarm: docker info names them", "%v", err)
	case !errors.Is(err, ErrNoSwarm):
		v.cannot("docker node ls, on a manager of the swarm", "the swarm cannot be seen: %v", err)
	}
	r.lookZonesHere(ctx, v)
}

// lookZonesHere never passes: what is together there is in one zone, and of what is apart the zone cannot be seen.
func (r *round) lookZonesHere(ctx context.Context, v *verdict) {
	const fix = "docker stack deploy with deploy/swarm, whose nodes have the label zone; then docker service ps"
	here := map[string]int{}
	r.each(ctx, v, required, func(u Unit) {
		if u.Local {
			here[u.Service]++
		}
	})
	if here["db_g1"] > 0 && here["db_g2"] > 0 {
		v.fail(fix, "both nodes run on this host: whatever takes it away takes both")
		return
	}
	v.cannot(fix, "of the nodes and services %d kinds run on this host, and hosts in other zones cannot be seen from here", len(here))
}

// judgeZones holds where the tasks of a stack run against what has to be apart.
func judgeZones(s Swarm, v *verdict) {
	tasks := map[string][]Task{}
	for _, t := range s.Tasks {
		if t.HostID != "" {
			tasks[t.Service] = append(tasks[t.Service], t)
		}
	}
	for _, name := range required {
		if len(tasks[name]) == 0 {
			v.cannot(fmt.Sprintf("docker service ps --no-trunc %s_%s says why; if no host is in its zone: %s", s.Stack, name, labelHost("HOST")), "of %s no task runs on a host that the swarm knows", name)
		}
	}
	for _, one := range tasks["db_g1"] {
		for _, other := range tasks["db_g2"] {
			judgeNodes(s.Stack, one, other, v)
		}
	}
	for _, name := range services {
		if len(tasks[name]) > 0 {
			judgeInstances(s.Stack, tasks[name], v)
		}
	}
}

// labelHost is the fix for a host without a zone.
func labelHost(host string) string { return "docker node update --label-add zone=ZONE " + host }

// judgeNodes holds the hosts of the two nodes against each other. One host is one zone, with a label or without.
func judgeNodes(stack string, one, other Task, v *verdict) {
	fix := "label hosts of two zones: " + labelHost("HOST") + "; then ZONE_G1=ZONE ZONE_G2=OTHER docker stack deploy -c deploy/swarm/stack.yml " + stack
	switch {
	case one.HostID == other.HostID:
		v.fail(fix, "%s and %s both run on %s: whatever takes it away takes both", one.Service, other.Service, one.place())
	case one.Zone == "":
		v.cannot(labelHost(one.Host), "%s runs on %s, which has no label zone", one.Service, one.Host)
	case other.Zone == "":
		v.cannot(labelHost(other.Host), "%s runs on %s, which has no label zone", other.Service, other.Host)
	default:
		v.expect(one.Zone != other.Zone, fix, "%s runs on %s, %s on %s", one.Service, one.place(), other.Service, other.place())
	}
}

// judgeInstances wants the instances of a service in two zones at least: then one zone that is lost leaves some.
func judgeInstances(stack string, tasks []Task, v *verdict) {
	name := tasks[0].Service
	var zones, unlabelled []string
	for _, t := range tasks {
		switch {
		case t.Zone == "" && !slices.Contains(unlabelled, t.Host):
			unlabelled = append(unlabelled, t.Host)
		case t.Zone != "" && !slices.Contains(zones, t.Zone):
			zones = append(zones, t.Zone)
		}
	}
	slices.Sort(zones)
	switch {
	case len(zones) > 1:
		v.pass("%s runs in the zones %s", name, list(zones))
	case len(unlabelled) > 0:
		v.cannot(labelHost(unlabelled[0]), "%s runs on %s, without a label zone", name, list(unlabelled))
	default:
		v.fail(fmt.Sprintf("docker service update --force %s_%s, once hosts of another zone are there: it spreads them anew", stack, name),
			"of %s %d instances run, all in the zone %s", name, len(tasks), list(zones))
	}
}

// place is where a task runs, in words.
func (t Task) place() string {
	if t.Zone == "" {
		return t.Host + " (no label zone)"
	}
	return t.Host + " (zone " + t.Zone + ")"
}
