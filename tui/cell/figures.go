package cell

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Span writes a duration as people say it: 0 ms, 340 ms, 4.2 s, 59 s, 3 min, 2 h 10, 4 d.
func Span(d time.Duration) string {
	switch {
	case d.Abs() < 50*time.Microsecond:
		return "0 ms"
	case d < 0:
		return "-" + Span(-max(d, -math.MaxInt64))
	case d < 10*time.Millisecond:
		return trim(float64(d)/float64(time.Millisecond)) + " ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return trim(math.Floor(d.Seconds()*10)/10) + " s"
	}
	return Age(d)
}

// Age writes how long something has lasted, in whole units: 4 s, 3 min, 2 h 10, 4 d. It changes seldom on purpose,
// so that a quiet screen stays quiet.
func Age(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %02d", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d", int(d.Hours())/24)
}

// Clock writes a countdown as minutes and seconds: 4:07.
func Clock(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	seconds := int(math.Ceil(d.Seconds()))
	return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
}

// Count writes a number of things in at most five cells: 987, 12.3k, 4.5M.
func Count(n float64) string {
	switch {
	case math.IsNaN(n) || math.IsInf(n, 0):
		return "?"
	case n < 0:
		return "-" + Count(-n)
	case n < 10 && n != math.Trunc(n):
		return fmt.Sprintf("%.1f", n)
	case n < 999.5:
		return fmt.Sprintf("%.0f", n)
	case n < 999.5e3:
		return scaled(n/1e3, "k")
	case n < 999.5e6:
		return scaled(n/1e6, "M")
	}
	return scaled(n/1e9, "G")
}

// Bytes writes a size with binary units: 812 B, 1.8 MiB.
func Bytes(n float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for n >= 1000 && i < len(units)-1 {
		n /= 1024
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%.0f B", n)
	}
	return scaled(n, " "+units[i])
}

// Percent writes a ratio between 0 and 1: 0 %, 0.4 %, 37 %.
func Percent(ratio float64) string {
	p := ratio * 100
	switch {
	case math.IsNaN(p):
		return "?"
	case p == 0:
		return "0 %"
	case p < 0.1:
		return "<0.1 %"
	case p < 9.95:
		return trim(p) + " %"
	}
	return fmt.Sprintf("%.0f %%", p)
}

// Tight is a figure without the blank before its unit, where cells are scarce.
func Tight(s string) string { return strings.ReplaceAll(s, " ", "") }

// trim writes one decimal, none where it is 0.
func trim(n float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0") }

func scaled(n float64, unit string) string {
	if n < 99.95 {
		return fmt.Sprintf("%.1f%s", n, unit)
	}
	return fmt.Sprintf("%.0f%s", n, unit)
}
