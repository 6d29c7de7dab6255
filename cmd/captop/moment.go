package main

import (
	"fmt"
	"strings"
	"time"
)

// moment reads a time within a recording: RFC 3339, a clock time of one of its days, or how long before its end.
func moment(text string, from, to time.Time, zone *time.Location) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	if before, ok := strings.CutPrefix(text, "-"); ok {
		if d, err := time.ParseDuration(before); err == nil {
			return to.Add(-d), nil
		}
	}
	for _, layout := range []string{time.TimeOnly, "15:04"} {
		at, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		for day := from.In(zone); ; day = day.AddDate(0, 0, 1) {
			on := time.Date(day.Year(), day.Month(), day.Day(), at.Hour(), at.Minute(), at.Second(), 0, zone)
			if on.After(to) {
				break
			}
			if !on.Add(time.Minute).Before(from) { // a minute counts as within the recording if any of it is
				return on, nil
			}
		}
		return time.Time{}, fmt.Errorf("%s is not within the recording, which goes from %s to %s", text, stamp(from, zone), stamp(to, zone))
	}
	return time.Time{}, fmt.Errorf("%q is no time: give one such as 15:04, 15:04:05, %s, or -10m for ten minutes before the end", text,
		to.In(zone).Truncate(time.Second).Format(time.RFC3339))
}

// stamp writes a time with its date and zone.
func stamp(at time.Time, zone *time.Location) string {
	return at.In(zone).Format("2006-01-02 15:04:05 MST")
}
