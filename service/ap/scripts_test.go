package ap

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service/layout"
	"captop/service/node"
	"captop/service/node/nodetest"
)

func runWrite(t *testing.T, c *redis.Client, key, value string, s stamp, now int64) string {
	t.Helper()
	at := clock{now: func() time.Time { return time.UnixMicro(now) }, origin: s.origin, maxSkew: 500 * time.Millisecond}
	var answer [1]node.Answer[any]
	sendWrites(context.Background(), c, &at, batch{}, []item{newItem(key, decimal(s.at), decimal(s.origin), value)}, answer[:])
	if answer[0].Err != nil {
		t.Fatal(answer[0].Err)
	}
	what, _, err := verdict(answer[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	return what
}

func valueOf(t *testing.T, c *redis.Client, key string) string {
	t.Helper()
	r, err := c.HGetAll(context.Background(), layout.APRegister(key)).Result()
	if err != nil {
		t.Fatal(err)
	}
	return r["v"] + "@" + r["t"] + "." + r["o"]
}

func TestWriteScriptKeepsTheNewest(t *testing.T) {
	c := client(t, nodetest.Start(t))
	now := time.Now().UnixMicro()
	steps := []struct {
		value string
		stamp stamp
		now   int64
		want  string
	}{
		{"first", stamp{now, 5}, now, "written"},
		{"late", stamp{now - 1, 9}, now, "newer"},
		{"tie, lower origin", stamp{now, 4}, now, "newer"},
		{"tie, same origin", stamp{now, 5}, now, "newer"},
		{"tie, higher origin", stamp{now, 6}, now, "newer"},
		{"one microsecond later", stamp{now + 1, 0}, now, "written"}, // numbers this large need all their digits
		{"clock far ahead", stamp{now + 3_600_000_000, 0}, now + 3_600_000_000, "ahead"},
		{"clock far behind what is stored", stamp{now - 3_600_000_000, 0}, now - 3_600_000_000, "future"},
	}
	last := ""
	for _, step := range steps {
		if got := runWrite(t, c, "k", step.value, step.stamp, step.now); got != step.want {
			t.Errorf("%s: %s, want %s", step.value, got, step.want)
		}
		if step.want == "written" {
			last = fmt.Sprintf("%s@%d.%d", step.value, step.stamp.at, step.stamp.origin)
		}
		if got := valueOf(t, c, "k"); got != last {
			t.Errorf("after %s there is %s, want %s", step.value, got, last)
		}
	}
}

// Times are compared as text: that of 2001, and one of centuries to come, have another number of digits.
func TestWriteScriptKnowsLongTimesFromShortOnes(t *testing.T) {
	c := client(t, nodetest.Start(t))
	now := time.Now().UnixMicro()
	for stored, want := range map[string]string{"999999999999999": "written", "10000000000000000": "future"} {
		c.HSet(context.Background(), layout.APRegister(stored), "t", stored, "o", "1", "v", "there")
		if got := runWrite(t, c, stored, "new", stamp{now, 5}, now); got != want {
			t.Errorf("over %s: %s, want %s", stored, got, want)
		}
	}
	if got := runWrite(t, c, "k", "v", stamp{9, 5}, 9); got != "written" {
		t.Errorf("an instance whose clock stands at 1970: %s", got)
	}
}

func TestMergeScriptKeepsTheNewestAndMarksNothing(t *testing.T) {
	c := client(t, nodetest.Start(t))
	const at = 1763868000123456
	for _, step := range []struct {
		t, o, v string
		taken   int
	}{{"1763868000123456", "5", "a", 1}, {"1763868000123455", "9", "b", 0}, {"1763868000123456", "4", "c", 0},
		{"1763868000123456", "5", "d", 0}, {"999999999999999", "9", "of 2001", 0}, {"1763868000123456", "6", "e", 1}, {"1763868000123457", "1", "f", 1}} {
		n, err := c.Eval(context.Background(), mergeText, []string{layout.APRegister("k")}, pack([]item{newItem("k", step.t, step.o, step.v)})).Int()
		if err != nil || n != step.taken {
			t.Errorf("merging %v took %d (%v)", step, n, err)
		}
	}
	if got, want := valueOf(t, c, "k"), fmt.Sprintf("f@%d.1", at+1); got != want {
		t.Errorf("there is %s, want %s", got, want)
	}
	if n := c.Exists(context.Background(), layout.APDirty(layout.Bucket("k"))).Val(); n != 0 {
		t.Error("a merge marked its key")
	}
}

// A write that arrives after its caller has given up must not beat what was written since.
func TestLateWriteLoses(t *testing.T) {
	p := newPair(t)
	s := p.ready(t, "a")
	mustWrite(t, s, "k", "0")
	awaitValue(t, s, "db_g2", "k", "0")
	p.servers[0].Pause()
	mustWrite(t, s, "k", "1") // waits at db_g1, is answered by db_g2
	w := mustWrite(t, s, "k", "2")
	p.servers[0].Resume()
	awaitGood(t, s, g1, g2)
	awaitCarried(t, s)
	for _, name := range []string{"db_g1", "db_g2"} {
		if v := awaitValue(t, s, name, "k", "2"); v.Version != w.Version {
			t.Errorf("%s has %s, want %s", name, v.Version, w.Version)
		}
	}
}
