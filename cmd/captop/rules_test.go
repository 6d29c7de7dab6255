package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRulesFile: a broken file of rules stops the start with its line; a good one is what is evaluated.
func TestRulesFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.yml")
	for text, want := range map[string]string{
		"groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up ==\n":            path + ", line 5",
		"groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up[1d] > 0\n":       path + ", line 5",
		"groups:\n- name: g\n  rulez: []\n":                                        path + ", line 3",
		"groups:\n- name: g\n  rules:\n  - alert: A\n    expr: rate(x[20m]) > 0\n": "15m",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, out, problem := capture(t, "--once", "--rules", path); code != exitUsage || !strings.Contains(problem, want) {
			t.Errorf("%q: exit code %d, %s%s; wanted %q", text, code, out, problem, want)
		}
	}
	if code, _, problem := capture(t, "--once", "--rules", path+".absent"); code != exitUsage || !strings.Contains(problem, "reading the rules") {
		t.Errorf("an absent file: %d, %s", code, problem)
	}
	if err := os.WriteFile(path, []byte("groups:\n- name: g\n  rules:\n  - alert: Always\n    expr: vector(7) > 5\n    labels: {severity: critical}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, _ := capture(t, "--once", "--json", "--interval", "200ms", "--rules", path)
	var snap struct {
		RulesFile string `json:"rules_file"`
		Rules     []struct{ Name, State string }
	}
	if err := json.Unmarshal([]byte(out), &snap); err != nil {
		t.Fatal(err)
	}
	if snap.RulesFile != path || len(snap.Rules) != 1 || snap.Rules[0].State != "firing" || code != 2 {
		t.Errorf("exit code %d, %+v", code, snap)
	}
}

// TestChangedRules: the file is read anew when it changes, and only then.
func TestChangedRules(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.yml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	file := watchedFile{path: path, what: "the rules"}
	for _, want := range []string{"one", "", "", "three", ""} {
		if want == "three" {
			write(want)
		}
		if text, changed, err := file.changed(); string(text) != want || changed != (want != "") || err != nil {
			t.Errorf("%q, %v, %v; wanted %q", text, changed, err, want)
		}
	}
}
