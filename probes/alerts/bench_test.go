package alerts

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/textparse"
)

// fleet makes the pages of many targets with 60 series each, like those of the services.
type fleet struct {
	counters [][]float64
	names    []string
	page     []byte
}

// newFleet makes n targets.
func newFleet(n int) *fleet {
	f := &fleet{}
	for _, operation := range []string{"read", "write"} {
		for _, status := range []string{"200", "404", "409", "429", "503"} {
			f.names = append(f.names, fmt.Sprintf(`app_requests_total{mode="cp",operation=%q,status=%q}`, operation, status))
		}
		for _, le := range strings.Fields("0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1.0 2.5 +Inf") {
			f.names = append(f.names, fmt.Sprintf(`app_request_latency_seconds_bucket{mode="cp",operation=%q,le=%q}`, operation, le))
		}
	}
	for _, node := range []string{"db_g1", "db_g2"} {
		for _, name := range strings.Fields(`circuit_breaker_state data_staleness_ms replication_queue_depth rejoin_active
			db_connection_attempts_total db_connection_failures_total`) {
			f.names = append(f.names, fmt.Sprintf(`%s{mode="cp",node=%q}`, name, node))
		}
	}
	f.names = append(f.names, `app_max_staleness_ms{mode="cp"}`)
	for len(f.names) < 60 {
		f.names = append(f.names, fmt.Sprintf("go_something_%d", len(f.names)))
	}
	for range n {
		f.counters = append(f.counters, make([]float64, len(f.names)))
	}
	return f
}

// next is the page of a target a second later.
func (f *fleet) next(target int, random *rand.Rand) string {
	values := f.counters[target]
	f.page = f.page[:0]
	for i, name := range f.names {
		if strings.Contains(name, "_total") || strings.Contains(name, "bucket") || strings.HasPrefix(name, "go_") {
			values[i] += float64(random.IntN(20))
		}
		f.page = append(f.page, name...)
		f.page = append(f.page, ' ')
		f.page = strconv.AppendFloat(f.page, values[i], 'g', -1, 64)
		f.page = append(f.page, '\n')
	}
	return string(f.page)
}

func (f *fleet) target(i int) map[string]string {
	return map[string]string{"job": "app_cp", "instance": fmt.Sprintf("10.0.%d.%d:5001", i/250, i%250)}
}

// fill lets an engine scrape the fleet once a second, evaluating the rules or not.
func (f *fleet) fill(b *testing.B, e *Engine, seconds int, evaluate bool) time.Time {
	b.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	at := time.Unix(1_800_000_000, 0)
	for range seconds {
		at = at.Add(time.Second)
		for i := range f.counters {
			// Scrapes are some milliseconds off, as they are in life.
			if err := e.Ingest(f.target(i), f.next(i, random), at.Add(time.Duration(random.IntN(4))*time.Millisecond), nil); err != nil {
				b.Fatal(err)
			}
		}
		if evaluate {
			e.Evaluate(at.Add(500 * time.Millisecond))
		}
	}
	return at
}

func benchEngine(b *testing.B) *Engine {
	b.Helper()
	e, err := New(loadRules(b, "../../deploy/prometheus/alerts.yml"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// BenchmarkIngest reads pages that were read before, as nearly all are; beside it, what the parser alone costs, and what
// Prometheus' other parser costs, which makes a tree of the page.
func BenchmarkIngest(b *testing.B) {
	f := newFleet(1)
	random := rand.New(rand.NewPCG(1, 2))
	pages := make([]string, 64)
	for i := range pages {
		pages[i] = f.next(0, random)
	}
	b.Run("captop", func(b *testing.B) {
		e, at, target := benchEngine(b), time.Unix(1_800_000_000, 0), f.target(0)
		b.SetBytes(int64(len(pages[0])))
		sum := 0.0
		for i := 0; b.Loop(); i++ {
			at = at.Add(time.Second)
			if err := e.Ingest(target, pages[i%64], at, func(_ uint64, _ Series, v float64) { sum += v }); err != nil {
				b.Fatal(err)
			}
			if i%60 == 0 {
				e.store.sweep(at.UnixMilli())
			}
		}
	})
	b.Run("textparse alone", func(b *testing.B) {
		b.SetBytes(int64(len(pages[0])))
		for i := 0; b.Loop(); i++ {
			parser := textparse.NewPromParser([]byte(pages[i%64]), nil, false)
			for {
				if _, err := parser.Next(); err != nil {
					break
				}
			}
		}
	})
	b.Run("expfmt", func(b *testing.B) {
		b.SetBytes(int64(len(pages[0])))
		for i := 0; b.Loop(); i++ {
			parser := expfmt.NewTextParser(model.UTF8Validation)
			if _, err := parser.TextToMetricFamilies(strings.NewReader(pages[i%64])); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkEvaluate evaluates the shipped rules once, over six minutes of samples.
func BenchmarkEvaluate(b *testing.B) {
	for _, targets := range []int{2, 20, 200} {
		b.Run(fmt.Sprintf("%d targets", targets), func(b *testing.B) {
			e, f := benchEngine(b), newFleet(targets)
			at := f.fill(b, e, 360, false)
			for b.Loop() {
				e.Evaluate(at.Add(500 * time.Millisecond))
			}
		})
	}
}

// BenchmarkMemory tells what 15 minutes of samples cost at one scrape a second.
func BenchmarkMemory(b *testing.B) {
	for _, targets := range []int{2, 200, 1000} {
		b.Run(fmt.Sprintf("%d targets", targets), func(b *testing.B) {
			for b.Loop() {
				var before, after runtime.MemStats
				f := newFleet(targets)
				runtime.GC()
				runtime.ReadMemStats(&before)
				e := benchEngine(b)
				f.fill(b, e, 900, false)
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(targets*60*900), "bytes/sample")
				runtime.KeepAlive(e)
			}
		})
	}
}
