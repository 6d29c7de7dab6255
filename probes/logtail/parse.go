package logtail

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"captop/probes"
)

// parse makes an event of a line: slog's JSON, or any other text, which says nothing about how bad it is. ok is false for
// what is left out: blank lines, and requests that went well.
func parse(line, file string, now time.Time) (event probes.Event, ok bool) {
	line = strings.TrimSpace(line)
	if line == "" {
		return probes.Event{}, false
	}
	event = probes.Event{At: now, Severity: probes.Unknown, Kind: kind, Target: service(file), Text: line}
	var fields map[string]any
	decoder := json.NewDecoder(strings.NewReader(line))
	decoder.UseNumber() // versions and counters are longer than what a float holds
	if decoder.Decode(&fields) != nil || fields["msg"] == nil {
		return event, true
	}
	if at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(fields["time"])); err == nil {
		event.At = at
	}
	event.Severity = severity(fmt.Sprint(fields["level"]))
	message := fmt.Sprint(fields["msg"])
	if event.Severity == probes.OK && (message == "write" || message == "read") {
		return event, false
	}
	facts := []string{message}
	for _, name := range names(fields) {
		facts = append(facts, name+"="+text(fields[name]))
	}
	event.Text = strings.Join(facts, "\n")
	return event, true
}

// severity reads slog's levels, which may carry an offset such as WARN+2.
func severity(level string) probes.Severity {
	switch level, _, _ = strings.Cut(level, "+"); level {
	case "ERROR":
		return probes.Critical
	case "WARN", "WARNING":
		return probes.Warning
	case "INFO", "DEBUG":
		return probes.OK
	}
	return probes.Unknown
}

// telling are the attributes that say what a line is about, the most telling first: a narrow screen cuts the others.
var telling = []string{"mode", "node", "code", "to", "from", "error"}

// names are the attributes, the telling ones before the others, which are in alphabetical order, without those that an event
// has fields for.
func names(fields map[string]any) []string {
	var all []string
	for name := range fields {
		if name != "time" && name != "level" && name != "msg" {
			all = append(all, name)
		}
	}
	rank := func(name string) int {
		if i := slices.Index(telling, name); i >= 0 {
			return i
		}
		return len(telling)
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(rank(a)-rank(b), strings.Compare(a, b)) })
	return all
}

// text writes an attribute as a log would: text as it is, the rest as JSON.
func text(value any) string {
	if s, ok := value.(string); ok {
		return s
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(encoded)
}
