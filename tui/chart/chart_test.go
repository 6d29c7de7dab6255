package chart

import (
	"math"
	"strings"
	"testing"
	"time"

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
