package probes

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"captop/service"
)

// outage is what is known of one node that somebody cannot use.
type outage struct {
	node    Node
	cut     []Service // services that say they cannot reach it
	reach   []Service // services that say they can
	refused []Service // of these, those whose commands it refuses
	reply   string    // with which it does
	since   time.Time
	details string
}

func outageOf(s *Snapshot, n Node) outage {
	o := outage{node: n}
	if n.Reach.Contact != Up {
		o.since = n.Reach.Since
	}
	for _, svc := range s.Services {
		for _, link := range svc.Links {
			if link.Node != n.Name || svc.Reach.Contact != Up || link.Seen.Freshness(s.At, s.Poll) == FreshnessUnknown {
				continue
			}
			if link.Seen.Value.Reachable {
				o.reach = append(o.reach, svc)
				if reply := link.Seen.Value.Refusal; reply != "" {
					o.refused, o.reply = append(o.refused, svc), reply
				}
				continue
			}
			o.cut = append(o.cut, svc)
			o.since = earliest(o.since, link.Seen.Value.Since)
			o.details = link.Seen.Value.Error
		}
	}
	return o
}

// out says whether the node serves nobody as far as anybody can tell.
func (o outage) out() bool {
	return len(o.reach) == 0 && (len(o.cut) > 0 || o.node.Reach.Contact != Up && o.node.Reach.Contact != Blind &&
		o.node.Reach.Contact != NotAsked)
}

// nodeFindings looks at who reaches which node, and says what the services do about it.
func nodeFindings(s *Snapshot) []finding {
	outages := make([]outage, 0, len(s.Nodes))
	allOut := len(s.Nodes) > 1
	for _, n := range s.Nodes {
		o := outageOf(s, n)
		allOut = allOut && o.out()
		outages = append(outages, o)
	}
	if allOut {
		return []finding{bothOut(outages)}
	}
	var found []finding
	for _, o := range outages {
		if f, bad := o.finding(s); bad {
			found = append(found, f)
		}
	}
	for _, o := range outages {
		if f, refuses := o.refusal(s); refuses {
			found = append(found, f)
		}
	}
	return found
}

func bothOut(outages []outage) finding {
	f := finding{situation: "both_out", severity: Critical, byDesign: true,
		next: "Bring back one node first; the newest data is on the one that went last."}
	for _, o := range outages {
		f.since = later(f.since, o.since)
	}
	f.sentence = fmt.Sprintf("Both nodes are out: db_g1 %s, db_g2 %s; no service can read or write, and every write is refused.",
		outages[0].word(), outages[1].word())
	return f
}

// word says what is wrong with the node itself.
func (o outage) word() string {
	switch {
	case o.fullHouse():
		return "takes no more clients (maxclients)"
	case o.busy():
		return "is busy with a script that does not end, and serves nobody"
	}
	switch o.node.Reach.Contact {
	case Up:
		if o.answers() {
			return "is cut off from the services"
		}
	case Down:
		return "is down"
	case Hung:
		return "hangs or is cut off"
	case Loading:
		return "is loading its data from disk"
	case Denied:
		return "refuses the password"
	case Nonsense:
		return "does not answer as Redis does"
	}
	return "cannot be reached by the services"
}

// answers says whether the node has answered captop since the services lost it. Until it has, it may hang, and captop wait for it.
func (o outage) answers() bool {
	return o.node.Reach.Contact == Up && o.node.Reach.LastUp.After(o.since)
}

// fullHouse says whether the node refuses everybody for want of room for another connection.
func (o outage) fullHouse() bool {
	return strings.Contains(o.node.Reach.Error, "max number of clients reached")
}

// busy says whether the node refuses everything because a script runs.
func (o outage) busy() bool { return strings.Contains(o.node.Reach.Error, busyReply) }

// justBack says whether the node answers captop again since a moment ago, so that the services may not have noticed.
func (o outage) justBack(s *Snapshot) bool {
	return o.node.Reach.Since.Sub(s.Started) > 2*s.Poll && s.At.Sub(o.node.Reach.Since) < settled
}

