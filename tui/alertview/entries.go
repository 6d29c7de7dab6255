package alertview

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"captop/probes"
	"captop/probes/alerts"
	"captop/tui/screen"
	"captop/tui/theme"
)

// kind is what an entry of the list tells, the worst first.
type kind int

const (
	firing    kind = iota
	pending        // its fuse burns
	frozen         // its fuse stands for want of samples
	lost           // it ended for want of samples: nobody knows
	broken         // its rule cannot be evaluated: it would not fire whatever happens
	elsewhere      // only Alertmanager holds it
	blank          // its rule has nothing to measure, or was not evaluated yet
	resolved
	quiet
)

// entry is one line of the list: an alert, or a rule without any.
type entry struct {
	kind      kind
	rule      alerts.Rule
	labels    map[string]string
	alert     alerts.Alert     // firing, pending, lost, resolved
	frozen    alerts.Frozen    // frozen
	held      probes.HeldAlert // elsewhere
	inManager bool             // Alertmanager holds this alert too
	ack       *probes.Ack
	silences  []probes.Silence
}

// id tells an entry from the others, also after the list was sorted anew.
func (e entry) id() string { return identity(e.rule.Name, e.labels) }

func identity(name string, labels map[string]string) string {
	var out strings.Builder
	out.WriteString(name)
	for _, key := range sortedKeys(labels) {
		out.WriteString("\x00" + key + "\x00" + labels[key])
	}
	return out.String()
}

func sortedKeys(labels map[string]string) []string {
	keys := make([]string, 0, len(labels))
	for key := range labels {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// entries are all that there is to list, the worst first.
func entries(s *probes.Snapshot) []entry {
	if s == nil {
		return nil
	}
	var all []entry
	for _, rule := range s.Rules {
		all = append(all, ofRule(rule)...)
	}
	all = mark(s, all)
	slices.SortStableFunc(all, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(severityRank(a), severityRank(b)),
			cmp.Compare(handled(a), handled(b)), a.began().Compare(b.began()))
	})
	return all
}

// ofRule gives a rule's alerts, or one entry for the rule itself where it has none.
func ofRule(rule alerts.Rule) []entry {
	var all []entry
	if rule.Error != "" {
		all = append(all, entry{kind: broken, rule: rule, labels: rule.Labels})
	}
	for _, a := range rule.Alerts {
		e := entry{rule: rule, alert: a, labels: a.Labels}
		switch {
		case a.State == alerts.Firing:
			e.kind = firing
		case a.State == alerts.Pending:
			e.kind = pending
		case a.Lost:
			e.kind = lost
		default:
			e.kind = resolved
		}
		all = append(all, e)
	}
	for _, f := range rule.Frozen {
		all = append(all, entry{kind: frozen, rule: rule, frozen: f, labels: f.Labels})
	}
	if len(all) > 0 {
		return all
	}
	if rule.EvaluatedAt.IsZero() || len(rule.Measures) == 0 && compares(rule.Expr) {
		return []entry{{kind: blank, rule: rule, labels: rule.Labels}}
	}
	return []entry{{kind: quiet, rule: rule, labels: rule.Labels}}
}

