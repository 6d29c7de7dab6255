package eventview

import (
	"slices"
	"strconv"
	"strings"

	"captop/probes"
	"captop/tui/screen"
)

// The kinds of events that do not come from what captop saw of the stack: they neither begin nor end an incident.
const (
	kindAction = "action"
	kindLog    = "log"
)

// timeline is what captop saw and what was done from this seat, in one order, oldest first. While an earlier time is
// shown, what came later is not there yet.
func timeline(c screen.Context) []probes.Event {
	if c.Snapshot == nil {
		return nil
	}
	all := slices.Clone(c.Snapshot.Events)
	for _, event := range c.Journal {
		if !c.Past || !event.At.After(c.Now) {
			all = append(all, event)
		}
	}
	slices.SortStableFunc(all, func(a, b probes.Event) int { return a.At.Compare(b.At) })
	return all
}

// id tells an event from the others.
func id(e probes.Event) string {
	return strconv.FormatInt(e.At.UnixNano(), 36) + "\x00" + strconv.FormatUint(e.Seq, 36) + "\x00" + e.Kind + "\x00" + e.Target + "\x00" + e.Text
}

func indexOf(all []probes.Event, wanted string) int {
	return slices.IndexFunc(all, func(e probes.Event) bool { return id(e) == wanted })
}

// list is what the filters leave, in the order in which it is shown.
func (e Events) list(c screen.Context) []probes.Event {
	words := strings.Fields(strings.ToLower(e.filter.Text()))
	all := slices.DeleteFunc(timeline(c), func(event probes.Event) bool {
		if e.kind != "" && event.Kind != e.kind || !atLeast(event.Severity, e.least) {
			return true
		}
		if len(words) == 0 {
			return false
		}
		text := strings.ToLower(screen.Level(event.Severity).Word() + " " + event.Kind + " " + event.Target + " " + event.Text)
		return slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) })
	})
	if !e.follow {
		slices.Reverse(all)
	}
	return all
}

// atLeast says whether an event is as bad as asked for. What is not known may be bad: a filter does not hide it, unless
// only the critical ones are wanted.
func atLeast(s, least probes.Severity) bool {
	if s == probes.Unknown {
		return least <= probes.Warning
	}
	return least == probes.Unknown || s >= least
}

// newest is where the newest event stands in the list.
func (e Events) newest(all []probes.Event) int {
	if e.follow {
		return len(all) - 1
	}
	return 0
}

// index is where the chosen event stands; where it is gone, what took its place.
func (e Events) index(all []probes.Event) int {
	if e.chosen == "" {
		return max(e.newest(all), 0)
	}
	if at := indexOf(all, e.chosen); at >= 0 {
		return at
	}
	return min(e.place, max(len(all)-1, 0))
}

// kinds are those that there are, in alphabetical order.
func kinds(all []probes.Event) []string {
	var found []string
	for _, e := range all {
		if e.Kind != "" && !slices.Contains(found, e.Kind) {
			found = append(found, e.Kind)
		}
	}
	slices.Sort(found)
	return found
}

// firstDeviation is the event with which the incident began: the first one that was not OK after the whole was OK last.
// now is false where the whole is OK now, and it is the last incident that is meant.
func firstDeviation(all []probes.Event, c screen.Context) (first probes.Event, now, ok bool) {
	var before probes.Event // of the incident that has ended
	ended := false
	for _, e := range all {
		switch {
		case e.Kind == kindAction || e.Kind == kindLog:
		case e.Kind == "severity" && e.Severity == probes.OK:
			if ok {
				before, ended = first, true
			}
			ok = false
		case e.Severity != probes.OK && !ok:
			first, ok = e, true
		}
	}
	if ok && c.Snapshot.Severity != probes.OK {
		return first, true, true
	}
	if !ok && ended {
		first, ok = before, true
	}
	return first, false, ok
}
