package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"captop/deploy/doctor"
	"captop/deploy/prometheus"
)

// edition is one language's edition.
type edition struct {
	headings []string   // their depth and number: "## 3."
	commands []string   // the lines of its sh blocks
	tables   [][]string // the first cell of each row, of each table
	rows     [][][]string
}

func readGuide(t *testing.T, name string) edition {
	t.Helper()
	text, err := os.ReadFile(root(t) + "/deploy/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var g edition
	inside, inTable := false, false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		isRow := strings.HasPrefix(line, "|") && !inside
		switch {
		case strings.HasPrefix(line, "```"):
			inside = !inside
		case inside:
			g.commands = append(g.commands, line)
		case strings.HasPrefix(line, "#"):
			g.headings = append(g.headings, regexp.MustCompile(`^#+ ?[0-9]*\.?`).FindString(line))
		case isRow && !inTable:
			g.tables, g.rows = append(g.tables, nil), append(g.rows, nil) // its head
		case isRow && !strings.HasPrefix(line, "| ---"):
			cells := strings.Split(strings.Trim(line, "|"), " | ")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			last := len(g.tables) - 1
			g.tables[last], g.rows[last] = append(g.tables[last], cells[0]), append(g.rows[last], cells)
		}
		inTable = isRow
	}
	return g
}

// editions are the guide in its two languages.
func editions(t *testing.T) map[string]edition {
	t.Helper()
	return map[string]edition{"GUIDE.md": readGuide(t, "GUIDE.md"), "GUIDE.vi.md": readGuide(t, "GUIDE.vi.md")}
}

// TestEditionsAgree: both languages have the same sections, commands, and tables with as many rows and cells.
func TestEditionsAgree(t *testing.T) {
	all := editions(t)
	en, vi := all["GUIDE.md"], all["GUIDE.vi.md"]
	if len(en.headings) < 10 || !slices.Equal(en.headings, vi.headings) {
		t.Errorf("the headings are %q and %q", en.headings, vi.headings)
	}
	if len(en.commands) < 20 || !slices.Equal(en.commands, vi.commands) {
		t.Errorf("the commands are %q and %q", en.commands, vi.commands)
	}
	if len(en.tables) < 8 || len(en.tables) != len(vi.tables) {
		t.Fatalf("there are %d and %d tables", len(en.tables), len(vi.tables))
	}
	code := regexp.MustCompile("`[^`]+`")
	for i := range en.rows {
		if len(en.rows[i]) != len(vi.rows[i]) {
			t.Errorf("table %d has %d and %d rows", i+1, len(en.rows[i]), len(vi.rows[i]))
			continue
		}
		for n, row := range en.rows[i] {
			other := vi.rows[i][n]
			if len(row) != len(other) || !slices.Equal(code.FindAllString(strings.Join(row, " "), -1), code.FindAllString(strings.Join(other, " "), -1)) {
				t.Errorf("table %d, row %d: %q and %q", i+1, n+1, row, other)
			}
		}
	}
}

// tableOf finds the table that begins with a cell.
func tableOf(t *testing.T, g edition, first string) [][]string {
	t.Helper()
	at := slices.IndexFunc(g.tables, func(cells []string) bool { return len(cells) > 0 && cells[0] == first })
	if at < 0 {
		t.Fatalf("no table begins with %s", first)
	}
	return g.rows[at]
}

// TestGuideHasEverySetting: the table is .env.example's names with their values, in its order.
func TestGuideHasEverySetting(t *testing.T) {
	text, err := os.ReadFile(root(t) + "/.env.example")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^#?([A-Z][A-Z_0-9]+)=(.*)$`).FindAllStringSubmatch(string(text), -1)
	for name, g := range editions(t) {
		rows := tableOf(t, g, "`APP_ENV`")
		for i, setting := range found {
			value := setting[2]
			if value != "" {
				value = "`" + value + "`"
			}
			if i >= len(rows) || rows[i][0] != "`"+setting[1]+"`" || rows[i][1] != value || len(rows[i]) != 3 || rows[i][2] == "" {
				t.Fatalf("%s, row %d of the settings is %q; .env.example has %s=%s: add a row in both languages", name, i+1, rows[min(i, len(rows)-1)], setting[1], setting[2])
			}
		}
		if len(rows) != len(found) {
			t.Errorf("%s has %d settings, .env.example %d", name, len(rows), len(found))
		}
	}
}

// TestGuideHasEveryAlert: the table is the alerts of alerts.yml with how long, how bad, and which page.
func TestGuideHasEveryAlert(t *testing.T) {
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert  string            `yaml:"alert"`
				Expr   string            `yaml:"expr"`
				For    string            `yaml:"for"`
				Labels map[string]string `yaml:"labels"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(prometheus.Rules, &file); err != nil {
		t.Fatal(err)
	}
	// What the table says of a limit, and how the rule has it.
	limits := map[string][2]string{"ErrorRatioHigh": {"5 %", "> 0.05"}, "LatencyHigh": {"500 ms", "> 0.5"}, "ConnectionFailuresHigh": {"10 %", "> 0.1"},
		"BackupTooOld": {"5 ", "> 300"}, "StalenessHigh": {"MAX_STALENESS_MS", "app_max_staleness_ms"}}
	for name, g := range editions(t) {
		var want, got [][]string
		for _, group := range file.Groups {
			for _, rule := range group.Rules {
				held := rule.For
				if held == "" {
					held = "0s"
				}
				want = append(want, []string{"`" + rule.Alert + "`", held, rule.Labels["severity"], "`" + rule.Labels["runbook"] + "`"})
			}
		}
		for _, row := range tableOf(t, g, "`CircuitBreakerOpen`") {
			got = append(got, append([]string{row[0]}, row[2:]...))
			limit, ok := limits[strings.Trim(row[0], "`")]
			if ok && !strings.Contains(row[1], limit[0]) {
				t.Errorf("%s: %s does not say %q", name, row[0], limit[0])
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s has the alerts\n%v\nand alerts.yml\n%v", name, got, want)
		}
	}
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			if limit, ok := limits[rule.Alert]; ok && !strings.Contains(rule.Expr, limit[1]) {
				t.Errorf("%s no longer has %q: change the guides, too", rule.Alert, limit[1])
			}
		}
	}
}

// TestGuideHasEveryCheck: the checklist is what captop doctor goes through.
func TestGuideHasEveryCheck(t *testing.T) {
	for name, g := range editions(t) {
		rows := tableOf(t, g, "`app-env`")
		lines := doctor.Checklist()
		if len(rows) != len(lines) {
			t.Fatalf("%s has %d checks, captop doctor %d", name, len(rows), len(lines))
		}
		for i, line := range lines {
			if rows[i][0] != "`"+line.Name+"`" || name == "GUIDE.md" && rows[i][1] != line.Title {
				t.Errorf("%s, row %d: %q; captop doctor has %s: %s", name, i+1, rows[i], line.Name, line.Title)
			}
		}
	}
}
