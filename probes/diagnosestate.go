package probes

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"captop/service"
)

// Limits from which something is said.
const (
	stuckAfter     = 30 * time.Second       // a breaker that stays OPEN before a node that answers
	slowNode       = 100 * time.Millisecond // median round trip of INFO
	fullMemory     = 0.9                    // share of maxmemory
	fullClients    = 0.9                    // share of maxclients
	quietPolls     = 3                      // without an error: a service has recovered
	warnErrors     = 0.01                   // share of answers of 500 and above
	criticalErrors = 0.05
	fewRequests    = 10               // in the window; fewer are no outage by themselves
	settled        = 10 * time.Second // after a start, before run ids are compared
)

// breakerFindings looks for breakers that hold back from a node that the service reaches.
func breakerFindings(s *Snapshot) []finding {
	var found []finding
	eachLink(s, func(svc Service, link Link) {
		b := link.Breaker
		if b.Freshness(s.At, s.Poll) == FreshnessUnknown || b.Value.State == service.BreakerClosed || !link.Seen.Value.Reachable ||
			!nodeUp(s, link.Node) {
			return
		}
		f := finding{situation: short(svc.Name) + "_breaker", severity: Warning, since: b.Value.Since, follows: link.Node, of: member{svc.Name, svc.Mode, link.Node},
			sentence: fmt.Sprintf("%s's breaker before %s is %s, though the node answers: it is about to try it again.",
				svc.Name, link.Node, b.Value.State),
			next: "Wait for the breaker's next probe."}
		if age := s.At.Sub(b.Value.Since); b.Value.State == service.BreakerOpen && age > stuckAfter {
			f.situation, f.severity, f.follows = short(svc.Name)+"_breaker_stuck", Critical, ""
			f.sentence = fmt.Sprintf("%s's breaker before %s has been OPEN for %s, though the node answers: %s holds back from a healthy node.",
				svc.Name, link.Node, Span(age), svc.Name)
			f.next = fmt.Sprintf("Restart %s, and keep its log.", svc.Name)
			if alone(s, svc.Mode) { // else the others, which are well, would be restarted too
				f.act = "restart " + part(svc)
			}
		}
		found = append(found, f)
	})
	return found
}

// alone says whether one instance of the mode is watched, and no more.
func alone(s *Snapshot, mode service.Mode) bool {
	count := 0
	for i := range s.Services {
		if s.Services[i].Mode == mode {
			count++
		}
	}
	return count == 1
}

func eachLink(s *Snapshot, visit func(Service, Link)) {
	for _, svc := range s.Services {
		if svc.Reach.Contact != Up {
			continue
		}
		for _, link := range svc.Links {
			visit(svc, link)
		}
	}
}

func nodeUp(s *Snapshot, name string) bool { return nodeNamed(s, name).Reach.Contact == Up }

// nodeNamed gives a node, a zero one where captop watches none of that name.
func nodeNamed(s *Snapshot, name string) Node {
	for _, n := range s.Nodes {
		if n.Name == name {
			return n
		}
	}
	return Node{Name: name}
}

// keptByForeignData reports whether a node cannot be settled because its peer holds something else in the place of a key.
func keptByForeignData(n Node) bool {
	return n.Rejoin.Known && strings.Contains(n.Rejoin.Value.Waiting, wrongType)
}

// rejoinFindings shows nodes that are being settled with their peer.
func rejoinFindings(s *Snapshot) []finding {
	var found []finding
	for _, n := range s.Nodes {
		r := n.Rejoin.Value
		if !n.Rejoin.Known || !r.Active {
			continue
		}
		f := finding{situation: short(n.Name) + "_rejoining", severity: Warning, since: r.Since, byDesign: true,
			next: "Wait; restart nothing until it is done."}
		progress := fmt.Sprintf("%d keys", r.Done)
		if r.Total > 0 {
			progress = fmt.Sprintf("%d of %d keys", r.Done, r.Total)
		}
		f.sentence = fmt.Sprintf("%s is back and is being settled with its peer: %s done; keys are believed one by one.", n.Name, progress)
		switch r.Waiting {
		case "":
		case service.Emptied:
			f.severity, f.byDesign, f.situation = Critical, false, short(n.Name)+"_emptied"
			lost := "was emptied while it ran"
			if n.Info.Value.EvictedKeys > 0 { // what it says of itself among them
				lost = evicted(n)
			}
			f.sentence = fmt.Sprintf("%s %s, and may have forgotten what it promised: %s takes no writes.", n.Name, lost, r.By)
			f.next, f.act = regain(n)
		default:
			f.sentence = fmt.Sprintf("%s waits to be settled with its peer (%s done): %s.", n.Name, progress, r.Waiting)
			f.next = "Bring back the peer first: only the two together know the newest values."
			switch {
			case r.HeldByPeer(n.Name):
				f.byDesign = false
				f.next, f.act = regain(nodeNamed(s, service.Peer(n.Name)))
			case keptByForeignData(n):
				f.byDesign, f.next = false, "Something else wrote that key there: delete it (DEL); db_g1 then keeps what it has of it."
			}
		}
		found = append(found, f)
	}
	return found
}

