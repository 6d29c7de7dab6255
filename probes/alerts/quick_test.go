package alerts

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func TestQuick(t *testing.T) {
	rules, err := Parse("x.yml", []byte(`
groups:
- name: g
  rules:
  - record: job:foo:sum
    expr: sum by (job) (foo)
  - alert: High
    expr: rate(foo[1m]) > 0.5
    for: 3s
    labels: {severity: page}
    annotations: {summary: "{{ $labels.instance }} at {{ $value | humanize }} {{ range query \"foo\" }}{{ .Value }}{{ end }}"}
  - alert: Down
    expr: up == 0
    for: 3s
`))
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(rules, Options{})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Unix(1000, 0)
	me := map[string]string{"job": "j", "instance": "i"}
	for i := range 300 {
		at := start.Add(time.Duration(i) * time.Second)
		if i > 250 {
			e.Lost(me, at)
		} else if err := e.Ingest(me, fmt.Sprintf("# TYPE foo counter\nfoo{a=\"b\"} %d\n", i), at, nil); err != nil {
			t.Fatal(err)
		}
		for _, edge := range e.Evaluate(at) {
			t.Logf("%d %+v", i, edge)
		}
	}
	t.Logf("%+v", e.Rules())
	t.Log(e.Query(context.Background(), "foo or up or job:foo:sum or ALERTS", start.Add(200*time.Second)))
}
