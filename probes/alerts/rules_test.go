package alerts

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestABrokenFileSaysWhatAndWhere reads every file in testdata/bad, which the table has to know.
func TestABrokenFileSaysWhatAndWhere(t *testing.T) {
	messages := map[string]string{
		"alert-and-record":          "alerts.yml, line 4: group captop, rule X: only one of 'record' and 'alert' must be set",
		"bad-duration":              `alerts.yml, line 6: unknown unit " minute" in duration "1 minute"`,
		"bad-label-name":            "alerts.yml, line 4: group captop, rule X: invalid label name: __name__",
		"bad-query-folded":          `alerts.yml, line 6: group captop, rule X: could not parse expression: character 6 of the line: expected type range vector in call to function "rate", got instant vector`,
		"bad-query-in-block":        "alerts.yml, line 7: group captop, rule X: could not parse expression: character 1 of the line: unclosed left parenthesis",
		"bad-query":                 `alerts.yml, line 8: group captop, rule X: could not parse expression: character 26: unexpected identifier "job" in grouping opts, expected "("`,
		"bad-template":              `alerts.yml, line 10: group captop, rule X: annotation "summary": template: __alert_X:1: unclosed action`,
		"binary":                    "alerts.yml: control characters are not allowed",
		"fixed-time":                "alerts.yml, line 5: group captop, rule X: it looks at a fixed time (@), and captop keeps only the last 15m of samples",
		"for-in-a-recording-rule":   "alerts.yml, line 4: group captop, rule a:b: invalid field 'for' in recording rule",
		"group-twice":               `alerts.yml, line 4: groupname: "captop" is repeated in the same file`,
		"group-without-name":        "alerts.yml, line 2: Groupname must not be empty",
		"merge-twice":               `alerts.yml, line 7: mapping key "expr" already defined at line 6`,
		"neither-alert-nor-record":  "alerts.yml, line 4: group captop, rule 1: one of 'record' or 'alert' must be set",
		"no-expr":                   "alerts.yml, line 6: group captop, rule X: field 'expr' must be set in rule",
		"not-yaml":                  "alerts.yml, line 3: did not find expected '-' indicator",
		"offset-too-far":            "alerts.yml, line 7: group captop, rule X: it looks back 16m, and captop keeps only the last 15m of samples",
		"query-offset-too-far":      "alerts.yml, line 6: group captop, rule a:b: it looks back 16m, and captop keeps only the last 15m of samples",
		"range-too-long":            "alerts.yml, line 7: group captop, rule X: it looks back 20m, and captop keeps only the last 15m of samples",
		"rules-are-no-list":         "alerts.yml, line 4: cannot read map into a list of rules",
		"several":                   "alerts.yml, line 5: group captop, rule X: could not parse expression: character 6: unexpected end of input (and 2 more)",
		"subquery-too-long":         "alerts.yml, line 5: group captop, rule X: it looks back 16m, and captop keeps only the last 15m of samples",
		"unknown-field-at-top":      "alerts.yml, line 1: field group not found at the top of the file",
		"unknown-field-of-group":    "alerts.yml, line 3: field intervall not found in a group",
		"unknown-field-of-rule":     "alerts.yml, line 6: field fro not found in a rule",
		"unknown-template-function": `alerts.yml, line 4: group captop, rule X: label "level": template: __alert_X:1: function "humanise" not defined`,
		"words":                     "alerts.yml, line 1: cannot read str `just words` into a file of rules (groups: …)",
	}
	files, err := filepath.Glob("testdata/bad/*.yml")
	if err != nil || len(files) != len(messages) {
		t.Fatalf("%d files for %d messages (%v)", len(files), len(messages), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yml")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			rules, err := Parse("alerts.yml", text)
			if err == nil {
				_, err = New(rules, Options{})
			}
			if _, ok := errors.AsType[*FileError](err); !ok || err.Error() != messages[name] {
				t.Errorf("got  %v\nwant %s", err, messages[name])
			}
		})
	}
}

func TestRulesMayLookBackAsFarAsSamplesAreKept(t *testing.T) {
	for expr, back := range map[string]time.Duration{
		"1 > bool 0":                          0,
		"up":                                  lookback,
		"vector(time())":                      0,
		"up offset 3m":                        lookback + 3*time.Minute,
		"up offset -3m":                       2 * time.Minute,
		"rate(x[7m])":                         7 * time.Minute,
		"rate(x[7m] offset 2m)":               9 * time.Minute,
		"rate(x[1m]) / rate(y[2m] offset 1h)": time.Hour + 2*time.Minute,
		"max_over_time(x[10m:1m])":            10*time.Minute + lookback,
		"max_over_time(rate(x[4m])[10m:1m] offset 2m)": 16 * time.Minute,
		"absent_over_time(x[12m])":                     12 * time.Minute,
		"x @ end() - x offset 1m":                      lookback + time.Minute,
	} {
		got, err := lookBack(expr)
		if err != nil || got != back {
			t.Errorf("%s looks back %s (%v), and not %s", expr, got, err, back)
		}
	}
	rules, err := Parse("x.yml", []byte("groups: [{name: g, rules: [{record: a, expr: 'rate(x[7m])'}]}]"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(rules, Options{Keep: 7 * time.Minute}); err != nil {
		t.Errorf("a rule that looks back as far as is kept: %v", err)
	}
	if _, err := New(rules, Options{Keep: 6 * time.Minute}); err == nil {
		t.Error("a rule that looks back further than is kept was taken")
	}
	if _, err := New(rules, Options{Keep: time.Minute}); !errors.Is(err, ErrKeep) {
		t.Errorf("keeping a minute: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yml", "testdata/*.yml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		rules, err := Parse("alerts.yml", text)
		if err != nil {
			wrong, ok := errors.AsType[*FileError](err)
			if !ok || wrong.What == "" || wrong.Line < 0 || wrong.Line > len(text)+1 {
				t.Errorf("%#v", err)
			}
			return
		}
		if e, err := New(rules, Options{}); err == nil {
			e.Evaluate(time.Unix(1_800_000_000, 0))
		}
	})
}