// stalenessFindings looks for nodes beyond the limit.
func stalenessFindings(s *Snapshot) []finding {
	var found []finding
	for _, n := range s.Nodes {
		v := n.Staleness.Value
		if !n.Staleness.Known || v.Limit <= 0 || v.Value <= v.Limit {
			continue
		}
		found = append(found, finding{situation: short(n.Name) + "_stale", severity: Warning, byDesign: true, follows: n.Name,
			since: n.Staleness.At.Add(-(v.Value - v.Limit)),
			sentence: fmt.Sprintf("%s is %s behind, beyond the limit of %s: %s marks what it reads there as stale.", n.Name,
				Span(v.Value), Span(v.Limit), v.By),
			next: fmt.Sprintf("Find out why writes do not get through to %s: link, load or disk.", n.Name)})
	}
	return found
}

func evicted(n Node) string {
	return fmt.Sprintf("has deleted %d keys for want of memory", n.Info.Value.EvictedKeys)
}

// regain tells how a node gets back from its peer what it has lost: not before it stops deleting it.
func regain(n Node) (next, act string) {
	if info := n.Info.Value; info.EvictedKeys > 0 && info.EvictionPolicy != "noeviction" {
		return stepEviction + " Then raise maxmemory, and restart it.", ""
	}
	return restart(n.Name)
}

// redisFindings looks at the nodes' own state.
func redisFindings(s *Snapshot) []finding {
	var found []finding
	for _, n := range s.Nodes {
		if n.Reach.Contact != Up || n.Info.Freshness(s.At, s.Poll) == FreshnessUnknown {
			continue
		}
		add := func(situation string, severity Severity, sentence, next string) {
			found = append(found, finding{situation: short(n.Name) + "_" + situation, severity: severity,
				sentence: n.Name + " " + sentence, next: next})
		}
		info := n.Info.Value
		if info.Role != "master" {
			add("replica", Critical, "runs as a replica, which refuses writes.", stepMaster)
		}
		untold := info.Persistence.Untold
		if len(untold) > 0 {
			add("disk_untold", Unknown, fmt.Sprintf("does not say whether it can write to its disk: its INFO has no usable %s.", and(untold)),
				"See its log, and whether what answers there is Redis itself.")
		}
		if !info.Persistence.AOFWriteOK && !slices.Contains(untold, aofStatus) {
			add("aof_failed", Critical, "cannot write its append-only file: Redis refuses writes.", "Check its disk: space, permissions, errors.")
		}
		if !info.Persistence.RDBSaveOK && !slices.Contains(untold, rdbStatus) {
			add("rdb_failed", Warning, "could not save its last snapshot to disk; by default Redis refuses writes then (MISCONF).",
				stepSave)
		}
		if info.Persistence.AOF && !info.Persistence.AOFRewriteOK {
			add("aof_rewrite_failed", Warning, "could not rewrite its append-only file, which goes on growing until its disk is full.",
				"Check its disk and memory; then BGREWRITEAOF.")
		}
		if off := info.Persistence.AOFOffSince; !off.IsZero() {
			add("aof_off", Warning, fmt.Sprintf("has had no append-only file for %s: what it has taken since its last snapshot is gone when it ends.",
				Span(s.At.Sub(off))), "Switch it on again: CONFIG SET appendonly yes, and keep it in its redis.conf.")
		}
		if info.EvictedKeys > 0 && n.Rejoin.Value.Waiting != service.Emptied { // of this run: the next one is given what its peer has
			next, act := regain(n)
			add("evicted", Critical, evicted(n)+": what services have acknowledged is missing there.", next)
			found[len(found)-1].act = act
		}
		evicts := info.EvictionPolicy != "noeviction" && info.EvictionPolicy != ""
		switch {
		case info.MaxMemory > 0 && info.UsedMemory >= info.MaxMemory && info.EvictionPolicy == "noeviction":
			add("out_of_memory", Critical, "is out of memory: it uses all that maxmemory allows, and refuses writes (OOM).",
				stepMemory)
		case info.MaxMemory > 0 && evicts:
			add("evicts", Warning, fmt.Sprintf("deletes data when memory is short (maxmemory-policy %s), and uses %d %% of its limit.", info.EvictionPolicy,
				100*info.UsedMemory/info.MaxMemory), stepEviction)
		case info.MaxMemory > 0 && float64(info.UsedMemory) > fullMemory*float64(info.MaxMemory):
			add("memory", Warning, fmt.Sprintf("uses %d %% of its memory limit.", 100*info.UsedMemory/info.MaxMemory),
				"Raise maxmemory or delete data before it refuses writes.")
		}
		switch {
		case info.MaxClients > 0 && info.Clients >= info.MaxClients:
			add("clients", Critical, fmt.Sprintf("has %d of %d clients, and takes no more: who loses a connection gets none.", info.Clients, info.MaxClients),
				"Close clients that nobody needs (CLIENT LIST shows their age), or raise maxclients.")
		case info.MaxClients > 0 && float64(info.Clients) > fullClients*float64(info.MaxClients):
			add("clients", Warning, fmt.Sprintf("has %d of %d clients: soon it takes no more.", info.Clients, info.MaxClients),
				"See who holds them (CLIENT LIST), or raise maxclients.")
		}
		if n.RTT.Known && n.RTT.Value > slowNode {
			add("slow", Warning, fmt.Sprintf("is slow: it takes %s to answer captop.", Span(n.RTT.Value)),
				"Look at its SLOWLOG, its disk, and the network to it.")
		}
	}
	return found
}

