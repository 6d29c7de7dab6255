package probes

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"captop/probes/alerts"
	"captop/service"
)

// nodeState is one node over time.
type nodeState struct {
	view     Node
	alerts   *alerts.Engine
	rtts     []time.Duration // of the last answers, for the median
	over     bool            // staleness was beyond its limit
	rejoin   bool            // a rejoin was active
	stale    history
	ops      history
	lastInfo Reading[Info]
	about    map[string]string // the labels of redis_instance_info
}

// rttSamples is how many answers the median of the round trip is taken over.
const rttSamples = 5

func newNodeState(target NodeTarget, engine *alerts.Engine) *nodeState {
	return &nodeState{alerts: engine, view: Node{Name: target.Name, URL: bare(target.URL)}}
}

func (n *nodeState) apply(in Input, note func(Event)) {
	contact, problem := in.Fault, in.Error
	var info Info
	if contact == Up {
		var err error
		info, err = parseInfo(in.Body)
		switch {
		case err != nil:
			contact, problem = Nonsense, err.Error()
		case info.Loading:
			contact, problem = Loading, "LOADING: Redis is reading its data from disk"
		}
	}
	reached(&n.view.Reach, n.view.Name, contact, in, problem, note)
	n.export(info, contact, in.At)
	if contact != Up && contact != Loading || info.RunID == "" {
		n.rtts = nil
		return
	}
	if n.lastInfo.Known && n.lastInfo.Value.RunID != info.RunID {
		note(Event{At: in.At, Severity: Warning, Kind: "restart", Target: n.view.Name,
			Text: fmt.Sprintf("%s has restarted: run id %.8s after %.8s", n.view.Name, info.RunID, n.lastInfo.Value.RunID)})
	}
	n.noteAOF(&info.Persistence, in.At, note)
	n.lastInfo = Read(info, in.At)
	n.view.Info = n.lastInfo
	n.rtts = keep(n.rtts, in.Took, rttSamples)
	n.view.RTT = Read(median(last(n.rtts, rttSamples)), in.At)
}

// gather takes the worst that fresh health bodies say of the node, and notes limits crossed and rejoins.
func (n *nodeState) gather(services []Service, now time.Time, poll time.Duration, note func(Event)) {
	n.view.Staleness, n.view.QueueDepth, n.view.Rejoin = Reading[Staleness]{}, Reading[int64]{}, Reading[Rejoining]{}
	for _, svc := range services {
		for _, link := range svc.Links {
			if link.Node != n.view.Name || link.Seen.Freshness(now, poll) == FreshnessUnknown {
				continue
			}
			seen, at := link.Seen.Value, link.Seen.At
			if !n.view.Staleness.Known || worse(seen.Staleness, svc.Limit.Value, n.view.Staleness.Value) {
				n.view.Staleness = Read(Staleness{Value: seen.Staleness, Limit: svc.Limit.Value, By: svc.Name}, at)
			}
			if !n.view.QueueDepth.Known || seen.QueueDepth > n.view.QueueDepth.Value {
				n.view.QueueDepth = Read(seen.QueueDepth, at)
			}
			if !n.view.Rejoin.Known || further(seen.Rejoin, n.view.Rejoin.Value.Rejoin) {
				n.view.Rejoin = Read(Rejoining{Rejoin: seen.Rejoin, By: svc.Name}, at)
			}
		}
	}
	if n.view.Staleness.Value.Value >= unbounded {
		n.view.Staleness = Reading[Staleness]{} // a service cannot tell: that is not known, and no number to draw
	}
	n.noteStaleness(now, note)
	n.noteRejoin(now, note)
}

// unbounded is a staleness that no service has seen grow: a node of which nothing is known counts as behind since 1970.
const unbounded = 10 * 365 * 24 * time.Hour

// worse compares staleness with its limit in mind: what is beyond a limit comes before what is not.
func worse(value, limit time.Duration, than Staleness) bool {
	over, thanOver := limit > 0 && value > limit, than.Limit > 0 && than.Value > than.Limit
	if over != thanOver {
		return over
	}
	return value > than.Value
}

// further says whether rejoin a has more to do than b; one that somebody must act for has the most.
func further(a, b service.Rejoin) bool {
	if a.Active != b.Active {
		return a.Active
	}
	if emptied := a.Waiting == service.Emptied; emptied != (b.Waiting == service.Emptied) {
		return emptied
	}
	return a.Total-a.Done > b.Total-b.Done
}

// noteAOF tells since when a node has no AOF that had one.
func (n *nodeState) noteAOF(is *Persistence, at time.Time, note func(Event)) {
	was := n.lastInfo.Value.Persistence
	switch {
	case is.AOF:
	case was.AOF && !slices.Contains(is.Untold, aofStatus):
		is.AOFOffSince = at
		note(Event{At: at, Severity: Warning, Kind: "persistence", Target: n.view.Name,
			Text: n.view.Name + " has no append-only file any more"})
	default:
		is.AOFOffSince = was.AOFOffSince
	}
}