var (
	quoted     = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|` + "`[^`]*`")
	braces     = regexp.MustCompile(`\{[^}]*\}`)
	comparison = regexp.MustCompile(`[<>]|[=!]=`)
)

// compares says whether an expression has a comparison outside its selectors: then it measures something while the
// series below it are there.
func compares(expr string) bool {
	return comparison.MatchString(braces.ReplaceAllString(quoted.ReplaceAllString(expr, ""), ""))
}

// mark adds what people have said about the alerts, and what Alertmanager holds.
func mark(s *probes.Snapshot, all []entry) []entry {
	for i := range all {
		for _, ack := range s.Acks {
			if sameLabels(ack.Labels, all[i].labels) && all[i].standing() {
				all[i].ack = &ack
			}
		}
	}
	manager := s.Alertmanager
	if manager == nil {
		return all
	}
	byID := map[string]probes.Silence{}
	for _, silence := range manager.Silences {
		byID[silence.ID] = silence
		for i := range all {
			if all[i].standing() && silence.State != "expired" && matchesAll(silence.Matchers, all[i].labels) {
				all[i].silences = append(all[i].silences, silence)
			}
		}
	}
	for _, held := range manager.Alerts {
		i := slices.IndexFunc(all, func(e entry) bool { return e.standing() && sameLabels(e.labels, held.Labels) })
		if i >= 0 {
			all[i].inManager = true
			continue
		}
		e := entry{kind: elsewhere, labels: held.Labels, held: held,
			rule: alerts.Rule{Name: held.Labels["alertname"], Severity: held.Labels["severity"], Runbook: held.Labels["runbook"]}}
		for _, id := range held.SilencedBy {
			if silence, ok := byID[id]; ok {
				e.silences = append(e.silences, silence)
			}
		}
		all = append(all, e)
	}
	return all
}

// standing says whether the entry is an alert that somebody can look after.
func (e entry) standing() bool { return e.kind <= lost }

func sameLabels(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for key, value := range a {
		if other, ok := b[key]; !ok || other != value {
			return false
		}
	}
	return true
}

// matchesAll says whether a silence's conditions all hold for the labels, as Alertmanager reads them: a label that is not
// there is an empty one. No conditions match nothing.
func matchesAll(matchers []probes.Matcher, labels map[string]string) bool {
	for _, m := range matchers {
		holds := m.Value == labels[m.Name]
		if m.IsRegex {
			pattern, err := regexp.Compile("^(?:" + m.Value + ")$")
			holds = err == nil && pattern.MatchString(labels[m.Name])
			if err != nil {
				return false
			}
		}
		if holds != m.IsEqual {
			return false
		}
	}
	return len(matchers) > 0
}

// severityRank puts critical first; what is none of ours lies between it and warning.
func severityRank(e entry) int {
	if e.kind == quiet || e.kind == blank {
		return 0 // as in the file
	}
	switch probes.AlertSeverity(e.rule.Severity) {
	case probes.Critical:
		return 0
	case probes.OK:
		return 3
	}
	if e.rule.Severity == "warning" {
		return 2
	}
	return 1
}

// level is how bad an alert is that fires.
func (e entry) level() theme.Level {
	if severityRank(e) > 0 {
		return theme.Warning
	}
	return theme.Critical
}

// handled puts what nobody looks after first.
func handled(e entry) int {
	switch {
	case len(e.silences) > 0:
		return 2
	case e.ack != nil:
		return 1
	}
	return 0
}

// began is the time that orders entries of one kind: the first one is likely the cause.
func (e entry) began() time.Time {
	switch e.kind {
	case firing, pending:
		return e.alert.ActiveAt
	case frozen:
		return e.frozen.Since
	case elsewhere:
		return e.held.StartsAt
	}
	return time.Time{}
}

// filtered keeps the entries that hold every word of the filter in their name, state or labels.
func filtered(all []entry, filter string) []entry {
	words := strings.Fields(strings.ToLower(filter))
	if len(words) == 0 {
		return all
	}
	var kept []entry
	for _, e := range all {
		text := strings.ToLower(e.kind.word() + " " + e.rule.Name + " " + e.rule.Severity + " " + labelText(e.labels))
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) }) {
			kept = append(kept, e)
		}
	}
	return kept
}

// labelText is every label, for a filter and for people who want to see all.
func labelText(labels map[string]string) string {
	parts := make([]string, 0, len(labels))
	for _, key := range sortedKeys(labels) {
		parts = append(parts, key+"="+labels[key])
	}
	return strings.Join(parts, " ")
}

// told are the labels that tell one alert of a rule from another, the most telling first: bare values of the labels that
// everybody here knows, the others with their names.
func told(e entry) string {
	known := []string{"job", "node", "instance"}
	var parts []string
	for _, key := range known {
		if value := e.labels[key]; value != "" && e.rule.Labels[key] != value {
			parts = append(parts, value)
		}
	}
	for _, key := range sortedKeys(e.labels) {
		if key == "alertname" || key == "__name__" || key == "severity" || key == "runbook" || slices.Contains(known, key) || e.rule.Labels[key] == e.labels[key] {
			continue
		}
		parts = append(parts, key+"="+e.labels[key])
	}
	return strings.Join(parts, " ")
}

// poor says how long after the last evaluation a rule's answer is none any more; how often a group of rules is evaluated
// is not known here, and may be minutes.
const poor = 5 * time.Minute

// old says that nothing of what is listed can be taken for now: captop has not looked, or its source does not answer.
func old(c screen.Context) bool {
	if c.Snapshot == nil || c.Fresh(c.Snapshot.At) == probes.FreshnessUnknown {
		return true
	}
	source := c.Snapshot.Source
	return source.Kind == probes.SourcePrometheus && source.Reach.Contact != probes.Up
}