// identityFindings looks for addresses that lead to the wrong process.
func identityFindings(s *Snapshot) []finding {
	var found []finding
	seen := map[string]string{}
	for _, n := range s.Nodes {
		id := n.Info.Value.RunID
		if n.Reach.Contact != Up || id == "" {
			continue
		}
		if other := seen[id]; other != "" {
			found = append(found, finding{situation: "same_redis", severity: Critical,
				sentence: fmt.Sprintf("%s and %s are the same Redis process to captop: there is no second copy.", other, n.Name),
				next:     "Correct the addresses."})
		}
		seen[id] = n.Name
		eachLink(s, func(svc Service, link Link) {
			theirs := link.Seen.Value.RunID
			if link.Node != n.Name || !link.Seen.Value.Reachable || theirs == "" || n.Info.Value.Uptime < settled ||
				strings.HasPrefix(id, theirs) || strings.HasPrefix(theirs, id) {
				return
			}
			found = append(found, finding{situation: short(n.Name) + "_other", severity: Warning, of: member{svc.Name, svc.Mode, ""},
				sentence: fmt.Sprintf("captop's %s is not the one that %s uses: their run ids differ.", n.Name, svc.Name),
				next:     fmt.Sprintf("Compare captop's address for %s with the service's.", n.Name)})
		})
	}
	for _, svc := range s.Services {
		if wanted, told := service.ModeAP, strings.HasPrefix(svc.Name, "app_ap"); svc.Reach.Contact == Up &&
			(told && svc.Mode != wanted || strings.HasPrefix(svc.Name, "app_cp") && svc.Mode == wanted) {
			found = append(found, finding{situation: short(svc.Name) + "_mode", severity: Warning, of: member{svc.Name, svc.Mode, ""},
				sentence: fmt.Sprintf("The service configured as %s runs in mode %s.", svc.Name, svc.Mode),
				next:     "Correct the addresses given with --cp and --ap, or the service's mode."})
		}
	}
	return found
}

// errorSeverity grades how many of a service's requests end with an error.
func errorSeverity(s *Snapshot, svc Service) Severity {
	e := svc.ErrorRatio
	switch {
	case e.Freshness(s.At, s.Poll) == FreshnessUnknown || e.Value <= warnErrors:
		return OK
	case e.Value > criticalErrors && svc.Rate.Value*svc.Window.Seconds() >= fewRequests && !recovering(s, svc):
		return Critical
	}
	return Warning
}

// recovering reports whether the last errors of a service were a while ago.
func recovering(s *Snapshot, svc Service) bool { return s.At.Sub(svc.FailedAt) > quietPolls*s.Poll }

