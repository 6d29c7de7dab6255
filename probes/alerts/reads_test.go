package alerts

import (
	"slices"
	"testing"
	"time"
)

func TestReadsIsWhatAnExpressionNeeds(t *testing.T) {
	for expr, want := range map[string][]string{
		`up{node="db_g2"} == 1`:                            {`up{node="db_g2"}`},
		`rate(a[1m] offset 5m) / sum(rate(b[1m])) > 0.1`:   {"a", "b"},
		`(a{x="1"} or a{x="2"}) == 1`:                      {`a{x="1"} or a{x="2"}`},
		`absent(up{job="x"})`:                              nil,
		`a unless b`:                                       {"a"},
		`{__name__=~"a|b"} > 0`:                            {`{__name__=~"a|b"}`},
		`deriv(queue[1m]) < 0 and on (node) (up == 1)`:     {"queue", "up"},
		`time() - max(last_over_time(x_seconds[10m])) > 1`: {"x_seconds"},
		`1 + 1`: nil, `up ==`: nil,
	} {
		if got := Reads(expr); !slices.Equal(got, want) {
			t.Errorf("Reads(%s) is %q, want %q", expr, got, want)
		}
		for _, read := range Reads(expr) {
			if _, err := promQL.ParseExpr(read); err != nil {
				t.Errorf("Reads(%s) gives %q: %v", expr, read, err)
			}
		}
	}
}

func TestCountsIsTheRangeOfEvents(t *testing.T) {
	for expr, want := range map[string]time.Duration{
		`rate(a[1m]) / rate(b[5m]) > 0.1`:                  5 * time.Minute,
		`changes(a[2m]) > 0 and min_over_time(a[9m]) == 0`: 2 * time.Minute,
		`increase((a * 2)[3m:10s]) > 0`:                    3 * time.Minute,
		`time() - max(last_over_time(x_seconds[10m])) > 1`: 0,
		`up == 0`: 0, `up ==`: 0,
	} {
		if got := Counts(expr); got != want {
			t.Errorf("Counts(%s) is %s, want %s", expr, got, want)
		}
	}
}
