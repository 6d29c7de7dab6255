package probes

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"captop/service"
)

// finding is one thing that is wrong.
type finding struct {
	situation string
	severity  Severity
	sentence  string
	since     time.Time
	byDesign  bool
	next      string
	act       string // that does next: "restart db_g2"
	about     string // the node that it is about, where what follows from it would only repeat it
	follows   string // the node from whose trouble it follows
	of        member // the one that it is about, where others may have the same
}

// member is what a finding is about: of the same mode, others may have the same trouble with the same part.
type member struct {
	name string
	mode service.Mode
	part string
}

// rank orders severities for a verdict: what captop cannot tell may be bad, so it comes before a warning.
func rank(s Severity) int { return [...]int{Unknown: 2, OK: 0, Warning: 1, Critical: 3}[s] }

// alsoLimit is how many further findings a verdict holds: what is wrong with a hundred instances, nobody reads one by one.
const alsoLimit = 20

// Diagnose puts into words what a Snapshot shows. It is a pure function of s, apart from s.Verdict and s.Severity,
// which it does not read. What is not known never counts as good.
func Diagnose(s *Snapshot) Verdict {
	found := slices.Concat(sourceFindings(s), blindness(s), allDown(s)) // where captop sees nothing, it has nothing else to say
	blind := len(found) > 0
	for _, check := range []func(*Snapshot) []finding{
		serviceFindings, nodeFindings, breakerFindings, rejoinFindings, stalenessFindings, redisFindings,
		identityFindings, trafficFindings, partFindings, silenceFindings, refusalFindings, clockFindings, versionFindings, targetFindings,
		alertmanagerFindings, partialFindings,
	} {
		if blind {
			break
		}
		found = append(found, check(s)...)
	}
	if len(found) == 0 {
		found = unexplained(s)
	}
	fires := alertFindings(s, len(found) > 0)
	if len(found) == 0 {
		found, fires = fires, nil
	}
	if len(found) == 0 {
		return Verdict{Situation: "ok", Severity: OK, Sentence: allWell(s), NextStep: "Nothing to do."}
	}
	slices.SortStableFunc(found, func(a, b finding) int { return rank(b.severity) - rank(a.severity) })
	found = together(found)
	worst := found[0]
	fires = slices.DeleteFunc(fires, func(alert finding) bool { return rank(alert.severity) <= rank(worst.severity) })
	found = slices.Insert(found, 1, fires...) // the screen's severity is theirs, so they are not left without a word
	v := Verdict{Situation: worst.situation, Severity: worst.severity, Sentence: worst.sentence, Since: worst.since,
		ByDesign: worst.byDesign, NextStep: worst.next, Act: worst.act}
	for _, f := range found[1:] {
		if f.follows == "" || !slices.ContainsFunc(found, func(cause finding) bool { return cause.about == f.follows }) {
			v.Also = append(v.Also, f.sentence)
		}
		if !f.since.IsZero() && (v.FirstAt.IsZero() || f.since.Before(v.FirstAt)) {
			v.First, v.FirstAt = f.sentence, f.since
		}
	}
	if !v.FirstAt.Before(worst.since) {
		v.First, v.FirstAt = "", time.Time{}
	}
	if more := len(v.Also) - alsoLimit; more > 0 {
		v.Also = append(v.Also[:alsoLimit:alsoLimit], fmt.Sprintf("And %d more findings like these.", more))
	}
	return v
}

// together says once what is the matter with several instances of a mode: of the first in full, of the others by name.
func together(found []finding) []finding {
	type kind struct {
		situation, part string
		severity        Severity
		mode            service.Mode
	}
	first, others := map[kind]int{}, map[int][]string{}
	var left []finding
	for _, f := range found {
		what := kind{strings.TrimPrefix(f.situation, short(f.of.name)), f.of.part, f.severity, f.of.mode}
		if i, again := first[what]; again && f.of.name != "" {
			others[i] = append(others[i], f.of.name)
			left[i].since = earliest(left[i].since, f.since)
			continue
		}
		first[what] = len(left)
		left = append(left, f)
	}
	for i, names := range others {
		left[i].sentence += fmt.Sprintf(" The same of %s.", and(names))
	}
	return left
}

func allWell(s *Snapshot) string {
	var names []string
	for _, mode := range []service.Mode{service.ModeCP, service.ModeAP} {
		var group []string
		for _, svc := range s.Services {
			if svc.Mode == mode {
				group = append(group, svc.Name)
			}
		}
		if len(group) > 1 {
			group = []string{fmt.Sprintf("app_%s ×%d", mode, len(group))}
		}
		names = append(names, group...)
	}
	nodes := make([]string, 0, len(s.Nodes))
	for _, n := range s.Nodes {
		nodes = append(nodes, n.Name)
	}
	return fmt.Sprintf("All is well: %s reach %s.", and(names), and(nodes))
}

