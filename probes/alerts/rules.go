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
	if len(errs) > 0 {
		return nil, badFile(name, text, errs)
	}
	rules = &Rules{file: name}
	places := locate(top(text))
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

// places are the lines of a file's groups.
type places []groupPlace

// groupPlace is where one group stands.
type groupPlace struct {
	name  string
	line  int
	rules []place
}

// place is where one rule stands.
type place struct {
	rule, expr int
	block      bool // the expression begins on the line below (a block scalar)
	rows       int  // of the expression
}

// rule gives a rule's place; its lines are 0 where it is not known.
func (p places) rule(group, rule int) place {
	if group < 0 || group >= len(p) || rule < 0 || rule >= len(p[group].rules) {
		return place{}
	}
	return p[group].rules[rule]
}

// top is the mapping at the top of a file, nil where there is none.
func top(text []byte) *yaml.Node {
	var document yaml.Node
	if yaml.Unmarshal(text, &document) != nil || len(document.Content) == 0 {
		return nil
	}
	return resolved(document.Content[0])
}

// locate finds where the rules stand. What cannot be read has no place.
func locate(file *yaml.Node) places {
	var found places
	for _, group := range items(field(file, "groups")) {
		place := groupPlace{line: group.Line}
		if name := field(group, "name"); name != nil {
			place.name, place.line = name.Value, name.Line
		}
		for _, rule := range items(field(group, "rules")) {
			place.rules = append(place.rules, placeOf(rule))
		}
		found = append(found, place)
	}
	return found
}

func placeOf(rule *yaml.Node) place {
	at := place{rule: rule.Line, expr: rule.Line}
	if expr := field(rule, "expr"); expr != nil {
		at.expr, at.rows = expr.Line, strings.Count(strings.TrimSpace(expr.Value), "\n")+1
		at.block = expr.Style == yaml.LiteralStyle || expr.Style == yaml.FoldedStyle
	}
	return at
}

// field gives a value of a mapping, nil where there is none.
func field(of *yaml.Node, name string) *yaml.Node {
	if of == nil || of.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(of.Content); i += 2 {
		if of.Content[i].Value == name {
			return resolved(of.Content[i+1])
		}
	}
	return nil
}

// items gives the items of a list, none where it is no list.
func items(of *yaml.Node) []*yaml.Node {
	if of == nil || of.Kind != yaml.SequenceNode {
		return nil
	}
	all := make([]*yaml.Node, 0, len(of.Content))
	for _, item := range of.Content {
		all = append(all, resolved(item))
	}
	return all
}

func resolved(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

var (
	nodePosition  = regexp.MustCompile(`^(\d+):(?:\d+): (?:(\d+):\d+: )?`)
	yamlLine      = regexp.MustCompile(`^(?:yaml: )?(?:unmarshal errors:)?\s*line (\d+): `)
	queryPosition = regexp.MustCompile(`^(could not parse expression: )(\d+):(\d+): parse error: `)
)

// plainWords put words that a reader of the file knows in the place of Go's.
var plainWords = strings.NewReplacer(
	" in type rulefmt.RuleGroups", " at the top of the file", " in type rulefmt.RuleGroup", " in a group",
	" in type rulefmt.Rule", " in a rule", "[]rulefmt.RuleGroup", "a list of groups", "[]rulefmt.Rule", "a list of rules",
	"rulefmt.RuleGroups", "a file of rules (groups: …)", "rulefmt.RuleGroup", "a group", "rulefmt.Rule", "a rule",
	"cannot unmarshal", "cannot read", "!!", "", "yaml: ", "")

// badFile is what is wrong with a text: that which stands first.
func badFile(name string, text []byte, errs []error) *FileError {
	file := top(text)
	places := locate(file)
	var found []*FileError
	for _, err := range errs {
		for _, one := range fileErrors(name, err, file, places) {
			// The check reads the file twice, and says what it cannot read twice.
			if !slices.ContainsFunc(found, func(other *FileError) bool {
				return *one == *other || one.Line == other.Line && strings.HasPrefix(one.What, "cannot read")
			}) {
				found = append(found, one)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b *FileError) int { return cmp.Compare(a.Line, b.Line) })
	first := found[0]
	if more := len(found) - 1; more > 0 {
		first.What += fmt.Sprintf(" (and %d more)", more)
	}
	return first
}

// fileErrors turns what Prometheus' check says into places and words.
func fileErrors(name string, err error, file *yaml.Node, places places) []*FileError {
	if wrong, ok := errors.AsType[*rulefmt.Error](err); ok {
		return []*FileError{ruleError(name, wrong, places)}
	}
	if several, ok := errors.AsType[*yaml.TypeError](err); ok {
		var all []*FileError
		for _, one := range several.Errors {
			all = append(all, yamlError(name, one, file))
		}
		return all
	}
	what := err.Error()
	if match := nodePosition.FindString(what); match != "" {
		what = what[len(match):]
		return []*FileError{{File: name, Line: places.badGroup(), What: what}}
	}
	return []*FileError{yamlError(name, what, file)}
}

// yamlError takes the line out of what the YAML library says, or finds it where it says none.
func yamlError(name, what string, file *yaml.Node) *FileError {
	line := 0
	if match := yamlLine.FindStringSubmatch(what); match != nil {
		line, _ = strconv.Atoi(match[1])
		what = what[len(match[0]):]
	} else if strings.Contains(what, "duration") {
		line = badDuration(file)
	}
	return &FileError{File: name, Line: line, What: plainWords.Replace(what)}
}

// badGroup is the line of the first group whose name is missing or was there before.
func (p places) badGroup() int {
	seen := map[string]bool{}
	for _, group := range p {
		if group.name == "" || seen[group.name] {
			return group.line
		}
		seen[group.name] = true
	}
	return 0
}

// badDuration is the line of the first duration that is none.
func badDuration(file *yaml.Node) int {
	bad := func(of *yaml.Node, name string) bool {
		value := field(of, name)
		if value == nil {
			return false
		}
		_, err := model.ParseDuration(value.Value)
		return err != nil
	}
	for _, group := range items(field(file, "groups")) {
		for _, name := range []string{"interval", "query_offset"} {
			if bad(group, name) {
				return field(group, name).Line
			}
		}
		for _, rule := range items(field(group, "rules")) {
			for _, name := range []string{"for", "keep_firing_for"} {
				if bad(rule, name) {
					return field(rule, name).Line
				}
			}
		}
	}
	return 0
}

// ruleError places what is wrong with one rule.
func ruleError(name string, wrong *rulefmt.Error, places places) *FileError {
	group := slices.IndexFunc(places, func(g groupPlace) bool { return g.name == wrong.Group })
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
		where := "character " + match[3]
		if row, _ := strconv.Atoi(match[2]); at.block {
			line += min(row, max(1, at.rows))
			where += " of the line"
		}
		what = match[1] + where + ": " + what[len(match[0]):]
	}
	rule := wrong.RuleName
	if rule == "" {
		rule = strconv.Itoa(wrong.Rule)
	}
	return &FileError{File: name, Line: line, What: fmt.Sprintf("group %s, rule %s: %s", wrong.Group, rule, what)}
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
