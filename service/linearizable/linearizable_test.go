package linearizable_test

import (
	"errors"
	"testing"
	"time"

	"captop/service/linearizable"
)

// TestCheck: each history is one client's after the other, unless a write is open.
func TestCheck(t *testing.T) {
	type h = linearizable.History
	for name, c := range map[string]struct {
		does func(*h)
		well bool
	}{
		"nothing": {func(*h) {}, true},
		"a read of what was written": {func(x *h) {
			x.Wrote(1, "k", "a", x.Now(), x.Now())
			x.Read(2, "k", "a", x.Now())
		}, true},
		"a lost write": {func(x *h) {
			x.Wrote(1, "k", "a", x.Now(), x.Now())
			x.Read(2, "k", "", x.Now())
		}, false},
		"an older value": {func(x *h) {
			x.Wrote(1, "k", "a", x.Now(), x.Now())
			x.Wrote(1, "k", "b", x.Now(), x.Now())
			x.Read(2, "k", "a", x.Now())
		}, false},
		"another key's value": {func(x *h) {
			x.Wrote(1, "k", "a", x.Now(), x.Now())
			x.Read(2, "l", "a", x.Now())
		}, false},
		"a write without an outcome that nobody saw": {func(x *h) {
			x.Wrote(1, "k", "a", x.Now(), linearizable.Forever)
			x.Read(2, "k", "", x.Now())
		}, true},
		"one that was seen late": {func(x *h) {
			x.Wrote(1, "k", "a", x.Now(), linearizable.Forever)
			x.Read(2, "k", "", x.Now())
			x.Read(2, "k", "a", x.Now())
		}, true},
		"one that was seen and is gone": {func(x *h) {
			x.Wrote(1, "k", "a", x.Now(), linearizable.Forever)
			x.Read(2, "k", "a", x.Now())
			x.Read(2, "k", "", x.Now())
		}, false},
		"equal values of two keys, one without an outcome": {func(x *h) {
			x.Read(2, "l", "", x.Now())
			x.Wrote(1, "l", "a", x.Now(), x.Now())
			x.Read(2, "l", "a", x.Now())
			x.Wrote(1, "k", "a", x.Now(), linearizable.Forever)
			x.Read(2, "k", "a", x.Now())
		}, true},
	} {
		x := linearizable.NewHistory()
		c.does(x)
		if err := x.Check(time.Minute); (err == nil) != c.well || err != nil && !errors.Is(err, linearizable.ErrNot) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
