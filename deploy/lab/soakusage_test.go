package lab

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// usage is what a process of the service holds, by its own metrics.
type usage struct{ goroutines, descriptors, heap, resident float64 }

// String is for the log.
func (u usage) String() string {
	return fmt.Sprintf("[%.0f goroutines, %.0f descriptors, heap %.1f MB, resident %.1f MB]", u.goroutines, u.descriptors, u.heap/1e6, u.resident/1e6)
}

func readUsage(url string) (u usage, err error) {
	client := http.Client{Timeout: 20 * time.Second}
	response, err := client.Get(url + "/metrics")
	if err != nil {
		return u, err
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return u, err
	}
	for name, to := range map[string]*float64{"go_goroutines": &u.goroutines, "process_open_fds": &u.descriptors,
		"go_memstats_heap_inuse_bytes": &u.heap, "process_resident_memory_bytes": &u.resident} {
		family := families[name]
		if family == nil || len(family.Metric) != 1 || family.Metric[0].Gauge == nil {
			return u, fmt.Errorf("no gauge %s", name)
		}
		*to = family.Metric[0].Gauge.GetValue()
	}
	return u, nil
}

// usageFigures are the figures that have to stay flat, and how much more than at first is still flat: connections come
// and go with the faults, and a heap breathes.
var usageFigures = []struct {
	name  string
	of    func(usage) float64
	slack float64
}{
	{"goroutines", func(u usage) float64 { return u.goroutines }, 60},
	{"descriptors", func(u usage) float64 { return u.descriptors }, 60},
	{"heap in use", func(u usage) float64 { return u.heap }, 16e6},
	{"resident memory", func(u usage) float64 { return u.resident }, 32e6},
}

// flat says what has grown: the median of the last third of the calms against that of the first third.
func flat(all []usage) error {
	third := max(1, len(all)/3)
	for _, f := range usageFigures {
		first, last := medianOf(all[:third], f.of), medianOf(all[len(all)-third:], f.of)
		if last > 1.25*first+f.slack {
			return fmt.Errorf("%s grew from %.0f to %.0f: %v", f.name, first, last, all)
		}
	}
	return nil
}

func medianOf(all []usage, figure func(usage) float64) float64 {
	var figures []float64
	for _, u := range all {
		figures = append(figures, figure(u))
	}
	slices.Sort(figures)
	return figures[len(figures)/2]
}

func most(all []usage) (m usage) {
	for _, u := range all {
		m = usage{max(m.goroutines, u.goroutines), max(m.descriptors, u.descriptors), max(m.heap, u.heap), max(m.resident, u.resident)}
	}
	return m
}