// and lists names as a sentence does, a few of them where they are many.
func and(names []string) string {
	names = shorten(names)
	switch len(names) {
	case 0:
		return "nobody"
	case 1:
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// blindness finds captop itself unable to look: nothing asked yet, or not one target answers and none refuses either.
func blindness(s *Snapshot) []finding {
	reaches, _ := asked(s)
	if len(reaches) == 0 {
		return []finding{{situation: "no_targets", sentence: "captop has nothing to watch.",
			next: "Name the services and nodes with --cp, --ap, --g1 and --g2."}}
	}
	silent, since := 0, time.Time{}
	for _, r := range reaches {
		if (r.Contact == Blind || r.Contact == Hung) && r.Error != "" {
			silent++
			since = later(since, r.Since)
		}
	}
	if silent < len(reaches) || silent < 2 {
		return nil
	}
	return []finding{{situation: "captop_blind", severity: Unknown, since: since,
		sentence: fmt.Sprintf("captop reaches none of its %d targets, and none refuses it: captop itself may be cut off, or everything hangs.",
			silent),
		next: "Check this host's network first, then look from another host. " + reaches[0].Error}}
}

// asked gives how the targets that captop asks answer it, with their names.
func asked(s *Snapshot) (reaches []Reach, names []string) {
	for _, svc := range s.Services {
		reaches, names = append(reaches, svc.Reach), append(names, svc.Name)
	}
	for _, n := range s.Nodes {
		if n.URL != "" {
			reaches, names = append(reaches, n.Reach), append(names, n.Name)
		}
	}
	return reaches, names
}

// allDown finds that nobody listens at any address: that is one trouble, not one for each target.
func allDown(s *Snapshot) []finding {
	reaches, names := asked(s)
	since := time.Time{}
	for _, r := range reaches {
		if r.Contact != Down {
			return nil
		}
		since = later(since, r.Since)
	}
	if len(reaches) < 2 || len(s.Services) == 0 {
		return nil
	}
	return []finding{{situation: "all_down", severity: Critical, since: since,
		sentence: fmt.Sprintf("Nothing answers: %s are down. The stack is not running, or this is the wrong host.", and(names)),
		next:     "Start the stack, or name its addresses with --cp, --ap, --g1 and --g2."}}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// earliest ignores times that are not known.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// serviceFindings looks at the services themselves.
func serviceFindings(s *Snapshot) []finding {
	var found []finding
	taking := answering(s)
	for i := range s.Services {
		svc := &s.Services[i]
		if svc.Reach.Contact == Up && svc.Status != "draining" && !svc.Draining {
			continue
		}
		f := finding{since: svc.Reach.Since, severity: Critical, situation: short(svc.Name) + "_" + svc.Reach.Contact.String(), of: member{svc.Name, svc.Mode, ""}}
		if taking[svc.Mode] > 0 {
			f.severity = Warning
		}
		why := ": " + svc.Reach.Error
		switch svc.Reach.Contact {
		case Up:
			f.situation, f.byDesign = short(svc.Name)+"_draining", true
			f.sentence = fmt.Sprintf("%s is stopping: it ends what it began and refuses new requests.", svc.Name)
			f.next = "If nobody meant to stop it, see its log; otherwise wait until it is gone or back."
			f.since = time.Time{}
		case NotAsked:
			f.severity, f.situation = Unknown, short(svc.Name)+"_unknown"
			f.sentence, f.next = fmt.Sprintf("captop has not heard from %s yet.", svc.Name), "Wait for the next poll."
		case Down:
			f.sentence = fmt.Sprintf("%s is down: nobody answers at %s.", svc.Name, svc.URL)
			f.next, f.act = "Start it, and read the end of its log for why it stopped. "+svc.Reach.Error, "start "+part(*svc)
		case Hung:
			f.sentence = fmt.Sprintf("%s hangs: it has not answered within captop's timeout.", svc.Name)
			f.next, f.act = "See whether its process runs or is paused; restart it if it stays like this.", "heal "+part(*svc)
		case Blind:
			f.severity = Unknown
			f.sentence = fmt.Sprintf("captop cannot look at %s%s.", svc.Name, why)
			f.next = "Check the address and this host's network and DNS. A stopped container loses its name, too."
		case Denied:
			f.severity = Unknown
			f.sentence = fmt.Sprintf("%s refuses captop%s.", svc.Name, why)
			f.next = "Give captop a token that may read: --token or --token-file."
		default:
			f.sentence = fmt.Sprintf("What answers at %s is not a healthy %s%s.", svc.URL, svc.Name, why)
			f.next = "Check the address, and what listens there."
		}
		found = append(found, f)
	}
	return found
}

// answering counts the instances of each mode that take requests.
func answering(s *Snapshot) map[service.Mode]int {
	taking := map[service.Mode]int{}
	for i := range s.Services {
		if svc := &s.Services[i]; svc.Reach.Contact == Up && svc.Status != "draining" && !svc.Draining {
			taking[svc.Mode]++
		}
	}
	return taking
}

// part is what a stack calls an instance's service: an instance's name has its address or its number.
func part(svc Service) string { return "app_" + string(svc.Mode) }

func short(name string) string { return strings.TrimPrefix(strings.TrimPrefix(name, "app_"), "db_") }

// unexplained keeps a trouble that a service reports, and captop has no better words for, from being shown as good.
func unexplained(s *Snapshot) []finding {
	var found []finding
	for _, svc := range s.Services {
		if svc.Status == "ok" {
			continue
		}
		severity := Warning
		if svc.Status != "degraded" {
			severity = Critical
		}
		found = append(found, finding{situation: short(svc.Name) + "_" + svc.Status, severity: severity, of: member{svc.Name, svc.Mode, ""},
			sentence: fmt.Sprintf("%s says that it is %s, and captop does not see why.", svc.Name, svc.Status),
			next:     "Read its log."})
	}
	return found
}
