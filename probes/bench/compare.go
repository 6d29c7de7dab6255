package bench

import "slices"

// Spread is a figure over several rounds.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// SpreadOf sums figures up; of none it is zero.
func SpreadOf(figures []float64) Spread {
	if len(figures) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(figures))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return Spread{Median: median, Min: sorted[0], Max: sorted[len(sorted)-1]}
}

// Ratio is the spread of a figure over that of the same round of another target. A round whose divisor is 0 is left out.
func Ratio(of, to []Result, figure func(Result) float64) Spread {
	var ratios []float64
	for i := range min(len(of), len(to)) {
		if below := figure(to[i]); below > 0 {
			ratios = append(ratios, figure(of[i])/below)
		}
	}
	return SpreadOf(ratios)
}

// Figures gives one figure of each result, for SpreadOf.
func Figures(results []Result, figure func(Result) float64) []float64 {
	figures := make([]float64, len(results))
	for i, r := range results {
		figures[i] = figure(r)
	}
	return figures
}
