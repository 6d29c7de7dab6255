package alerts

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// TestJSONWithoutNumbers: a rule that divides nothing by nothing does not keep the rest from being written.
func TestJSONWithoutNumbers(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for want, value := range map[string]any{
		`"value":null,"limit":null`: Measure{Value: nan, Op: ">", Limit: inf},
		`"value":1.5,"limit":3`:     Measure{Value: 1.5, Op: ">", Limit: 3},
		`"active_at"`:               Alert{Value: nan},
		`"value":null`:              Alert{Value: inf},
		`"value":2`:                 Edge{Value: 2},
		`"rule":"R"`:                Edge{Rule: "R", Value: nan},
		`"at":`:                     Sample{Value: nan},
	} {
		text, err := json.Marshal(value)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%T: %s, %v; wanted %s", value, text, err, want)
		}
	}
}
