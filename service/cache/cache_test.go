package cache

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"captop/service"
)

// counting is a store of one value whose version is a number, and a count of what it was asked.
type counting struct {
	service.Store
	value       service.Value
	reads       int
	beforeReply func() // called while a read is on its way back
	fails       error
}

func (c *counting) Read(_ context.Context, key string, _ service.ReadOptions) (service.Value, error) {
	c.reads++
	answer := c.value
	answer.Key = key
	if c.beforeReply != nil {
		c.beforeReply()
	}
	return answer, c.fails
}

func (c *counting) Write(_ context.Context, key string, value []byte) (service.Written, error) {
	if c.fails != nil {
		return service.Written{}, c.fails
	}
	n, _ := strconv.Atoi(string(c.value.Version))
	c.value.Value, c.value.Version = string(value), service.Version(strconv.Itoa(n+1))
	return service.Written{Key: key, Version: c.value.Version}, nil
}

func (c *counting) Newer(a, b service.Version) (bool, error) {
	x, err1 := strconv.Atoi(string(a))
	y, err2 := strconv.Atoi(string(b))
	return x >= y, errors.Join(err1, err2)
}

func newCounting(t *testing.T) (*counting, *Store, *time.Time) {
	t.Helper()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	under := &counting{value: service.Value{Value: "a", Version: "1", Node: service.G1, StalenessMS: 40}}
	s, err := New(under, 200*time.Millisecond, 150*time.Millisecond, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return under, s, &now
}

// reads reads the key and compares everything that is answered.
func reads(t *testing.T, s *Store, options service.ReadOptions, want service.Value) {
	t.Helper()
	want.Key, want.Node = "k", service.G1
	if got, err := s.Read(t.Context(), "k", options); err != nil || got != want {
		t.Errorf("it answers %+v, %v; wanted %+v", got, err, want)
	}
}

// TestAge: what is kept says how old it is, to the millisecond above, and is asked for again beyond the bound.
func TestAge(t *testing.T) {
	under, s, now := newCounting(t)
	none := service.ReadOptions{}
	reads(t, s, none, service.Value{Value: "a", Version: "1", StalenessMS: 40})
	under.value.Value, under.value.Version = "b", "2" // somebody else's
	*now = now.Add(100500 * time.Microsecond)
	reads(t, s, none, service.Value{Value: "a", Version: "1", StalenessMS: 141, Cached: true})
	*now = now.Add(99500 * time.Microsecond)
	reads(t, s, none, service.Value{Value: "a", Version: "1", StalenessMS: 240, Stale: true, Cached: true})
	*now = now.Add(time.Microsecond)
	reads(t, s, none, service.Value{Value: "b", Version: "2", StalenessMS: 40})
	if under.reads != 2 {
		t.Errorf("the store was asked %d times", under.reads)
	}
}

// TestWhoIsAsked: a named node answers itself, and so does the store for a session that has written.
func TestWhoIsAsked(t *testing.T) {
	under, s, _ := newCounting(t)
	reads(t, s, service.ReadOptions{}, service.Value{Value: "a", Version: "1", StalenessMS: 40})
	under.value.Value, under.value.Version = "b", "3"
	reads(t, s, service.ReadOptions{Node: service.G1}, service.Value{Value: "b", Version: "3", StalenessMS: 40})
	reads(t, s, service.ReadOptions{After: "1"}, service.Value{Value: "a", Version: "1", StalenessMS: 40, Cached: true})
	reads(t, s, service.ReadOptions{After: "no version"}, service.Value{Value: "b", Version: "3", StalenessMS: 40})
	under.value.Value, under.value.Version = "c", "4"
	reads(t, s, service.ReadOptions{After: "4"}, service.Value{Value: "c", Version: "4", StalenessMS: 40})
}

// TestOwnWrite is seen at once, also where an older value is on its way; one that failed may have taken effect.
func TestOwnWrite(t *testing.T) {
	under, s, _ := newCounting(t)
	write := func() (err error) { _, err = s.Write(t.Context(), "k", []byte("b")); return err }
	under.beforeReply = func() {
		under.beforeReply = nil
		if err := write(); err != nil {
			t.Error(err)
		}
	}
	reads(t, s, service.ReadOptions{}, service.Value{Value: "a", Version: "1", StalenessMS: 40}) // it began before the write
	reads(t, s, service.ReadOptions{}, service.Value{Value: "b", Version: "2", StalenessMS: 40})
	reads(t, s, service.ReadOptions{}, service.Value{Value: "b", Version: "2", StalenessMS: 40, Cached: true})
	under.fails = errors.New("no answer")
	if write() == nil {
		t.Error("it did not fail")
	}
	under.fails = nil
	under.value.Value, under.value.Version = "maybe", "3"
	reads(t, s, service.ReadOptions{}, service.Value{Value: "maybe", Version: "3", StalenessMS: 40})
}

// TestWhatIsNotKept: errors, and what is large.
func TestWhatIsNotKept(t *testing.T) {
	under, s, _ := newCounting(t)
	under.fails = errors.New("away")
	if _, err := s.Read(t.Context(), "k", service.ReadOptions{}); !errors.Is(err, under.fails) {
		t.Errorf("%v", err)
	}
	under.fails = nil
	under.value.Value = strings.Repeat("x", maxValue+1)
	for range 2 {
		reads(t, s, service.ReadOptions{}, service.Value{Value: under.value.Value, Version: "1", StalenessMS: 40})
	}
	if under.reads != 3 {
		t.Errorf("the store was asked %d times", under.reads)
	}
}
