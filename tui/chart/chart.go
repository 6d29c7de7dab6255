// Package chart draws time series as braille lines (or ASCII marks) with limit lines, on a logarithmic scale of durations,
// over a time axis that bears marks of what happened.
//
// What is not known is not drawn: a gap in the data is a gap in the line.
package chart

import (
	"math"
	"slices"
	"time"

	"captop/tui/cell"
	"captop/tui/screen"
	"captop/tui/theme"
)

// Point is one sample. A NaN value ends the line: nothing is known at that time.
type Point struct {
	At    time.Time
	Value float64 // milliseconds, or anything where the plot is linear
}

// Series is one line of a chart. The second series of a plot is dotted, so that two lines differ without colours.
type Series struct {
	Name   string
	Points []Point // in order of time
}

// Mark is something that happened, shown on the time axis.
type Mark struct {
	At     time.Time
	Action bool        // somebody did something; else an alert changed
	Level  theme.Level // of the alert: OK where it was resolved
}

// Plot is what to draw. Width and Height are cells; Height includes the time axis.
type Plot struct {
	Width, Height int
	Now           time.Time
	Window        time.Duration
	Gap           time.Duration // samples further apart than this are not joined
	Limit         float64       // milliseconds; 0 draws none
	Linear        bool          // a linear scale from 0 for figures that are no durations
	Series        []Series
	Marks         []Mark
	Cursor        time.Time // the time whose values are read; zero draws none
	Times         screen.Times
}

// labelWidth is the width of the value axis, with the tick.
const labelWidth = 7

// floorMS is the lowest value of the scale; what is below lies on the bottom line.
const floorMS = 1.0

// ceilingMS is the highest top of the scale, a quarter of an hour: what is above lies on the top line.
const ceilingMS = 1e6

// Windows are the time spans that a chart can show, the shortest first.
var Windows = [...]time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour}

// Step is the time that one cell of a plot of that width stands for.
func Step(width int, window time.Duration) time.Duration {
	return 2 * dotTime(window, max(width-labelWidth, 1))
}

// dotTime is the time of one dot, of which a cell has two. Whole milliseconds keep the steps the same from frame to frame.
func dotTime(window time.Duration, columns int) time.Duration {
	return max((window / time.Duration(2*columns)).Truncate(time.Millisecond), time.Millisecond)
}

// Value is what a line shows at a time: its last sample at or before it, unless that lies further back than gap or
// nothing is known there.
func (s Series) Value(at time.Time, gap time.Duration) (Point, bool) {
	i, _ := slices.BinarySearchFunc(s.Points, at, func(p Point, at time.Time) int {
		if p.At.After(at) {
			return 1
		}
		return -1
	})
	if i == 0 || at.Sub(s.Points[i-1].At) > gap || math.IsNaN(s.Points[i-1].Value) {
		return Point{}, false
	}
	return s.Points[i-1], true
}

// Draw gives Height lines, each exactly Width cells wide.
func Draw(p Plot, t theme.Theme) []string {
	columns, rows := p.Width-labelWidth, p.Height-1
	if columns < 8 || rows < 2 {
		lines := make([]string, max(p.Height, 0))
		for i := range lines {
			lines[i] = cell.Blank(p.Width)
		}
		return lines
	}
	perCell := 4
	if t.ASCII {
		perCell = 1
	}
	step := dotTime(p.Window, columns)
	g := &grid{columns: columns, rows: rows, perCell: perCell, scale: scaleFor(p), cells: make([]dots, columns*rows),
		step: step, last: p.Now.UnixNano() / int64(step)}
	for i, series := range p.Series {
		g.plot(p, series, i)
	}
	return g.lines(p, t)
}

// scale is a logarithmic axis from floorMS over so many decades, or a linear one from 0 to top.
type scale struct {
	decades float64
	top     float64 // 0 for a logarithmic one
}