// trafficFindings looks at what callers get.
func trafficFindings(s *Snapshot) []finding {
	var found []finding
	for _, svc := range s.Services {
		if svc.Reach.Contact != Up {
			continue
		}
		if severity, e := errorSeverity(s, svc), svc.ErrorRatio; severity != OK {
			f := finding{situation: short(svc.Name) + "_errors", severity: severity, of: member{svc.Name, svc.Mode, ""},
				sentence: fmt.Sprintf("%s answered %s of the requests of the last %s with an error.", svc.Name, percent(e.Value), Span(svc.Window)),
				next:     "Its log names each refusal with its cause."}
			if recovering(s, svc) {
				f.situation = short(svc.Name) + "_recovering"
				f.sentence = fmt.Sprintf("%s recovers: no error for %s; of the last %s, %s of the requests failed.", svc.Name,
					Span(s.At.Sub(svc.FailedAt)), Span(svc.Window), percent(e.Value))
				f.next = "Wait a few seconds and see that it stays like this."
			}
			found = append(found, f)
		}
		if l := svc.Latency; l.Freshness(s.At, s.Poll) != FreshnessUnknown && l.Value.P99 > LatencyLimit {
			found = append(found, finding{situation: short(svc.Name) + "_slow", severity: Warning, of: member{svc.Name, svc.Mode, ""},
				sentence: fmt.Sprintf("%s is slow: its p99 is %s, beyond %s.", svc.Name, Span(l.Value.P99), Span(LatencyLimit)),
				next:     "Compare the nodes' answer times, then the load."})
		}
	}
	return found
}

