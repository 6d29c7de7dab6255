package alerts

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// FileError says what is wrong in a file of rules, and where.
type FileError struct {
	File string
	Line int // counts from 1; 0 where it is not known
	What string
}

// Error is "alerts.yml, line 12: group captop, rule X: what is wrong".
func (e *FileError) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.What
	}
	return fmt.Sprintf("%s, line %d: %s", e.File, e.Line, e.What)
}

// Rules are the groups of one file, checked. They are not changed after Parse.
type Rules struct {
	file   string
	groups []groupRules
}

// groupRules is one group as it stands in the file.
type groupRules struct {
	name     string
	interval time.Duration // 0: whenever the engine is asked
	offset   time.Duration // how far before the evaluation the rules look
	limit    int           // of alerts or series for each rule; 0: none
	rules    []ruleText
}

// ruleText is one rule as it stands in the file.
type ruleText struct {
	record      bool
	name        string
	expr        string
	hold        time.Duration
	keep        time.Duration
	labels      labels.Labels // with those of the group
	annotations map[string]string
	line        int // of its expression
}

// promQL reads expressions as a Prometheus without feature flags does.
var promQL = parser.NewParser(parser.Options{})

// Parse reads and checks the text of a rules file, as Prometheus does. The name is for messages. Where the text cannot
// be used the error is a *FileError for the first thing that is wrong.
func Parse(name string, text []byte) (rules *Rules, err error) {
	defer func() {
		// The YAML library and the check behind it are not ours, and the text may be anybody's.
		if problem := recover(); problem != nil {
			rules, err = nil, &FileError{File: name, What: fmt.Sprintf("the file cannot be read: %v", problem)}
		}
	}()
	parsed, errs := rulefmt.Parse(text, false, model.UTF8Validation, promQL, slog.New(slog.DiscardHandler))
	places := locate(text)
	if len(errs) > 0 {
		return nil, firstError(name, errs, places)
	}
	rules = &Rules{file: name}
	for g, group := range parsed.Groups {
		rules.groups = append(rules.groups, places.group(g, group))
	}
	return rules, nil
}

// group makes one group of the file, with the lines of its rules.
func (p places) group(index int, read rulefmt.RuleGroup) groupRules {
	made := groupRules{name: read.Name, interval: time.Duration(read.Interval), limit: read.Limit}
	if read.QueryOffset != nil {
		made.offset = time.Duration(*read.QueryOffset)
	}
	for r, rule := range read.Rules {
		all := maps.Clone(read.Labels)
		if all == nil {
			all = map[string]string{}
		}
		maps.Copy(all, rule.Labels)
		made.rules = append(made.rules, ruleText{
			record: rule.Record != "", name: cmp.Or(rule.Alert, rule.Record), expr: rule.Expr,
			hold: time.Duration(rule.For), keep: time.Duration(rule.KeepFiringFor),
			labels: labels.FromMap(all), annotations: rule.Annotations, line: p.rule(index, r).expr,
		})
	}
	return made
}

// places are the lines of a file's rules.
type places [][]place

// place is where one rule stands.
type place struct {
	rule, expr int
	block      bool // the expression begins on the line below (a block scalar)
	text       string
}

// rule gives a rule's place; its lines are 0 where it is not known.
func (p places) rule(group, rule int) place {
	if group < 0 || group >= len(p) || rule < 0 || rule >= len(p[group]) {
		return place{}
	}
	return p[group][rule]
}

// locate finds where the rules stand. What cannot be read has no place.
func locate(text []byte) places {
	var file struct {
		Groups []struct {
			Rules []yaml.Node `yaml:"rules"`
		} `yaml:"groups"`
	}
	if yaml.Unmarshal(text, &file) != nil {
		return nil
	}
	var found places
	for _, group := range file.Groups {
		var rules []place
		for _, node := range group.Rules {
			rules = append(rules, placeOf(&node))
		}
		found = append(found, rules)
	}
	return found
}

func placeOf(node *yaml.Node) place {
	at := place{rule: node.Line, expr: node.Line}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == "expr" {
			value := node.Content[i+1]
			at.expr, at.text = value.Line, value.Value
			at.block = value.Style == yaml.LiteralStyle || value.Style == yaml.FoldedStyle
		}
	}
	return at
}

var (
	nodePosition  = regexp.MustCompile(`^(\d+):\d+: (?:(\d+):\d+: )?`)
	yamlLine      = regexp.MustCompile(`line (\d+): `)
	queryPosition = regexp.MustCompile(`^(could not parse expression: )(\d+):(\d+): parse error: `)
)

// firstError gives the error that stands first in the file.
func firstError(name string, errs []error, places places) *FileError {
	found := make([]*FileError, 0, len(errs))
	for _, err := range errs {
		found = append(found, fileError(name, err, places))
	}
	slices.SortStableFunc(found, func(a, b *FileError) int { return cmp.Compare(a.Line, b.Line) })
	first := found[0]
	if more := len(found) - 1; more > 0 {
		first.What += fmt.Sprintf(" (and %d more)", more)
	}
	return first
}

