package overview

import (
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
	if persistence := n.Info.Value.Persistence; persistence.AOF && !persistence.AOFWriteOK || !persistence.RDBSaveOK {
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

// worst picks the service of a mode that is worst off, and how many there are.
func (p painter) worst(mode service.Mode) (probes.Service, int) {
	var found probes.Service
	count, badness := 0, -1
	for _, s := range p.Snapshot.Services {
		if s.Mode != mode {
			continue
		}
		count++
		state, _ := p.serviceState(s)
		if rank := [...]int{theme.OK: 0, theme.Warning: 1, theme.Unknown: 2, theme.Critical: 3}[state]; rank > badness {
			found, badness = s, rank
		}
	}
	return found, count
}