func (n *nodeState) noteStaleness(now time.Time, note func(Event)) {
	if !n.view.Staleness.Known {
		return
	}
	s := n.view.Staleness.Value
	over := s.Limit > 0 && s.Value > s.Limit
	switch {
	case over && !n.over:
		note(Event{At: now, Severity: Warning, Kind: "staleness", Target: n.view.Name,
			Text: fmt.Sprintf("%s is %s behind, beyond the limit of %s", n.view.Name, Span(s.Value), Span(s.Limit))})
	case !over && n.over:
		note(Event{At: now, Severity: OK, Kind: "staleness", Target: n.view.Name,
			Text: fmt.Sprintf("%s is within its staleness limit of %s again", n.view.Name, Span(s.Limit))})
	}
	n.over = over
}

func (n *nodeState) noteRejoin(now time.Time, note func(Event)) {
	if !n.view.Rejoin.Known {
		return
	}
	r := n.view.Rejoin.Value
	switch {
	case r.Active && !n.rejoin:
		note(Event{At: now, Severity: Warning, Kind: "rejoin", Target: n.view.Name,
			Text: fmt.Sprintf("%s is being settled with its peer, key by key (%s)", n.view.Name, r.By)})
	case !r.Active && n.rejoin:
		note(Event{At: now, Severity: OK, Kind: "rejoin", Target: n.view.Name,
			Text: fmt.Sprintf("%s is settled with its peer", n.view.Name)})
	}
	n.rejoin = r.Active
}

func (n *nodeState) snapshot(now time.Time, poll time.Duration) Node {
	behind, ops := math.NaN(), math.NaN()
	if n.view.Staleness.Freshness(now, poll) == Fresh {
		behind = float64(n.view.Staleness.Value.Value) / float64(time.Millisecond)
	}
	if n.view.Reach.Contact == Up && n.view.Info.Freshness(now, poll) == Fresh {
		ops = n.view.Info.Value.OpsPerSecond
	}
	n.stale.add(now, behind)
	n.ops.add(now, ops)
	view := n.view
	view.StalenessHistory, view.StalenessHour = n.stale.minutes(), n.stale.hour()
	view.OpsHistory, view.OpsHour = n.ops.minutes(), n.ops.hour()
	return view
}

func median(list []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

// export makes series of INFO for rules and queries, under redis_exporter's names. Those of a node that does not answer
// end; redis_up is 0 then.
func (n *nodeState) export(info Info, contact Contact, at time.Time) {
	node := map[string]string{"node": n.view.Name}
	up := 0.0
	if contact == Up || contact == Loading {
		up = 1
	}
	n.alerts.Set("redis_up", node, up, at)
	for name, value := range exported(info) {
		if info.RunID == "" || math.IsNaN(value) {
			n.alerts.End(name, node, at)
		} else {
			n.alerts.Set(name, node, value, at)
		}
	}
	about := map[string]string{"node": n.view.Name, "role": info.Role, "redis_version": info.RedisVersion}
	if n.about != nil && !maps.Equal(n.about, about) {
		n.alerts.End("redis_instance_info", n.about, at)
		n.about = nil
	}
	if info.RunID != "" {
		n.alerts.Set("redis_instance_info", about, 1, at)
		n.about = about
	}
}

// exported are the series of an INFO; what it does not tell is NaN.
func exported(info Info) map[string]float64 {
	yes := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	told := func(status string, ok bool) float64 {
		if slices.Contains(info.Persistence.Untold, status) {
			return math.NaN()
		}
		return yes(ok)
	}
	return map[string]float64{
		"redis_uptime_in_seconds":          info.Uptime.Seconds(),
		"redis_connected_clients":          float64(info.Clients),
		"redis_blocked_clients":            float64(info.BlockedClients),
		"redis_memory_used_bytes":          float64(info.UsedMemory),
		"redis_memory_max_bytes":           float64(info.MaxMemory),
		"redis_loading_dump_file":          yes(info.Loading),
		"redis_aof_enabled":                yes(info.Persistence.AOF),
		"redis_aof_last_write_status":      told(aofStatus, info.Persistence.AOFWriteOK),
		"redis_rdb_last_bgsave_status":     told(rdbStatus, info.Persistence.RDBSaveOK),
		"redis_rdb_bgsave_in_progress":     yes(info.Persistence.RDBSaving),
		"redis_db_keys":                    float64(info.Keys),
		"redis_instantaneous_ops_per_sec":  info.OpsPerSecond,
		"redis_evicted_keys_total":         float64(info.EvictedKeys),
		"redis_rejected_connections_total": float64(info.RejectedConnections),
	}
}