// fileError turns what Prometheus' check says into the place and the words.
func fileError(name string, err error, places places) *FileError {
	if wrong, ok := errors.AsType[*rulefmt.Error](err); ok {
		return ruleError(name, wrong, places)
	}
	what, line := err.Error(), 0
	if match := nodePosition.FindStringSubmatch(what); match != nil {
		line, _ = strconv.Atoi(match[1])
		what = what[len(match[0]):]
	} else if match := yamlLine.FindStringSubmatchIndex(what); match != nil {
		line, _ = strconv.Atoi(what[match[2]:match[3]])
		what = strings.TrimSpace(what[match[1]:])
	}
	// The library's own types mean nothing to the reader of a rules file.
	what = strings.NewReplacer(" in type rulefmt.RuleGroups", " at the top of the file", " in type rulefmt.RuleGroup",
		" in a group", " in type rulefmt.Rule", " in a rule").Replace(what)
	return &FileError{File: name, Line: line, What: what}
}

// ruleError places what is wrong with one rule.
func ruleError(name string, wrong *rulefmt.Error, places places) *FileError {
	group := -1
	for g := range places {
		if wrong.Rule <= len(places[g]) && strings.Contains(wrong.Error(), fmt.Sprintf("group %q", wrong.Group)) {
			group = g
			break
		}
	}
	at := places.rule(group, wrong.Rule-1)
	line, what := at.rule, wrong.Err.Error()
	if match := nodePosition.FindStringSubmatch(what); match != nil {
		what = what[len(match[0]):]
		for _, number := range match[1:] {
			if n, _ := strconv.Atoi(number); n > 0 {
				line = n
			}
		}
	}
	if match := queryPosition.FindStringSubmatch(what); match != nil {
		row, _ := strconv.Atoi(match[2])
		if at.block {
			line += row
			what = fmt.Sprintf("%scharacter %s of the line: %s", match[1], match[3], what[len(match[0]):])
		} else {
			what = fmt.Sprintf("%scharacter %s: %s", match[1], match[3], what[len(match[0]):])
		}
	}
	if wrong.RuleName == "" {
		return &FileError{File: name, Line: line, What: fmt.Sprintf("group %s, rule %d: %s", wrong.Group, wrong.Rule, what)}
	}
	return &FileError{File: name, Line: line, What: fmt.Sprintf("group %s, rule %s: %s", wrong.Group, wrong.RuleName, what)}
}

// fits says whether everything that the rules look back at is kept for long enough.
func (r *Rules) fits(keep time.Duration) error {
	for _, group := range r.groups {
		for _, rule := range group.rules {
			back, err := lookBack(rule.expr)
			if err == nil && back+group.offset <= keep {
				continue
			}
			what := fmt.Sprintf("group %s, rule %s: ", group.name, rule.name)
			switch {
			case err != nil:
				what += err.Error()
			case back > aeon:
				what += fmt.Sprintf("it looks at a fixed time (@), and captop keeps only the last %s of samples", span(keep))
			default:
				what += fmt.Sprintf("it looks back %s, and captop keeps only the last %s of samples", span(back+group.offset), span(keep))
			}
			return &FileError{File: r.file, Line: rule.line, What: what}
		}
	}
	return nil
}

// span writes a duration as rules do.
func span(d time.Duration) string { return model.Duration(d).String() }

// lookback is how old a sample an instant selector takes: Prometheus' default.
const lookback = 5 * time.Minute

// aeon is further back than anybody means to look: an expression that does is fixed to a time.
const aeon = 30 * 365 * 24 * time.Hour

// lookBack tells how far before its evaluation an expression looks.
func lookBack(expr string) (time.Duration, error) {
	parsed, err := promQL.ParseExpr(expr)
	if err != nil {
		return 0, err
	}
	now := time.UnixMilli(1 << 42) // the year 2109, so that a fixed time is far away
	parsed, err = promql.PreprocessExpr(parsed, now, now, 0)
	if err != nil {
		return 0, err
	}
	from, to := promql.FindMinMaxTime(&parser.EvalStmt{Expr: parsed, Start: now, End: now, LookbackDelta: lookback})
	if from == 0 && to == 0 {
		return 0, nil // it selects nothing
	}
	return max(0, time.Duration(now.UnixMilli()-from+1)*time.Millisecond), nil
}

// ranges tells how far back the rules read more than one sample, in milliseconds, by the metric's name.
func (r *Rules) ranges() map[string]int64 {
	back := map[string]int64{}
	for _, group := range r.groups {
		for _, rule := range group.rules {
			parsed, err := promQL.ParseExpr(rule.expr)
			if err != nil {
				continue // Parse has refused it
			}
			parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
				if of, ok := node.(*parser.MatrixSelector); ok {
					read := of.VectorSelector.(*parser.VectorSelector)
					back[read.Name] = max(back[read.Name], (of.Range + read.OriginalOffset + group.offset + time.Second).Milliseconds())
				}
				return nil
			})
		}
	}
	return back
}
