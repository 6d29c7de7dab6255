package alerts

import (
	"encoding/json"
	"math"
)

// What is no number, such as a ratio of nothing to nothing, is null in JSON, which knows neither NaN nor infinity.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// MarshalJSON gives a null value or limit where it is no number.
func (m Measure) MarshalJSON() ([]byte, error) {
	type fields Measure
	return json.Marshal(struct {
		fields
		Value *float64 `json:"value"`
		Limit *float64 `json:"limit"`
	}{fields(m), finite(m.Value), finite(m.Limit)})
}

// MarshalJSON gives a null value where it is no number.
func (a Alert) MarshalJSON() ([]byte, error) {
	type fields Alert
	return json.Marshal(struct {
		fields
		Value *float64 `json:"value"`
	}{fields(a), finite(a.Value)})
}

// MarshalJSON gives a null value where it is no number.
func (e Edge) MarshalJSON() ([]byte, error) {
	type fields Edge
	return json.Marshal(struct {
		fields
		Value *float64 `json:"value"`
	}{fields(e), finite(e.Value)})
}

// MarshalJSON gives a null value where it is no number.
func (s Sample) MarshalJSON() ([]byte, error) {
	type fields Sample
	return json.Marshal(struct {
		fields
		Value *float64 `json:"value"`
	}{fields(s), finite(s.Value)})
}
