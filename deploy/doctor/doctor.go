// Package doctor goes through the checklist before a deployment: each line of it is a check that looks at the running
// stack, its files and its host, and passes, fails, or cannot tell.
//
// Nothing passes because it could not be looked at. A check is a plain function over Eyes, which are all the ways in
// which one can look; what they bring may be missing, late or nonsense, and then the check cannot tell.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Outcome of a check. Its zero value is the one that says nothing.
type Outcome int

// The outcomes.
const (
	CannotTell Outcome = iota
	Pass
	Fail
)

// String gives cannot tell, pass or fail.
func (o Outcome) String() string {
	if o < CannotTell || o > Fail {
		return CannotTell.String()
	}
	return [...]string{"cannot tell", "pass", "fail"}[o]
}

// MarshalText gives what String does.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// ErrNoCheck: no check has that name.
var ErrNoCheck = errors.New("there is no such check")

// The objectives of the pair: at most so much is lost, and so long away, when both nodes are.
const (
	RPO = 5 * time.Minute
	RTO = 15 * time.Minute
)

// Line is one line of the checklist.
type Line struct {
	Name  string `json:"check"` // such as redis-password
	Area  string `json:"area"`  // such as secrets
	Title string `json:"title"` // what has to be so
	Why   string `json:"why"`   // why it matters
}

// Result is what became of a line.
type Result struct {
	Line
	Outcome Outcome       `json:"outcome"`
	Seen    []string      `json:"seen"`          // what was seen, the worst first
	Fix     string        `json:"fix,omitempty"` // the command that makes it right, or that makes it possible to tell
	At      time.Time     `json:"at"`
	Took    time.Duration `json:"took_ns"`
}

// check is a line with what looks.
type check struct {
	Line
	look func(context.Context, *round, *verdict)
}

// checks is the checklist, in its order.
func checks() []check {
	return slices.Concat(secretChecks(), accessChecks(), tlsChecks(), networkChecks(), containerChecks(), limitChecks(), redisChecks(),
		backupChecks(), monitoringChecks(), logChecks(), hostChecks())
}

// Checklist gives every line, in its order.
func Checklist() []Line {
	all := checks()
	lines := make([]Line, len(all))
	for i, c := range all {
		lines[i] = c.Line
	}
	return lines
}

// Choose finds lines by the names of checks or areas, in the order of the checklist; no names are all. Its error is
// ErrNoCheck.
func Choose(names []string) ([]Line, error) {
	lines := Checklist()
	if len(names) == 0 {
		return lines, nil
	}
	for _, name := range names {
		if !slices.ContainsFunc(lines, func(l Line) bool { return l.Name == name || l.Area == name }) {
			return nil, fmt.Errorf("%q: %w; captop doctor --list shows them", name, ErrNoCheck)
		}
	}
	return slices.DeleteFunc(lines, func(l Line) bool { return !slices.Contains(names, l.Name) && !slices.Contains(names, l.Area) }), nil
}

// The bounds of a run: how long one check may take, and how many run at once.
const (
	checkTimeout = 20 * time.Second
	atOnce       = 4
)

// Run looks at each of the lines and gives the results in their order. It tells each to progress as it ends, one at a
// time. What is left when ctx ends cannot be told.
func Run(ctx context.Context, eyes Eyes, lines []Line, progress func(Result)) []Result {
	r := newRound(eyes)
	results := make([]Result, len(lines))
	var telling sync.Mutex
	var running sync.WaitGroup
	next := make(chan int)
	all := checks()
	for range atOnce {
		running.Go(func() {
			for i := range next {
				at := slices.IndexFunc(all, func(c check) bool { return c.Name == lines[i].Name })
				if at < 0 {
					continue // Choose would have refused it
				}
				results[i] = all[at].run(ctx, r)
				telling.Lock()
				progress(results[i])
				telling.Unlock()
			}
		})
	}
	for i := range lines {
		next <- i
	}
	close(next)
	running.Wait()
	return results
}

// run is one check. One that panics cannot tell.
func (c check) run(parent context.Context, r *round) (result Result) {
	ctx, cancel := context.WithTimeout(parent, checkTimeout)
	defer cancel()
	began := r.eyes.now()
	v := &verdict{}
	defer func() {
		if problem := recover(); problem != nil {
			v = &verdict{}
			v.cannot("captop doctor --json "+c.Name, "the check itself broke: %v", problem)
		}
		result = Result{Line: c.Line, Outcome: v.outcome(), Seen: v.seen(), Fix: v.fix(), At: began, Took: r.eyes.now().Sub(began)}
	}()
	if err := ctx.Err(); err != nil {
		v.cannot("", "there was no time left to look")
		return
	}
	c.look(ctx, r, v)
	return
}

// finding is one thing that was seen.
type finding struct {
	outcome   Outcome
	text, fix string
}

// verdict gathers findings. One that fails makes the check fail; else one that could not be looked at keeps it from
// passing; and with none at all nothing can be told.
type verdict struct{ findings []finding }

func (v *verdict) add(o Outcome, fix, format string, args ...any) {
	v.findings = append(v.findings, finding{outcome: o, fix: fix, text: fmt.Sprintf(format, args...)})
}

func (v *verdict) pass(format string, args ...any)        { v.add(Pass, "", format, args...) }
func (v *verdict) fail(fix, format string, args ...any)   { v.add(Fail, fix, format, args...) }
func (v *verdict) cannot(fix, format string, args ...any) { v.add(CannotTell, fix, format, args...) }

// expect passes or fails.
func (v *verdict) expect(ok bool, fix, format string, args ...any) {
	if ok {
		v.pass(format, args...)
	} else {
		v.fail(fix, format, args...)
	}
}

func (v *verdict) has(o Outcome) bool {
	return slices.ContainsFunc(v.findings, func(f finding) bool { return f.outcome == o })
}

func (v *verdict) outcome() Outcome {
	switch {
	case v.has(Fail):
		return Fail
	case v.has(CannotTell) || len(v.findings) == 0:
		return CannotTell
	}
	return Pass
}

// worst are the findings, the worst first.
func (v *verdict) worst() []finding {
	rank := map[Outcome]int{Fail: 0, CannotTell: 1, Pass: 2}
	sorted := slices.Clone(v.findings)
	slices.SortStableFunc(sorted, func(a, b finding) int { return rank[a.outcome] - rank[b.outcome] })
	return sorted
}

// seen is what was seen, the worst first. Beside what is not well, what is well is only counted.
func (v *verdict) seen() []string {
	texts := []string{}
	well, all := 0, v.outcome() == Pass
	for _, f := range v.worst() {
		text := oneLine(f.text)
		switch {
		case f.outcome == Pass && !all:
			well++
		case !slices.Contains(texts, text):
			texts = append(texts, text)
		}
	}
	switch {
	case well > 0:
		texts = append(texts, fmt.Sprintf("well: %d more", well))
	case len(texts) == 0:
		texts = append(texts, "nothing was there to look at")
	}
	return texts
}

// fix is that of the worst finding which has one.
func (v *verdict) fix() string {
	for _, f := range v.worst() {
		if f.outcome != Pass && f.fix != "" {
			return f.fix
		}
	}
	return ""
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
