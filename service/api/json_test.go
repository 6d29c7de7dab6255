package api

import (
	"encoding/json"
	"testing"

	"captop/service"
)

// TestHotBodiesAreJSON: they say what encoding/json would.
func TestHotBodiesAreJSON(t *testing.T) {
	yes, no := true, false
	for c := range rune(0x2100) { // control characters, what HTML minds, letters of two and three bytes, U+2028
		text := "a" + string(c) + "z"
		value := service.Value{Key: text, Value: text, Version: service.Version(text), Node: text, StalenessMS: int64(c) - 1, Stale: c%2 == 0, Cached: c%3 == 0}
		for _, kept := range []*bool{nil, &yes, &no} {
			sameJSON(t, ReadBody{value, kept}, ReadBody{value, kept})
		}
		written := service.Written{Key: text, Version: service.Version(text), Nodes: []string{text, "db_g2"}, Outcome: service.Outcome(text)}
		sameJSON(t, writeBody(written), written)
	}
	sameJSON(t, writeBody{Nodes: []string{"db_g1"}}, service.Written{Nodes: []string{"db_g1"}})
	sameJSON(t, ReadBody{Value: service.Value{Value: "\xff"}}, ReadBody{Value: service.Value{Value: "\xff"}})
}

func sameJSON(t *testing.T, body hot, as any) {
	t.Helper()
	wanted, err := json.Marshal(as)
	if err != nil {
		t.Fatal(err)
	}
	if got := body.appendJSON(nil); string(got) != string(wanted) {
		t.Errorf("%#v is\n%s, wanted\n%s", as, got, wanted)
	}
}
