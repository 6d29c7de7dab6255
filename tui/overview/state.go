package overview

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"captop/probes"
	"captop/service"
	"captop/tui/cell"
	"captop/tui/theme"
)

// fresh is how far something seen at a time can be believed now.
func (p painter) fresh(at time.Time) probes.Freshness {
	return probes.Read(true, at).Freshness(p.Now, p.poll)
}

// show writes a reading: plainly while it is fresh, with its age once it is late, as ? when it is not known any more.
func show[T any](p painter, r probes.Reading[T], write func(T) string) string {
	switch r.Freshness(p.Now, p.poll) {
	case probes.Fresh:
		return write(r.Value)
	case probes.Late:
		return p.t.Dim.Render(write(r.Value)) + p.t.At(theme.Warning).Render(" ~"+cell.Age(r.Age(p.Now)))
	}
	return p.t.At(theme.Unknown).Render("?")
}

// contactState is the state of a target that does not answer as it should; ok is false for one that does.
func (p painter) contactState(r probes.Reach) (theme.Level, string, bool) {
	if r.Contact != probes.NotAsked && p.fresh(r.At) == probes.FreshnessUnknown {
		return theme.Unknown, "unseen " + cell.Tight(cell.Age(p.Now.Sub(r.At))), true
	}
	switch r.Contact {
	case probes.Up:
		return theme.OK, "up", false
	case probes.NotAsked:
		return theme.Unknown, "not asked", true
	case probes.Blind:
		return theme.Unknown, "blind", true
	case probes.Loading:
		return theme.Warning, r.Contact.String(), true
	}
	return theme.Critical, r.Contact.String(), true
}

// serviceState is one level and one or two words for a service.
func (p painter) serviceState(s probes.Service) (theme.Level, string) {
	if worst, word, bad := p.contactState(s.Reach); bad {
		return worst, word
	}
	if p.fresh(s.HealthAt) == probes.FreshnessUnknown {
		return theme.Unknown, "no health"
	}
	switch s.Status {
	case "ok":
		return theme.OK, "ok"
	case "degraded", "draining":
		return theme.Warning, s.Status
	case "unavailable":
		return theme.Critical, s.Status
	}
	return theme.Unknown, "no health"
}

// nodeState is one level and one or two words for a node.
func (p painter) nodeState(n probes.Node) (theme.Level, string) {
	if worst, word, bad := p.contactState(n.Reach); bad {
		return worst, word
	}
	if n.Rejoin.Freshness(p.Now, p.poll) != probes.FreshnessUnknown && n.Rejoin.Value.Active {
		return theme.Warning, "rejoins"
	}
	if n.Info.Freshness(p.Now, p.poll) == probes.FreshnessUnknown {
		return theme.Unknown, "no info"
	}
	persistence := n.Info.Value.Persistence
	if len(persistence.Untold) > 0 {
		return theme.Unknown, "disk?"
	}
	if persistence.AOF && !persistence.AOFWriteOK || !persistence.RDBSaveOK {
		return theme.Warning, "no save"
	}
	return theme.OK, "up"
}

// breakerLevel is how bad a breaker's state is.
func breakerLevel(state service.BreakerState) theme.Level {
	switch state {
	case service.BreakerClosed:
		return theme.OK
	case service.BreakerHalfOpen:
		return theme.Warning
	case service.BreakerOpen:
		return theme.Critical
	}
	return theme.Unknown
}

// instances are the services of a mode, the worst first where the snapshot says so.
func instances(s *probes.Snapshot, mode service.Mode) []probes.Service {
	rank := map[string]int{}
	for _, group := range s.Groups {
		for i, name := range group.Instances {
			rank[name] = i
		}
	}
	var all []probes.Service
	for _, one := range s.Services {
		if one.Mode == mode {
			all = append(all, one)
		}
	}
	slices.SortStableFunc(all, func(a, b probes.Service) int { return cmp.Compare(rank[a.Name], rank[b.Name]) })
	return all
}

// badness orders levels: what is not known may be worse than what is degraded.
func badness(l theme.Level) int {
	return [...]int{theme.OK: 0, theme.Warning: 1, theme.Unknown: 2, theme.Critical: 3}[l]
}

// together is the state of several instances: as long as one serves, the others are lost redundancy.
func (p painter) together(all []probes.Service) (theme.Level, string) {
	worst, word, serving := theme.OK, "ok", 0
	for i, s := range all {
		level, says := p.serviceState(s)
		if level == theme.OK || level == theme.Warning {
			serving++
		}
		if i == 0 || badness(level) > badness(worst) {
			worst, word = level, says
		}
	}
	if serving == len(all) || serving == 0 {
		return worst, word
	}
	return theme.Warning, fmt.Sprintf("%d/%d serve", serving, len(all))
}

// group is what is known of all instances of a mode together; an empty one where nothing is.
func (p painter) group(mode service.Mode) probes.Group {
	for _, group := range p.Snapshot.Groups {
		if group.Mode == mode {
			return group
		}
	}
	return probes.Group{Mode: mode}
}