func (o outage) finding(s *Snapshot) (finding, bool) {
	n, name := o.node, o.node.Name
	f := finding{since: o.since, severity: Critical, byDesign: len(o.cut) > 0, about: name}
	switch {
	case (n.Reach.Contact == Up || n.URL == "") && len(o.cut) == 0:
		return f, false
	case n.URL == "":
		f.situation = short(name) + "_unreached"
		f.sentence = fmt.Sprintf("%s cannot reach %s, which captop does not ask itself: it is down or cut off; %s.", and(names(o.cut)), name, o.effects())
		f.next = fmt.Sprintf("See whether %s runs; start captop with --g1 and --g2 to ask the nodes, too.", name)
	case n.Reach.Contact == Up && o.justBack(s):
		f.situation = short(name) + "_returning"
		f.sentence = fmt.Sprintf("%s is back, and not taken up again yet by %s; %s.", name, and(names(o.cut)), o.effects())
		f.next = "Wait for the breakers' next probe, a few seconds."
	case n.Reach.Contact == Up && len(o.disagreeing()) > 0:
		f.situation, f.byDesign = short(name)+"_disputed", false
		f.sentence = fmt.Sprintf("%s cannot reach %s, and %s can: the trouble lies between, not at %s; %s.", and(names(o.cut)), name,
			and(names(o.disagreeing())), name, o.effects())
		f.next = fmt.Sprintf("Look at the host and the network of %s. It says: %s", and(names(o.cut)), o.details)
	case n.Reach.Contact == Up && !o.answers():
		f.situation = short(name) + "_unreached"
		f.sentence = fmt.Sprintf("%s cannot reach %s, which has not answered captop since: it is down, hangs or is cut off; %s.",
			and(names(o.cut)), name, o.effects())
		f.next = fmt.Sprintf("Wait one poll: captop's own look at %s tells which.", name)
	case n.Reach.Contact == Up:
		f.situation, f.act = short(name)+"_cut", "heal "+name
		f.sentence = fmt.Sprintf("%s cannot reach %s, though it answers captop: the link is cut; %s.", and(names(o.cut)), name,
			o.effects())
		f.next = fmt.Sprintf("Look at the network, the address and the password between %s and %s. It says: %s",
			and(names(o.cut)), name, o.details)
	case (n.Reach.Contact == Blind || n.Reach.Contact == NotAsked) && len(o.cut) == 0:
		f.situation, f.severity, f.byDesign = short(name)+"_unknown", Unknown, false
		f.sentence = fmt.Sprintf("captop cannot look at %s: %s.", name, orElse(n.Reach.Error, "not asked yet"))
		f.next = "Check its address, and this host's network and DNS."
	case len(o.cut) == 0 && len(o.reach) > 0:
		f.situation, f.severity, f.byDesign = short(name)+"_unseen", Warning, false
		f.sentence = fmt.Sprintf("To captop %s %s, but it is still reachable for %s.", name, o.word(), and(names(o.reach)))
		f.next = fmt.Sprintf("Wait one poll; if it stays, check captop's address and password for %s. %s", name, n.Reach.Error)
	default:
		f.situation = short(name) + "_" + n.Reach.Contact.String()
		f.sentence = fmt.Sprintf("%s %s; %s.", name, o.word(), o.effects())
		f.next, f.act = o.nextStep()
	}
	if len(o.cut) > 0 && !anyCP(o.cut) && n.Reach.Contact == Up {
		f.severity = Warning // AP goes on with the other node
	}
	return f, true
}

// disagreeing are services that reach the node while another instance of the same mode does not.
func (o outage) disagreeing() []Service {
	var all []Service
	for _, svc := range o.reach {
		if slices.ContainsFunc(o.cut, func(other Service) bool { return other.Mode == svc.Mode }) {
			all = append(all, svc)
		}
	}
	return all
}

func (o outage) nextStep() (next, act string) {
	name := o.node.Name
	switch {
	case o.busy():
		return fmt.Sprintf("Restart %s, which ends the script; SCRIPT KILL does, too, unless it has written.", name),
			"restart " + name
	case o.fullHouse():
		return fmt.Sprintf("Close clients of %s that nobody needs (CLIENT LIST shows their age), or raise maxclients.", name), ""
	}
	switch o.node.Reach.Contact {
	case Loading:
		return "Wait: Redis answers when its data is read. Watch its log for progress.", ""
	case Denied:
		return fmt.Sprintf("Correct the password of %s in the services' and captop's settings.", name), ""
	case Hung:
		return fmt.Sprintf("See whether the process of %s is paused or its disk stalls, and whether its network is cut.", name), "heal " + name
	case Nonsense:
		return fmt.Sprintf("Check the address of %s and what listens there.", name), ""
	}
	return restart(name)
}