func scaleFor(p Plot) scale {
	high := max(p.Limit, 10*floorMS)
	if p.Linear {
		high = 1
	}
	for _, series := range p.Series {
		for _, point := range series.Points {
			if !math.IsNaN(point.Value) && p.Now.Sub(point.At) <= p.Window {
				high = max(high, point.Value)
			}
		}
	}
	if p.Linear {
		return scale{top: roundUp(high * 1.1)}
	}
	high = min(high, ceilingMS*0.95)
	return scale{decades: math.Ceil(math.Log10(high*1.05/floorMS) - 1e-9)}
}

// at is where v lies between 0 (bottom) and 1 (top).
func (s scale) at(v float64) float64 {
	if s.top > 0 {
		return max(min(v/s.top, 1), 0)
	}
	if v <= floorMS {
		return 0
	}
	return min(math.Log10(v/floorMS)/s.decades, 1)
}

// roundUp gives the next of 1, 2, 4, 6, 8, 10 times a power of ten: numbers whose half is round too.
func roundUp(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, times := range []float64{1, 2, 4, 6, 8} {
		if v <= times*power {
			return times * power
		}
	}
	return 10 * power
}

// dots is what one cell shows of each series.
type dots [2]uint8

// grid is the drawing area, with dots numbered from the bottom left.
type grid struct {
	columns, rows int
	perCell       int // dots of a cell, from top to bottom
	scale         scale
	cells         []dots
	step          time.Duration // of one dot
	last          int64         // the number of the newest dot, counted from the epoch
}

// x is the column of dots of a time; it may lie outside the grid. Time is cut into steps of one dot counted from the
// epoch, so that the picture moves only when a step has passed.
func (g *grid) x(at time.Time) int {
	return g.columns*2 - 1 - int(g.last-at.UnixNano()/int64(g.step))
}

// column is the column of cells of a time; it may lie outside the grid.
func (g *grid) column(at time.Time) int { return int(math.Floor(float64(g.x(at)) / 2)) }

// inside says whether a column of cells is on the grid.
func (g *grid) inside(column int) bool { return column >= 0 && column < g.columns }

// height is the number of dots from bottom to top.
func (g *grid) height() int { return g.rows * g.perCell }

// row is the dot row of v, 0 at the bottom.
func (g *grid) row(v float64) int {
	return min(int(math.Round(g.scale.at(v)*float64(g.height()-1))), g.height()-1)
}

// plot joins the points of one series.
func (g *grid) plot(p Plot, s Series, index int) {
	var before Point
	beforeX, joined := 0, false
	for _, point := range s.Points {
		if math.IsNaN(point.Value) {
			joined = false
			continue
		}
		x := g.x(point.At)
		if joined && point.At.Sub(before.At) <= p.Gap {
			g.join(beforeX, g.row(before.Value), x, g.row(point.Value), index)
		} else {
			g.dot(x, g.row(point.Value), index)
		}
		before, beforeX, joined = point, x, true
	}
}

// join draws a line from one dot to another; upright parts are at the right end.
func (g *grid) join(x0, y0, x1, y1, series int) {
	if x1 <= x0 {
		g.upright(x0, y0, y1, series)
		return
	}
	y := y0
	for x := x0 + 1; x <= x1; x++ {
		next := y0 + int(math.Round(float64(y1-y0)*float64(x-x0)/float64(x1-x0)))
		g.upright(x, y, next, series)
		y = next
	}
}

// upright sets the dots of column x from below or above y0 to y1.
func (g *grid) upright(x, y0, y1, series int) {
	g.dot(x, y1, series)
	for y := min(y0, y1) + 1; y < max(y0, y1); y++ {
		g.dot(x, y, series)
	}
}

// dot sets one dot; outside the grid it does nothing. The second series leaves out every other one.
func (g *grid) dot(x, y, series int) {
	if x < 0 || y < 0 || x >= g.columns*2 || y >= g.height() || series > 1 || series == 1 && g.perCell > 1 && (x+y)%2 == 1 {
		return
	}
	down := g.height() - 1 - y
	bit := uint8(1)
	if g.perCell == 4 {
		bit = brailleBit[down%4][x%2]
	}
	g.cells[down/g.perCell*g.columns+x/2][series] |= bit
}

// brailleBit numbers the dots of a braille cell by row and column.
var brailleBit = [4][2]uint8{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}