// percent writes a share with no more digits than mean something.
func percent(share float64) string {
	if share < 0.0995 {
		return fmt.Sprintf("%.1f %%", 100*share)
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}

// refusalFindings tells of services that say that they refuse every write, and why.
func refusalFindings(s *Snapshot) []finding {
	var found []finding
	for _, svc := range s.Services {
		if svc.WritesRefused == "" {
			continue
		}
		one := finding{situation: short(svc.Name) + "_clock", severity: Critical, of: member{svc.Name, svc.Mode, ""},
			sentence: fmt.Sprintf("%s refuses every write, and answers reads: %s.", svc.Name, strings.Replace(svc.WritesRefused, "this instance's", "its", 1)),
			next:     "Set the clock of its host (NTP)."}
		if slices.ContainsFunc(s.Services, func(other Service) bool {
			return other.Mode == svc.Mode && other.Reach.Contact == Up && other.WritesRefused == "" && !other.Draining
		}) {
			one.severity = Warning
			one.next += " Behind HAProxy another instance takes its writes meanwhile."
		}
		found = append(found, one)
	}
	return found
}

// clockFindings looks for clocks that tell another time than captop's, and whose services do not know it. Where most do, the
// odd one is captop's.
func clockFindings(s *Snapshot) []finding {
	var off []Service
	asked := 0
	for _, svc := range s.Services {
		if svc.WritesRefused != "" || svc.Reach.Contact != Up || svc.ClockSkew.Freshness(s.At, s.Poll) == FreshnessUnknown {
			continue
		}
		asked++
		if svc.ClockSkew.Value.Abs() > skewTolerance {
			off = append(off, svc)
		}
	}
	if len(off) > 1 && 2*len(off) > asked {
		return []finding{{situation: "captop_clock", severity: Warning,
			sentence: fmt.Sprintf("The clock of this host differs from those of %s by %s: times on this screen may be off.", and(names(off)),
				Span(off[0].ClockSkew.Value.Abs())),
			next: "Set this host's clock (NTP)."}}
	}
	var found []finding
	for _, svc := range off {
		direction := "ahead of"
		if svc.ClockSkew.Value < 0 {
			direction = "behind"
		}
		found = append(found, finding{situation: short(svc.Name) + "_clock", severity: Warning, of: member{svc.Name, svc.Mode, ""},
			sentence: fmt.Sprintf("%s's clock is %s %s captop's.", svc.Name, Span(svc.ClockSkew.Value.Abs()), direction),
			next:     "Set the clock of its host (NTP): app_ap refuses writes whose times cannot be ordered."})
	}
	return found
}

// versionFindings looks for instances of one service that are not the same program.
func versionFindings(s *Snapshot) []finding {
	var found []finding
	first := map[service.Mode]Service{}
	for _, svc := range s.Services {
		if svc.Reach.Contact != Up || svc.Version == "" {
			continue
		}
		other, known := first[svc.Mode]
		if !known {
			first[svc.Mode] = svc
			continue
		}
		if other.Version != svc.Version {
			found = append(found, finding{situation: "versions", severity: Warning, of: member{svc.Name, svc.Mode, svc.Version},
				sentence: fmt.Sprintf("%s runs version %s, and %s runs %s.", other.Name, other.Version, svc.Name, svc.Version),
				next:     "Finish the rollout, or roll it back."})
		}
		if other.Limit.Known && svc.Limit.Known && other.Limit.Value != svc.Limit.Value {
			found = append(found, finding{situation: "limits", severity: Warning, of: member{svc.Name, svc.Mode, svc.Limit.Value.String()},
				sentence: fmt.Sprintf("%s marks answers stale beyond %s, and %s beyond %s.", other.Name, Span(other.Limit.Value), svc.Name, Span(svc.Limit.Value)),
				next:     "Give all instances the same MAX_STALENESS_MS."})
		}
	}
	return found
}

// targetFindings says where instances may be missing from what is watched.
func targetFindings(s *Snapshot) []finding {
	if s.TargetsError == "" {
		return nil
	}
	return []finding{{situation: "targets", severity: Unknown, sentence: "captop cannot look up all instances: " + s.TargetsError + ".",
		next: "Some may run that are not watched. Check DNS and the target file."}}
}

// silenceFindings looks for what a service that answers leaves out: of a node that it does not mention nothing is known.
func silenceFindings(s *Snapshot) []finding {
	var found []finding
	eachLink(s, func(svc Service, link Link) {
		f := finding{situation: short(svc.Name) + "_silent", severity: Unknown, follows: link.Node, of: member{svc.Name, svc.Mode, link.Node}}
		fresh := func(at time.Time) bool { return Read(0, at).Freshness(s.At, s.Poll) == Fresh } // else partFindings has it
		switch {
		case fresh(svc.HealthAt) && link.Seen.Freshness(s.At, s.Poll) != Fresh:
			f.sentence = fmt.Sprintf("%s says nothing of %s: whether it reaches it is not known.", svc.Name, link.Node)
			f.next, f.since = fmt.Sprintf("See which nodes %s is configured with.", svc.Name), link.Seen.At
		case fresh(svc.BreakersAt) && link.Breaker.Freshness(s.At, s.Poll) != Fresh:
			f.sentence = fmt.Sprintf("%s names no breaker before %s.", svc.Name, link.Node)
			f.next, f.since = fmt.Sprintf("See which nodes %s is configured with.", svc.Name), link.Breaker.At
		case link.Seen.Freshness(s.At, s.Poll) == Fresh && link.Seen.Value.Reachable && link.Seen.Value.Staleness >= unbounded:
			f.sentence = fmt.Sprintf("%s cannot tell yet how far %s is behind.", svc.Name, link.Node)
			f.next = "Wait a few seconds; if it stays, read its log."
		default:
			return
		}
		found = append(found, f)
	})
	return found
}

// partFindings looks for values that have stopped coming from a target that answers otherwise.
func partFindings(s *Snapshot) []finding {
	var found []finding
	for _, svc := range s.Services {
		if svc.Reach.Contact != Up {
			continue
		}
		for _, part := range []struct {
			path, problem string
			at            time.Time
		}{{"/health", "", svc.HealthAt}, {"/circuit-breaker", svc.BreakersError, svc.BreakersAt}, {"/metrics", svc.MetricsError, svc.MetricsAt}} {
			if part.problem == "" && Read(0, part.at).Freshness(s.At, s.Poll) == Fresh {
				continue
			}
			found = append(found, finding{situation: short(svc.Name) + "_part", severity: Unknown, since: part.at, of: member{svc.Name, svc.Mode, part.path},
				sentence: fmt.Sprintf("captop gets nothing usable from %s%s: %s.", svc.Name, part.path, orElse(part.problem, "no fresh answer")),
				next:     "What it would show is not known; see the service's log."})
		}
	}
	for _, n := range s.Nodes {
		if n.Reach.Contact == Up && n.Info.Freshness(s.At, s.Poll) != Fresh {
			found = append(found, finding{situation: short(n.Name) + "_late", severity: Unknown, since: n.Info.At,
				sentence: fmt.Sprintf("captop has no fresh values of %s.", n.Name), next: "Wait for the next poll."})
		}
	}
	return found
}
