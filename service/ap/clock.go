package ap

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"captop/service"
	"captop/service/layout"
)

// stamp is the version of a register: a hybrid logical clock in microseconds, and the instance that drew it.
// The logical part is folded into the low digits: whoever has seen a stamp draws a higher one.
type stamp struct {
	at     int64
	origin int64
}

func (s stamp) version() service.Version {
	return layout.APVersion(decimal(s.at), decimal(s.origin))
}

// before reports whether s is older than other; of two with one clock value the lower origin is.
func (s stamp) before(other stamp) bool {
	return s.at < other.at || s.at == other.at && s.origin < other.origin
}

func parseVersion(v service.Version) (stamp, error) {
	at, origin, found := strings.Cut(string(v), ".")
	if !found {
		return stamp{}, fmt.Errorf("%q is not a version of AP, such as 1763868000123456.817263", string(v))
	}
	return parseStamp(at, origin)
}

func parseStamp(at, origin string) (stamp, error) {
	var s stamp
	var err error
	if s.at, err = strconv.ParseInt(at, 10, 64); err != nil {
		return stamp{}, fmt.Errorf("reading the clock of a version: %w", err)
	}
	if s.origin, err = strconv.ParseInt(origin, 10, 64); err != nil {
		return stamp{}, fmt.Errorf("reading the origin of a version: %w", err)
	}
	return s, nil
}

// clock draws the stamps of one instance: near the time, and above every stamp that it has drawn or seen.
type clock struct {
	now     func() time.Time
	origin  int64
	maxSkew time.Duration

	mu   sync.Mutex
	last int64
}

// next draws a stamp, and tells the physical time (microseconds) that went into it.
func (c *clock) next() (stamp, int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now().UnixMicro()
	if c.last > now+c.maxSkew.Microseconds() {
		c.last = now - 1 // the host's clock was far ahead and has been set right
	}
	c.last = max(now, c.last+1)
	return stamp{at: c.last, origin: c.origin}, now
}

// observe lifts the clock to a stamp that was seen.
func (c *clock) observe(at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last, at)
}
