package chart

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"captop/tui/cell"
	"captop/tui/theme"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// bare has no colours, so that lines compare as text.
func bare(ascii bool) theme.Theme {
	return theme.New(theme.None, ascii, func(string) string { return "" })
}

func flat(value float64, seconds int) []Point {
	points := make([]Point, seconds)
	for i := range points {
		points[i] = Point{At: noon.Add(time.Duration(i-seconds+1) * time.Second), Value: value}
	}
	return points
}

func draw(ascii bool, limit float64, series ...Series) []string {
	return Draw(Plot{Width: 37, Height: 7, Now: noon, Window: time.Minute, Gap: 2500 * time.Millisecond, Limit: limit, Series: series}, bare(ascii))
}

func TestLimitLineHasItsLabelAndSpansTheChart(t *testing.T) {
	lines := draw(false, 500)
	found := false
	for _, line := range lines {
		if cell.Width(line) != 37 {
			t.Errorf("%q is %d cells wide, want 37", line, cell.Width(line))
		}
		found = found || line == " 500ms┤"+strings.Repeat("╌", 30)
	}
	if !found || len(lines) != 7 {
		t.Errorf("no limit line of 500ms, or not 7 lines:\n%s", strings.Join(lines, "\n"))
	}
}

func TestGapIsAGap(t *testing.T) {
	points := flat(10, 60)
	for i := 20; i < 30; i++ {
		points[i].Value = math.NaN()
	}
	lines := draw(true, 0, Series{Points: points})
	var drawn string
	for _, line := range lines[:6] {
		if strings.Contains(line, "*") {
			drawn = line[strings.LastIndex(line, "│")+len("│"):]
		}
	}
	want := strings.Repeat("*", 10) + strings.Repeat(" ", 5) + strings.Repeat("*", 15)
	if drawn != want {
		t.Errorf("the line with ten missing seconds of sixty is\n%q, want\n%q", drawn, want)
	}
}

func TestPictureMovesOnlyByItsStep(t *testing.T) {
	points := flat(10, 50)
	p := Plot{Width: 37, Height: 7, Now: noon, Window: 2 * time.Minute, Gap: 3 * time.Second, Series: []Series{{Points: points}}}
	first := strings.Join(Draw(p, bare(false)), "\n")
	p.Now = noon.Add(time.Second) // a dot is two seconds wide here
	if second := strings.Join(Draw(p, bare(false)), "\n"); second != first {
		t.Errorf("the picture moved within one step:\n%s\n%s", first, second)
	}
}

func TestSecondSeriesIsDotted(t *testing.T) {
	solid := strings.Join(draw(false, 0, Series{Points: flat(10, 60)}), "")
	dotted := strings.Join(draw(false, 0, Series{}, Series{Points: flat(10, 60)}), "")
	if solid == dotted {
		t.Error("the two series look the same without colours")
	}
}

func TestScaleGrowsByDecades(t *testing.T) {
	for high, want := range map[float64]float64{5: 2, 40: 2, 800: 3, 42_000: 5} {
		got := scaleFor(Plot{Now: noon, Window: time.Minute, Series: []Series{{Points: flat(high, 5)}}})
		if got.decades != want {
			t.Errorf("the scale for %v ms has %v decades, want %v", high, got.decades, want)
		}
	}
}

// axisOf is the time axis of a plot of 60 cells over five minutes.
func axisOf(change func(*Plot)) string {
	p := Plot{Width: 67, Height: 6, Now: noon, Window: 5 * time.Minute, Gap: 2500 * time.Millisecond, Series: []Series{{Points: flat(10, 300)}}}
	change(&p)
	lines := Draw(p, bare(false))
	return ansi.Strip(string([]rune(lines[len(lines)-1])[labelWidth:]))
}

func TestAxisLabelsRoundTimes(t *testing.T) {
	// A cell is five seconds: a minute is twelve cells, and the label begins at its time.
	for name, c := range map[string]struct {
		change func(*Plot)
		want   string
	}{
		"clock":    {func(*Plot) {}, "───────────┴11:56──────┴11:57──────┴11:58──────┴11:59───────"},
		"zone":     {func(p *Plot) { p.Times.Zone = time.FixedZone("IST", 5*3600+1800) }, "───────────┴17:26──────┴17:27──────┴17:28──────┴17:29───────"},
		"relative": {func(p *Plot) { p.Times.Relative = true }, "───────────┴-4min──────┴-3min──────┴-2min──────┴-1min───────"},
		"marks": {func(p *Plot) {
			p.Marks = []Mark{{At: noon.Add(-30 * time.Second), Action: true}, {At: noon.Add(-150 * time.Second), Level: theme.Critical},
				{At: noon.Add(-time.Hour), Action: true}, {At: noon.Add(time.Hour), Action: true}}
		}, "───────────┴11:56──────┴11:57■─────┴11:58──────┴11:59◆──────"},
		"cursor": {func(p *Plot) { p.Cursor = noon.Add(-100 * time.Second) }, "───────────┴11:56──────┴11:57──────────11:58:20┴11:59───────"},
	} {
		if got := axisOf(c.change); got != c.want {
			t.Errorf("%s: the axis is\n%s, want\n%s", name, got, c.want)
		}
	}
}

func TestCursorReadsValues(t *testing.T) {
	points := flat(10, 60)
	points[30].Value, points[40].Value = 77, math.NaN()
	s := Series{Points: points}
	at := func(second int) time.Time { return noon.Add(time.Duration(second-59) * time.Second) }
	for second, want := range map[int]float64{0: 10, 30: 77, 59: 10, 60: 10, 62: 10} {
		if got, ok := s.Value(at(second), 3*time.Second); !ok || got.Value != want {
			t.Errorf("at second %d it reads %v (known %v), want %v", second, got.Value, ok, want)
		}
	}
	for _, second := range []int{-1, 40, 64} {
		if got, ok := s.Value(at(second), 3*time.Second); ok {
			t.Errorf("at second %d it reads %v, where nothing is known", second, got.Value)
		}
	}
}

func TestUprightLines(t *testing.T) {
	lines := Draw(Plot{Width: 67, Height: 6, Now: noon, Window: 5 * time.Minute, Cursor: noon.Add(-100 * time.Second),
		Marks: []Mark{{At: noon.Add(-30 * time.Second), Action: true}}}, bare(false))
	for _, line := range lines[:len(lines)-1] {
		row := []rune(ansi.Strip(line))
		if row[labelWidth+39] != '│' || row[labelWidth+53] != '┊' {
			t.Errorf("no cursor in column 39, or no mark in column 53: %q", line)
		}
	}
}
