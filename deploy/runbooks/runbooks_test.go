package runbooks

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

// known are the series that captop scrapes and makes, and those of its backups. A step about others could never tell.
var known = []string{"up", "app_requests_total", "app_request_latency_seconds_bucket", "app_requests_in_flight", "app_draining",
	"app_max_staleness_ms", "circuit_breaker_state", "data_staleness_ms", "db_connection_failures_total",
	"db_connection_attempts_total", "node_reachable", "replication_queue_depth", "rejoin_active", "rejoin_keys_done",
	"redis_up", "redis_uptime_in_seconds", "redis_connected_clients", "redis_blocked_clients", "redis_memory_used_bytes",
	"redis_memory_max_bytes", "redis_loading_dump_file", "redis_aof_last_write_status", "redis_rdb_last_bgsave_status",
	"redis_rdb_bgsave_in_progress", "redis_rejected_connections_total", "captop_backup_last_verified_timestamp_seconds"}

func TestEveryPageHelps(t *testing.T) {
	if len(Names()) < 12 {
		t.Fatalf("there are only the pages %s", Names())
	}
	for _, name := range Names() {
		page, err := Page(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, section := range []string{"# ", "\n## Meanwhile\n", "\n## First look\n", "\n## Steps\n", "\n## Escalate\n", "\n## It is over when\n"} {
			if strings.Count(page, section) == 0 {
				t.Errorf("%s has no section %q", name, section)
			}
		}
		for i, line := range strings.Split(page, "\n") {
			prose := !strings.HasPrefix(line, "|") && !strings.Contains(line, ": ")
			if prose && len(line) > 125 {
				t.Errorf("%s, line %d is %d characters long", name, i+1, len(line))
			}
		}
		checks, err := Checks(page)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(checks) == 0 {
			t.Errorf("%s has no step that can be run", name)
		}
		for _, check := range checks {
			tryCheck(t, name, check)
		}
	}
}

// tryCheck holds a step's query against Prometheus' own parser, and against the series that there are.
func tryCheck(t *testing.T, page string, check Check) {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(check.Expr)
	if err != nil {
		t.Errorf("%s, %q: %v", page, check.Title, err)
		return
	}
	asks := false
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		switch node := node.(type) {
		case *parser.BinaryExpr:
			asks = asks || node.Op.IsComparisonOperator()
		case *parser.VectorSelector:
			if !slices.Contains(known, node.Name) {
				t.Errorf("%s, %q: nobody makes the series %q", page, check.Title, node.Name)
			}
		}
		return nil
	})
	if !asks {
		t.Errorf("%s, %q: %s compares nothing, and so passes whatever the value", page, check.Title, check.Expr)
	}
}

func TestPageThatIsNot(t *testing.T) {
	for _, name := range []string{"", "nowhere", "../../go", "runbooks"} {
		if _, err := Page(name); !errors.Is(err, ErrNoPage) {
			t.Errorf("Page(%q) gives %v", name, err)
		}
	}
}

func TestChecks(t *testing.T) {
	got, err := Checks("# A\n\nSome: text\n\n```sh\nls: none\n```\n\n```check\nit: answers: up == 1\n\n  indented: vector(1)\n```\n: x\n")
	want := []Check{{"it", "answers: up == 1"}, {"indented", "vector(1)"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for page, want := range map[string]string{
		"```check\nup == 1\n```":          `line 2: "up == 1" is no check step: write a title, a colon, a space and a query`,
		"\n```check\na: up == 1\nb:\n```": `line 4: "b:" is no check step: write a title, a colon, a space and a query`,
		"```check\na: up == 1\n":          "line 2: the block of check steps does not end: close it with ```",
	} {
		if _, err := Checks(page); err == nil || err.Error() != want {
			t.Errorf("%q gives %v, want %s", page, err, want)
		}
	}
}
