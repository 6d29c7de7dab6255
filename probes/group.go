package probes

import (
	"cmp"
	"math"
	"slices"
	"time"

	"captop/service"
)

// groupState is all instances of one mode over time.
type groupState struct {
	mode          service.Mode
	latency, rate history
}

// groupsAt sums the instances of each mode up.
func (s *State) groupsAt(now time.Time, views []Service) []Group {
	var groups []Group
	for _, mode := range []service.Mode{service.ModeCP, service.ModeAP} {
		var members []*serviceState
		var shown []Service
		for i, svc := range s.services {
			if svc.view.Mode == mode {
				members, shown = append(members, svc), append(shown, views[i])
			}
		}
		if len(members) > 0 {
			groups = append(groups, s.groupOf(mode).at(now, s.poll, members, shown))
		}
	}
	return groups
}

func (s *State) groupOf(mode service.Mode) *groupState {
	for _, g := range s.groups {
		if g.mode == mode {
			return g
		}
	}
	g := &groupState{mode: mode}
	s.groups = append(s.groups, g)
	return g
}

// at sums up what is fresh. Quantiles come from the summed buckets: those of single instances cannot be averaged.
func (g *groupState) at(now time.Time, poll time.Duration, members []*serviceState, views []Service) Group {
	group := Group{Name: "app_" + string(g.mode), Mode: g.mode, Instances: worstFirst(now, poll, views)}
	sum := increase{failures: map[string]float64{}, from: now}
	var rate float64
	var oldest time.Time
	for i, svc := range members {
		if views[i].Reach.Contact == Up && views[i].Status == "ok" && Read(0, views[i].HealthAt).Freshness(now, poll) != FreshnessUnknown {
			group.Up++
		}
		if svc.view.Rate.Freshness(now, poll) == FreshnessUnknown {
			continue
		}
		rate += svc.view.Rate.Value
		sum.add(svc.sum)
		oldest = earliest(oldest, svc.view.Rate.At)
	}
	p99 := math.NaN()
	if !oldest.IsZero() {
		group.Rate = Read(rate, oldest)
		if sum.requests > 0 {
			group.ErrorRatio = Read(sum.errors/sum.requests, oldest)
		}
		if latency, known := sum.latency(); known {
			group.Latency = Read(latency, oldest)
		}
	} else {
		rate = math.NaN()
	}
	if group.Latency.Freshness(now, poll) == Fresh {
		p99 = float64(group.Latency.Value.P99) / float64(time.Millisecond)
	}
	g.latency.add(now, p99)
	g.rate.add(now, rate)
	group.LatencyHistory, group.LatencyHour = g.latency.minutes(), g.latency.hour()
	group.RateHistory, group.RateHour = g.rate.minutes(), g.rate.hour()
	return group
}

// worstFirst gives the names of services, those that are worst off in front, then by name.
func worstFirst(now time.Time, poll time.Duration, views []Service) []string {
	type ranked struct {
		name    string
		trouble int
	}
	order := make([]ranked, 0, len(views))
	for i := range views {
		order = append(order, ranked{views[i].Name, trouble(now, poll, &views[i])})
	}
	slices.SortStableFunc(order, func(a, b ranked) int { return cmp.Or(b.trouble-a.trouble, cmp.Compare(a.name, b.name)) })
	list := make([]string, 0, len(order))
	for _, r := range order {
		list = append(list, r.name)
	}
	return list
}

// trouble ranks how badly off a service is.
func trouble(now time.Time, poll time.Duration, svc *Service) int {
	switch {
	case svc.Reach.Contact == Down, svc.Reach.Contact == Hung, svc.Reach.Contact == Nonsense:
		return 6
	case svc.Reach.Contact != Up, Read(0, svc.HealthAt).Freshness(now, poll) == FreshnessUnknown:
		return 5
	case svc.Status == "unavailable":
		return 4
	case svc.ErrorRatio.Value > criticalErrors:
		return 3
	case svc.Status == "degraded", svc.Draining:
		return 2
	case svc.Latency.Value.P99 > LatencyLimit:
		return 1
	}
	return 0
}
