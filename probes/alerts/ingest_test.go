package alerts

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// shown asks for everything there is, as lines of PromQL.
func shown(t testing.TB, e *Engine, second int) []string {
	t.Helper()
	found, err := e.Query(t.Context(), `{__name__=~".+"}`, after(second))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, sample := range found {
		all = append(all, selectorOf(sample.Labels)+" "+number(sample.Value))
	}
	slices.Sort(all)
	return all
}

func TestIngest(t *testing.T) {
	const mine = `instance="a",job="app"`
	for _, test := range []struct {
		name  string
		pages []string // one a second; "!" for a scrape that failed
		want  []string // but for up; nil: the last page does not parse
	}{
		{"plain", []string{"# HELP x y\n# TYPE x counter\nx 1\nz{a=\"b\"} 2e3\n"}, []string{`x{` + mine + `} 1`, `z{a="b",` + mine + `} 2000`}},
		{"no line end", []string{"x 1"}, []string{`x{` + mine + `} 1`}},
		{"the newest", []string{"x 1\n", "x 2\n"}, []string{`x{` + mine + `} 2`}},
		{"gone from the page", []string{"x 1\ny 1\n", "y 2\n"}, []string{`y{` + mine + `} 2`}},
		{"gone and back", []string{"x 1\ny 1\n", "y 2\n", "x 3\n"}, []string{`x{` + mine + `} 3`}},
		{"another order", []string{"x 1\ny 2\n", "y 3\nx 4\n"}, []string{`x{` + mine + `} 4`, `y{` + mine + `} 3`}},
		{"an empty page", []string{"x 1\n", ""}, []string{}},
		{"a failed scrape", []string{"x 1\n", "!"}, []string{}},
		{"back after a failed scrape", []string{"x 1\n", "!", "x 5\n"}, []string{`x{` + mine + `} 5`}},
		{"a label that the target has too", []string{`x{job="z",instance="q"} 1`},
			[]string{`x{exported_instance="q",exported_job="z",` + mine + `} 1`}},
		{"and one that takes its place", []string{`x{job="z",exported_job="q"} 1`},
			[]string{`x{exported_exported_job="z",exported_job="q",` + mine + `} 1`}},
		{"an empty label", []string{`x{a=""} 1`}, []string{`x{` + mine + `} 1`}},
		{"twice on a page", []string{"x 1\nx 2\ny 1\n"}, []string{`x{` + mine + `} 1`, `y{` + mine + `} 1`}},
		{"written in two ways", []string{"x{a=\"1\",b=\"2\"} 1\n", "x{b=\"2\",a=\"1\"} 2\n"}, []string{`x{a="1",b="2",` + mine + `} 2`}},
		{"with its time", []string{fmt.Sprintf("x 1 %d\n", start.UnixMilli())}, []string{`x{` + mine + `} 1`}},
		{"with its time, and gone", []string{fmt.Sprintf("x 1 %d\n", start.UnixMilli()), "y 1\n"},
			[]string{`x{` + mine + `} 1`, `y{` + mine + `} 1`}},
		{"infinity", []string{"x +Inf\ny -Inf\n"}, []string{`x{` + mine + `} +Inf`, `y{` + mine + `} -Inf`}},
		{"quoted names", []string{`{"x.y",a="b"} 1`}, []string{`x.y{a="b",` + mine + `} 1`}},
		{"nonsense", []string{"x 1\n", "<html>\n"}, nil},
		{"nonsense at the end", []string{"x 1\ny 1\n", "x 2\ny\n"}, nil},
		{"no value", []string{"x\n"}, nil},
		{"no name", []string{"{a=\"b\"} 1\n"}, nil},
		{"a label twice", []string{"x{a=\"b\",a=\"c\"} 1\n"}, nil},
		{"not UTF-8", []string{"x{a=\"\xff\"} 1\n"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := engineWith(t, "")
			for second, page := range test.pages {
				if page == "!" {
					e.Lost(here, after(second))
					continue
				}
				visits := 0
				err := e.Ingest(here, page, after(second), func(uint64, Series, float64) { visits++ })
				if broken := test.want == nil && second == len(test.pages)-1; (err != nil) != broken || broken && visits > 0 {
					t.Fatalf("%q: %v, and %d visits", page, err, visits)
				}
			}
			up := `up{` + mine + `} 1`
			if test.want == nil || test.pages[len(test.pages)-1] == "!" {
				up = `up{` + mine + `} 0`
			}
			want := slices.Sorted(slices.Values(append(test.want, up)))
			if got := shown(t, e, len(test.pages)-1); !reflect.DeepEqual(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

// TestASampleIsVisitedOnce, also where a page has its series twice.
func TestASampleIsVisitedOnce(t *testing.T) {
	e := engineWith(t, "")
	for second := range 3 {
		var seen []string
		err := e.Ingest(here, "x 1\ny{n=\"1\"} 2\nx 3\n", after(second), func(_ uint64, series Series, v float64) {
			seen = append(seen, fmt.Sprint(series.Name(), series.Get("n"), v))
		})
		if want := []string{"x1", "y12"}; err != nil || !reflect.DeepEqual(seen, want) {
			t.Errorf("%q and not %q (%v)", seen, want, err)
		}
	}
}

func TestForgottenTargetsAndOwnSeriesEnd(t *testing.T) {
	e := engineWith(t, "")
	ingest(t, e, "x 1\n", 0)
	e.Set("redis_up", map[string]string{"node": "db_g1"}, 1, after(0))
	e.Set("redis_up", nil, 0, after(0))
	want := []string{`redis_up{node="db_g1"} 1`, `redis_up{} 0`, `up{instance="a",job="app"} 1`, `x{instance="a",job="app"} 1`}
	if got := shown(t, e, 0); !reflect.DeepEqual(got, want) {
		t.Fatalf("%q", got)
	}
	e.Forget(here, after(1))
	e.Forget(map[string]string{"instance": "never seen"}, after(1))
	e.End("redis_up", nil, after(1))
	e.End("never_set", nil, after(1))
	e.Set("redis_up", map[string]string{"node": "db_g1"}, 0, after(1))
	if got, want := shown(t, e, 1), want[:1]; len(got) != 1 || got[0] != `redis_up{node="db_g1"} 0` {
		t.Errorf("%q and not %q", got, want)
	}
}

// TestRefsStay: what a caller keeps under a ref is right for as long as samples come, through gaps and other orders.
func TestRefsStay(t *testing.T) {
	e := engineWith(t, "")
	known, other := map[string]uint64{}, map[string]uint64{}
	visit := func(refs map[string]uint64) Visit {
		return func(ref uint64, series Series, _ float64) {
			key := series.Name() + series.Get("n") + fmt.Sprint(series.Labels())
			if before, ok := refs[key]; ok && before != ref {
				t.Errorf("%s had the ref %d and has %d", key, before, ref)
			}
			refs[key] = ref
		}
	}
	lines := []string{"x{n=\"1\"} 1\n", "x{n=\"2\"} 1\n", "y 1\n"}
	for second := range 300 {
		if second%7 == 3 {
			e.Lost(here, after(second))
			continue
		}
		slices.Reverse(lines)
		if err := e.Ingest(here, strings.Join(lines, ""), after(second), visit(known)); err != nil {
			t.Fatal(err)
		}
		if err := e.Ingest(map[string]string{"instance": "b"}, strings.Join(lines, ""), after(second), visit(other)); err != nil {
			t.Fatal(err)
		}
	}
	all := map[uint64]bool{}
	for _, ref := range slices.Concat(slices.Collect(maps.Values(known)), slices.Collect(maps.Values(other))) {
		all[ref] = true
	}
	if len(all) != 6 {
		t.Errorf("6 series have %d refs", len(all))
	}
}

// TestOldSamplesGo: what is kept stays as large as it is, and what comes back after it was dropped begins anew.
func TestOldSamplesGo(t *testing.T) {
	e := engineWith(t, "{record: r, expr: 'max_over_time(x[5m])'}")
	count := func() (series, chunks int) {
		for _, x := range e.store.all {
			series++
			chunks += len(x.closed) + 1
		}
		return series, chunks
	}
	page := func(second int) string { return fmt.Sprintf("x %d\nonce{n=\"%d\"} 1\n", second, second/100) }
	for second := range 3000 {
		ingest(t, e, page(second), second)
		e.Evaluate(after(second))
	}
	series, chunks := count()
	for second := 3000; second < 6000; second++ {
		ingest(t, e, page(second), second)
		e.Evaluate(after(second))
	}
	seriesLater, chunksLater := count()
	if series > 20 || chunks > 60 || seriesLater > series+2 || chunksLater > chunks+6 {
		t.Errorf("%d series in %d chunks, and later %d in %d", series, chunks, seriesLater, chunksLater)
	}
	for _, x := range e.store.byName["x"].series {
		if len(x.recent) > 700 {
			t.Errorf("%d samples are kept unpacked", len(x.recent))
		}
	}
	e.Lost(here, after(6000))
	e.Evaluate(after(9000))
	ingest(t, e, "x 1\n", 9001)
	if got := shown(t, e, 9001); len(got) != 2 {
		t.Errorf("%q", got)
	}
	if got, err := e.Query(t.Context(), "count_over_time(x[14m])", after(5999)); err != nil || len(got) != 0 {
		t.Errorf("what was dropped is there: %v, %v", got, err)
	}
}

// TestIteratorsReadWhatWasAdded compares every way to read a series with a plain list.
func TestIteratorsReadWhatWasAdded(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var reused chunkenc.Iterator
	for range 400 {
		back := int64(random.IntN(3)) * 40_000
		s := newStore(time.Hour)
		s.ranges = map[string]int64{"x": back}
		x := s.series(labels.FromStrings("__name__", "x"))
		var all []point
		for at, n := int64(1000), random.IntN(400); len(all) < n; at += 1 + int64(random.IntN(2000)) {
			all = append(all, point{at, float64(random.IntN(50))})
			x.add(at, all[len(all)-1].v)
			x.add(at-int64(random.IntN(2)), -1) // not newer: dropped
		}
		from := int64(random.IntN(500_000))
		hints := &storage.SelectHints{Start: from, End: from + int64(random.IntN(400_000)), Range: int64(random.IntN(2))}
		querier, err := s.Querier(0, math.MaxInt64)
		if err != nil {
			t.Fatal(err)
		}
		set := querier.Select(t.Context(), false, hints, labels.MustNewMatcher(labels.MatchEqual, "__name__", "x"))
		for set.Next() {
			reused = set.At().Iterator(reused)
			compareIterator(t, random, reused, all, hints)
		}
	}
}

// compareIterator walks at random; samples before the hints' start may be left out.
func compareIterator(t *testing.T, random *rand.Rand, it chunkenc.Iterator, all []point, hints *storage.SelectHints) {
	t.Helper()
	if hints.Range == 0 && hints.End-hints.Start < lookback.Milliseconds() {
		// Only the newest of the window is asked for.
		n, _ := slices.BinarySearchFunc(all, hints.End+1, func(p point, t int64) int { return int(p.t - t) })
		var last point
		for it.Next() != chunkenc.ValNone && it.AtT() <= hints.End {
			last.t, last.v = it.At()
		}
		if n > 0 && all[n-1].t >= hints.Start && last != all[n-1] {
			t.Fatalf("the newest is %v and not %v", last, all[n-1])
		}
		return
	}
	for len(all) > 0 && all[0].t < hints.Start {
		all = all[1:]
	}
	at, begun := 0, false
	for {
		kind := chunkenc.ValNone
		if step := random.IntN(3); step == 0 || !begun {
			seek := hints.Start + int64(random.IntN(30_000))
			if begun {
				seek = it.AtT() + int64(random.IntN(30_000)) - 5000
			}
			kind = it.Seek(seek)
			for at < len(all) && all[at].t < seek {
				at++
			}
		} else {
			kind = it.Next()
			at++
		}
		begun = true
		if at >= len(all) {
			if kind != chunkenc.ValNone || it.Err() != nil {
				t.Fatalf("after the last: %v, %v", kind, it.Err())
			}
			return
		}
		when, v := it.At()
		if kind != chunkenc.ValFloat || (point{when, v}) != all[at] || it.AtT() != when {
			t.Fatalf("sample %d is %d %v (%v) and not %v", at, when, v, kind, all[at])
		}
	}
}

func FuzzIngest(f *testing.F) {
	f.Add("x 1\n# TYPE x counter\nx{a=\"b\"} 2 1000\n", "x 1\n")
	f.Add("{\"x y\"} NaN\n", "x{le=\"0.5\"} +Inf\nx{le=\"1\"} 3\n")
	f.Add("x{job=\"1\",exported_job=\"2\"} 0x1p4\n", "")
	f.Add("# HELP x \xff\n", "x{a=\"\\n\\\\\"} -0\n")
	f.Fuzz(func(t *testing.T, first, second string) {
		e := engineWith(t, "{alert: A, expr: '{__name__=~\".+\"} > 0', for: 2s}, {record: r, expr: 'count({__name__=~\".+\"})'}")
		for i, page := range []string{first, second, first, second} {
			err := e.Ingest(here, page, after(i), func(_ uint64, series Series, _ float64) {
				if series.Name() == "" || series.Get("instance") != "a" {
					t.Errorf("a series without its name or target: %v", series.Labels())
				}
			})
			e.Evaluate(after(i))
			up, queryErr := e.Query(t.Context(), `up{instance="a",job="app"}`, after(i))
			if queryErr != nil || len(up) != 1 || (up[0].Value == 1) != (err == nil) {
				// A page may have a series of its own that is called up, with a time of its own.
				if !strings.Contains(page, "up") {
					t.Errorf("%q: %v, and up is %v (%v)", page, err, up, queryErr)
				}
			}
		}
		e.Forget(here, after(9))
	})
}
