package ap

import (
	"context"
	"fmt"
	"strings"
	"sync"
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

// uncarried gives a store of which nobody carries what is written, and the runs of its nodes.
func uncarried(t *testing.T, p *pair) (s *Store, source, target *node.Incarnation) {
	t.Helper()
	s = p.open(t, "uncarried", time.Now)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var incs [2]*node.Incarnation
	for which, n := range s.nodes {
		inc, err := n.Current(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		incs[which] = inc
	}
	return s, incs[g1], incs[g2]
}

// TestCarriedBytesAreTheSame: whatever bytes a register holds, the peer gets these, from memory and from the node.
func TestCarriedBytesAreTheSame(t *testing.T) {
	p, ctx := newPair(t), context.Background()
	_, source, target := uncarried(t, p)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	texts := []string{"", "plain", `"quoted"`, `\u0022\`, "\u2028é日本", "\xff\x00\xfe", string(all), strings.Repeat("\x00", 70_000), "[1,2]", "null"}
	from, to := client(t, p.servers[g1]), client(t, p.servers[g2])
	var keys []string
	var items []item
	for i, text := range texts {
		key := fmt.Sprint("k", i, text[:min(len(text), 300)])
		keys = append(keys, key)
		if runWrite(t, from, key, text, stamp{time.Now().UnixMicro(), 5}, time.Now().UnixMicro()) != "written" {
			t.Fatalf("%q is not written", text)
		}
		items = append(items, newItem(key, "1763868000123456", "5", text))
	}
	compare := func(way string) {
		t.Helper()
		for i, key := range keys {
			if got := to.HGet(ctx, layout.APRegister(key), "v").Val(); got != texts[i] || to.Exists(ctx, layout.APRegister(key)).Val() != 1 {
				t.Errorf("%s: of %.40q came %.40q", way, texts[i], got)
			}
		}
	}
	if err := merge(ctx, target, bundles(items)); err != nil {
		t.Fatal(err)
	}
	compare("from memory")
	to.FlushAll(ctx)
	taken, err := clearAndTake(ctx, source, nil, ^uint64(0))
	if err != nil {
		t.Fatal(err)
	}
	if err := merge(ctx, target, taken); err != nil {
		t.Fatal(err)
	}
	compare("from the node")
	if _, err := clearAndTake(ctx, source, taken, 0); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if mark(t, from, key) != 0 {
			t.Errorf("the mark of %.40q stays", key)
		}
	}
}

// mark gives the score of a key's mark, 0 where there is none.
func mark(t *testing.T, c *redis.Client, key string) int64 {
	t.Helper()
	return int64(c.ZScore(context.Background(), layout.APDirty(layout.Bucket(key)), key).Val())
}

func TestClearKeepsTheMarkOfAKeyThatWasWrittenAgain(t *testing.T) {
	p, ctx := newPair(t), context.Background()
	s, source, _ := uncarried(t, p)
	s.flows[g1].failing = true // keys are marked one by one
	c := client(t, p.servers[0])
	mustWrite(t, s, "k", "1")
	first := mark(t, c, "k")
	mustWrite(t, s, "k", "2")
	if got := mark(t, c, "k"); got != first || first == 0 {
		t.Errorf("a second write moved the mark from %d to %d", first, got)
	}
	batch, err := clearAndTake(ctx, source, nil, 1<<layout.Bucket("k"))
	if err != nil || len(batch) != 1 || !strings.Contains(batch[0].packed, `"2"`) {
		t.Fatalf("took %+v, %v", batch, err)
	}
	mustWrite(t, s, "k", "3")
	if _, err := clearAndTake(ctx, source, batch, 0); err != nil {
		t.Fatal(err)
	}
	if got := mark(t, c, "k"); got <= first || got != batch[0].taken {
		t.Errorf("the mark of a key written again is %d, want %d", got, batch[0].taken)
	}
	batch, err = clearAndTake(ctx, source, nil, 1<<layout.Bucket("k"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clearAndTake(ctx, source, batch, 0); err != nil {
		t.Fatal(err)
	}
	if got := mark(t, c, "k"); got != 0 {
		t.Errorf("the mark of a carried key is %d", got)
	}
}

// A carrier that dies between merging and clearing leaves work that can be done twice.
func TestCarrierDiesBeforeItClears(t *testing.T) {
	p, ctx := newPair(t), context.Background()
	dead, source, target := uncarried(t, p)
	dead.flows[g1].failing = true
	mustWrite(t, dead, "k", "1")
	batch, err := clearAndTake(ctx, source, nil, 1<<layout.Bucket("k"))
	if err != nil {
		t.Fatal(err)
	}
	if err := merge(ctx, target, batch); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, dead, "k", "2")
	alive := p.ready(t, "alive")
	awaitValue(t, alive, "db_g2", "k", "2")
	awaitCarried(t, alive)
	// And a carrier that wakes up late, with what it took long ago, takes nothing back.
	if err := merge(ctx, target, batch); err != nil {
		t.Fatal(err)
	}
	if _, err := clearAndTake(ctx, source, batch, 0); err != nil {
		t.Fatal(err)
	}
	awaitValue(t, alive, "db_g2", "k", "2")
}

// batchesOf gives the batches of a node.
func batchesOf(t *testing.T, c *redis.Client) []redis.Z {
	t.Helper()
	all, err := c.ZRangeWithScores(context.Background(), layout.APBatches, 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestBatchOfADeadWriterIsUnfolded: what an instance has acknowledged and never handed over is carried by another, and each of
// its keys counts as long as it waits as what it is: as old as its oldest write.
func TestBatchOfADeadWriterIsUnfolded(t *testing.T) {
	p, ctx := newPair(t), context.Background()
	dead, source, _ := uncarried(t, p)
	c := client(t, p.servers[0])
	answers := make([]node.Answer[any], 3)
	send := func(value string) {
		t.Helper()
		var asked []item
		for _, key := range []string{"a", "b", "ключ with a space"} {
			drawn, _ := dead.clock.next()
			asked = append(asked, newItem(key, decimal(drawn.at), dead.origin, value))
		}
		dead.flows[g1].send(ctx, c, asked, answers)
		for _, answer := range answers {
			if !taken(answer) {
				t.Fatalf("not written: %+v", answer)
			}
		}
	}
	send("1")
	send("2")
	if marks := batchesOf(t, c); len(marks) != 2 || mark(t, c, "a") != 0 {
		t.Fatalf("two batches left %v, and the mark %d of a key", marks, mark(t, c, "a"))
	}
	first := batchesOf(t, c)[0].Score
	younger := redis.Z{Score: first + 1, Member: "a"}
	if err := c.ZAdd(ctx, layout.APDirty(layout.Bucket("a")), younger).Err(); err != nil {
		t.Fatal(err)
	}
	dead.flows[g1].foundBatches(time.Now().Add(time.Minute).UnixMicro())
	if err := dead.flows[g1].unfold(ctx, source); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b", "ключ with a space"} {
		if got := mark(t, c, key); got != int64(first) {
			t.Errorf("the mark of %q is %d, want %d, the time of its first batch", key, got, int64(first))
		}
	}
	if marks := batchesOf(t, c); len(marks) != 0 {
		t.Errorf("there still are %v", marks)
	}
	send("3")
	alive := p.ready(t, "alive")
	awaitCarried(t, alive)
	for _, key := range []string{"a", "b", "ключ with a space"} {
		awaitValue(t, alive, "db_g2", key, "3")
	}
}

// TestCarryKnowsBatchesAndMarks: whoever is about to take a node's data away brings over what waits, in whichever way.
func TestCarryKnowsBatchesAndMarks(t *testing.T) {
	p := newPair(t)
	s, _, _ := uncarried(t, p)
	mustWrite(t, s, "in both", "old")
	mustWrite(t, s, "in a batch", "v")
	s.flows[g1].failing = true
	mustWrite(t, s, "marked", "v")
	mustWrite(t, s, "in both", "v")
	to := client(t, p.servers[g2])
	if carried, err := Carry(context.Background(), client(t, p.servers[g1]), to); err != nil || carried != 3 {
		t.Errorf("carried %d, %v", carried, err)
	}
	for _, key := range []string{"in both", "in a batch", "marked"} {
		if got := to.HGet(context.Background(), layout.APRegister(key), layout.APValue).Val(); got != "v" {
			t.Errorf("%s is %q", key, got)
		}
	}
}

// TestQueueIsBoundedByKeys: as long as the peer is away, many writes of few keys leave as many marks as there are keys.
func TestQueueIsBoundedByKeys(t *testing.T) {
	p := newPair(t)
	s := p.ready(t, "a")
	p.servers[g2].Pause()
	c := client(t, p.servers[g1])
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 400 {
				if _, err := s.Write(context.Background(), fmt.Sprint("k", (w+i)%10), []byte("v")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	await(t, "marks are those of keys", func() error {
		if depth := s.Nodes()[g2].QueueDepth; len(batchesOf(t, c)) > 0 || depth != 10 {
			return fmt.Errorf("%d batches, and a queue of %d", len(batchesOf(t, c)), depth)
		}
		return nil
	})
	p.servers[g2].Resume()
	awaitGood(t, s, g1, g2)
	awaitCarried(t, s)
}

// TestOneThatEndsLeavesNoBatches: what an instance that is closed has not handed over is marked key by key: an instance of before
// there were batches carries it, too.
func TestOneThatEndsLeavesNoBatches(t *testing.T) {
	p := newPair(t)
	s := p.ready(t, "a")
	for i := range 100 {
		mustWrite(t, s, fmt.Sprint("k", i), "v")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	source, target := client(t, p.servers[g1]), client(t, p.servers[g2])
	if marks := batchesOf(t, source); len(marks) > 0 {
		t.Errorf("it left %v", marks)
	}
	for i := range 100 {
		key := fmt.Sprint("k", i)
		if target.HGet(context.Background(), layout.APRegister(key), layout.APValue).Val() != "v" && mark(t, source, key) == 0 {
			t.Errorf("%s is neither at db_g2 nor marked for it", key)
		}
	}
}

// A holder that dies without giving its lease back is followed by another when the lease runs out.
func TestLeaseOfADeadHolderRunsOut(t *testing.T) {
	p := newPair(t)
	for _, server := range p.servers {
		got, err := leaseScript.Run(context.Background(), client(t, server), []string{layout.APLease}, "dead", leaseFor.Milliseconds()).Int()
		if err != nil || got != 1 {
			t.Fatal(got, err)
		}
	}
	s := p.ready(t, "a")
	mustWrite(t, s, "k", "1")
	awaitValue(t, s, "db_g2", "k", "1")
	await(t, "the lease has gone to the living", func() error {
		if holder := client(t, p.servers[0]).Get(context.Background(), layout.APLease).Val(); holder != s.flows[g1].holder {
			return fmt.Errorf("the lease is %q's", holder)
		}
		return nil
	})
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

func TestLargeValuesAreCarried(t *testing.T) {
	s := newPair(t).ready(t, "a")
	large := make([]byte, 1<<20)
	for i := range large {
		large[i] = byte(i)
	}
	for i := range 20 {
		if _, err := s.Write(context.Background(), fmt.Sprint("k", i), large); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		awaitValue(t, s, "db_g2", fmt.Sprint("k", i), string(large))
	}
}
