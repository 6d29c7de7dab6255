package probes

import "time"

// Limits of what is kept.
const (
	historyPoints = 900 // of each series: 15 minutes at one point a second
	eventLimit    = 200
)

// LatencyLimit is the p99 above which a service counts as slow; charts draw it as their limit line.
const LatencyLimit = 500 * time.Millisecond

// keep appends to a list of which the last limit elements matter. What it returned before stays as it was, so
// Snapshots share it without copying.
func keep[T any](list []T, element T, limit int) []T {
	if len(list) >= limit && len(list) == cap(list) {
		list = append(make([]T, 0, 2*limit), list[len(list)-limit+1:]...)
	}
	return append(list, element)
}

// last gives the end of a list as an own slice to which nobody can append in place.
func last[T any](list []T, limit int) []T {
	from := max(0, len(list)-limit)
	return list[from:len(list):len(list)]
}
