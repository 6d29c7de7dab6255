package probes

import (
	"math"
	"time"
)

// Limits of what is kept.
const (
	historyPoints = 900 // of each series: 15 minutes at one point a second
	eventLimit    = 200
	// Of the last hour there is one point for every hourStep. Both together take at most 51 kB a series, of which a
	// service has two and a node as well.
	hourStep   = 10 * time.Second
	hourPoints = int(time.Hour / hourStep)
)

// LatencyLimit is the p99 above which a service counts as slow; charts draw it as their limit line.
const LatencyLimit = 500 * time.Millisecond

// history is one series over time: the last minutes in full, and an hour in less detail.
type history struct {
	fine, coarse Series
	open         Point // of the step that has not ended
}

// add appends a point to both.
func (h *history) add(at time.Time, value float64) {
	h.fine = keep(h.fine, Point{At: at, Value: value}, historyPoints)
	step := at.Truncate(hourStep)
	if !step.Equal(h.open.At) {
		if !h.open.At.IsZero() {
			h.coarse = keep(h.coarse, h.open, hourPoints)
		}
		h.open = Point{At: step, Value: value}
		return
	}
	if math.IsNaN(h.open.Value) || value > h.open.Value {
		h.open.Value = value
	}
}

func (h *history) minutes() Series { return last(h.fine, historyPoints) }
func (h *history) hour() Series    { return last(h.coarse, hourPoints) }

// Since gives what is known of a series from a time on: the hour's points as far as the minutes do not reach back.
func Since(hour, minutes Series, from time.Time) Series {
	for len(minutes) > 0 && minutes[0].At.Before(from) {
		minutes = minutes[1:]
	}
	var all Series
	for _, point := range hour {
		if !point.At.Before(from) && (len(minutes) == 0 || point.At.Add(hourStep).Before(minutes[0].At)) {
			all = append(all, point)
		}
	}
	return append(all, minutes...)
}

// keep appends to a list of which the last limit elements matter. What it returned before stays as it was, so
// Snapshots share it without copying.
func keep[T any](list []T, element T, limit int) []T {
	if len(list) >= limit && len(list) == cap(list) {
		list = append(make([]T, 0, limit+limit/4), list[len(list)-limit+1:]...)
	}
	return append(list, element)
}

// last gives the end of a list as an own slice to which nobody can append in place.
func last[T any](list []T, limit int) []T {
	from := max(0, len(list)-limit)
	return list[from:len(list):len(list)]
}