// restart is the next step for a node that only its next run helps.
func restart(node string) (next, act string) {
	return fmt.Sprintf("Restart %s; its data is settled with its peer before it is believed.", node), "restart " + node
}

// effects says what each affected service does, which is what its mode promises.
func (o outage) effects() string {
	affected := o.cut
	if len(affected) == 0 {
		return "no service reports on it"
	}
	peer := service.Peer(o.node.Name)
	text, modes := "", map[service.Mode]bool{}
	for _, svc := range affected {
		if modes[svc.Mode] {
			continue
		}
		modes[svc.Mode] = true
		if text != "" {
			text += "; "
		}
		text += o.effect(svc, peer)
	}
	return text
}

func (o outage) effect(svc Service, peer string) string {
	switch {
	case svc.Mode == service.ModeAP:
		return fmt.Sprintf("%s goes on with %s", svc.Name, peer)
	case o.node.Name == service.G1:
		return svc.Name + " refuses writes, answers reads of settled keys"
	}
	return svc.Name + " refuses writes, answers reads at " + peer
}

func names(services []Service) []string {
	list := make([]string, 0, len(services))
	for _, svc := range services {
		list = append(list, svc.Name)
	}
	return list
}

func anyCP(services []Service) bool {
	for _, svc := range services {
		if svc.Mode != service.ModeAP {
			return true
		}
	}
	return false
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// wrongType begins the reply to a command at a key that holds something else. What lies there counts as lost once the node has
// restarted: its peer's is put in its place.
const wrongType = "WRONGTYPE"

// The next steps for a node of which INFO or a refusal tells the same.
const (
	stepMaster   = "Make it a master again: REPLICAOF NO ONE."
	stepSave     = "Check its disk and memory; then BGSAVE."
	stepEviction = "Set maxmemory-policy to noeviction (CONFIG SET)."
	stepMemory   = "Raise maxmemory (CONFIG SET maxmemory), or delete data."
)

// refusalStep tells what to do about a node that refuses commands, by the first word of its reply, but for wrongType.
func refusalStep(kind string) string {
	switch kind {
	case "NOPERM":
		return "Let the services' user run that (ACL SETUSER), or give the services another user."
	case "NOREPLICAS":
		return "Give it the replicas that its min-replicas-to-write asks for, or set that to 0."
	case "MISCONF":
		return stepSave
	case "OOM":
		return stepMemory
	}
	return stepMaster
}

// refusal tells of a node that answers, and refuses what services ask of it. What its own INFO tells is left to redisFindings.
func (o outage) refusal(s *Snapshot) (finding, bool) {
	kind, _, _ := strings.Cut(o.reply, " ")
	switch {
	case len(o.refused) == 0, o.node.Reach.Contact == Up && (kind == "OOM" || kind == "READONLY"):
		return finding{}, false
	case kind == wrongType && slices.ContainsFunc(s.Nodes, keptByForeignData):
		return finding{}, false
	}
	f := finding{situation: short(o.node.Name) + "_refuses", severity: Critical, about: o.node.Name, next: refusalStep(kind),
		sentence: fmt.Sprintf("%s answers, and refuses commands of %s: %s.", o.node.Name, and(names(o.refused)), o.reply)}
	if kind == wrongType || !anyCP(o.refused) { // they go on with the other keys, AP with the other node: where that is enough
		f.severity = Warning
		for _, svc := range o.refused {
			f.severity = worseOf(f.severity, errorSeverity(s, svc))
		}
	}
	if kind == wrongType {
		f.sentence = fmt.Sprintf("%s holds something else in the place of a key of %s (WRONGTYPE).", o.node.Name, and(names(o.refused)))
		f.next, f.act = restart(o.node.Name)
	}
	return f, true
}
