package ap

import (
	"testing"
	"time"

	"captop/service"
)

func TestClockNeverRepeatsAndStaysNearTheTime(t *testing.T) {
	now := time.UnixMicro(1_000_000_000)
	c := &clock{now: func() time.Time { return now }, origin: 7, maxSkew: time.Second}
	first, physical := c.next()
	if first != (stamp{1_000_000_000, 7}) || physical != 1_000_000_000 {
		t.Errorf("first stamp %v at %d", first, physical)
	}
	if second, _ := c.next(); !first.before(second) {
		t.Errorf("%v then %v", first, second)
	}
	c.observe(1_000_500_000)
	if s, _ := c.next(); s.at != 1_000_500_001 {
		t.Errorf("after seeing 1000500000: %v", s)
	}
	now = now.Add(-time.Hour) // the host's clock is set right
	if s, physical := c.next(); s.at != physical {
		t.Errorf("an hour ahead of the clock: %v at %d", s, physical)
	}
}

func TestVersions(t *testing.T) {
	for _, text := range []string{"", "42", "a.b", "1.", ".1", "1.2.3", "99999999999999999999.1"} {
		if s, err := parseVersion(service.Version(text)); err == nil {
			t.Errorf("%q is %v", text, s)
		}
	}
	s := stamp{1763868000123456, 281474976710655}
	if back, err := parseVersion(s.version()); err != nil || back != s {
		t.Errorf("%v became %v, %v", s, back, err)
	}
	if !(stamp{1, 9}).before(stamp{2, 1}) || !(stamp{1, 1}).before(stamp{1, 2}) || (stamp{1, 1}).before(stamp{1, 1}) {
		t.Error("the order of stamps is wrong")
	}
}
