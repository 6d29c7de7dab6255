package ap

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service/layout"
	"captop/service/node"
)

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
	s, source, target := uncarried(t, p)
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
	for bucket := range layout.Buckets {
		taken := mustTake(t, s, source, bucket, "")
		if err := mergeTaken(ctx, target, taken); err != nil {
			t.Fatal(err)
		}
		mustTake(t, s, source, bucket, taken.mark)
	}
	compare("from the node")
	for _, key := range keys {
		if mark(t, from, key) != 0 {
			t.Errorf("the mark of %.40q stays", key)
		}
	}
	if marks := batchesOf(t, from); len(marks) > 0 {
		t.Errorf("%d batches stay", len(marks))
	}
}

// mustTake takes what is dirty at db_g1.
func mustTake(t *testing.T, s *Store, source *node.Incarnation, bucket int, done string) bundle {
	t.Helper()
	taken, err := s.flows[g1].take(context.Background(), source, bucket, done)
	if err != nil {
		t.Fatal(err)
	}
	return taken
}

// mark gives the score of a key's mark, 0 where there is none.
func mark(t *testing.T, c *redis.Client, key string) int64 {
	t.Helper()
	return int64(c.ZScore(context.Background(), layout.APDirty(layout.Bucket(key)), key).Val())
}

// TestKeyThatIsWrittenAgainWhileItIsCarried: what was taken is as old as its oldest write until it is there, and what was written
// since waits by itself.
func TestKeyThatIsWrittenAgainWhileItIsCarried(t *testing.T) {
	p := newPair(t)
	s, source, _ := uncarried(t, p)
	s.flows[g1].failing = true // keys are marked one by one
	c, bucket := client(t, p.servers[0]), layout.Bucket("k")
	mustWrite(t, s, "k", "1")
	first := mark(t, c, "k")
	mustWrite(t, s, "k", "2")
	if got := mark(t, c, "k"); got != first || first == 0 {
		t.Errorf("a second write moved the mark from %d to %d", first, got)
	}
	taken := mustTake(t, s, source, bucket, "")
	if !strings.Contains(taken.packed, `"2"`) || !slices.Equal(layout.BatchKeys(taken.mark), []string{"k"}) {
		t.Fatalf("took %+v", taken)
	}
	if marks := batchesOf(t, c); len(marks) != 1 || marks[0].Member != taken.mark || int64(marks[0].Score) != first || mark(t, c, "k") != 0 {
		t.Errorf("what is carried is marked as %v, and the key by %d; want %d, and nothing", marks, mark(t, c, "k"), first)
	}
	mustWrite(t, s, "k", "3")
	again := mark(t, c, "k")
	if again <= first {
		t.Errorf("the mark of a key written again is %d, after %d", again, first)
	}
	if err := s.flows[g1].clear(context.Background(), source, taken.mark); err != nil {
		t.Fatal(err)
	}
	if marks := batchesOf(t, c); len(marks) > 0 || mark(t, c, "k") != again {
		t.Errorf("behind the first there are %v, and the mark %d; want nothing, and %d", marks, mark(t, c, "k"), again)
	}
	taken = mustTake(t, s, source, bucket, "")
	if mustTake(t, s, source, bucket, taken.mark).mark != "" || len(batchesOf(t, c)) > 0 || mark(t, c, "k") != 0 {
		t.Errorf("behind the second there are %v, and the mark %d", batchesOf(t, c), mark(t, c, "k"))
	}
}

// setMemory bounds the memory of a node, in bytes; 0 does not.
func setMemory(t *testing.T, c *redis.Client, bytes string) {
	t.Helper()
	if err := c.ConfigSet(context.Background(), "maxmemory", bytes).Err(); err != nil {
		t.Fatal(err)
	}
}

// sameBucket gives n keys of the bucket of "k".
func sameBucket(n int) (keys []string) {
	for i := 0; len(keys) < n; i++ {
		if key := fmt.Sprint("k", i); layout.Bucket(key) == layout.Bucket("k") {
			keys = append(keys, key)
		}
	}
	return keys
}

// TestWhatIsNotTakenStaysMarked: values beyond the bound wait for the next time, a node that is full gives away what it has all the
// same, and a mark goes with the register that somebody deleted by hand.
func TestWhatIsNotTakenStaysMarked(t *testing.T) {
	p, ctx := newPair(t), context.Background()
	s, source, _ := uncarried(t, p)
	s.flows[g1].failing = true
	c, bucket := client(t, p.servers[0]), layout.Bucket("k")
	keys := sameBucket(4)
	for _, key := range keys {
		mustWrite(t, s, key, strings.Repeat("v", batchBytes/2+1))
	}
	marks := func() (all []string) {
		for _, key := range keys {
			if mark(t, c, key) != 0 {
				all = append(all, key)
			}
		}
		return all
	}
	if err := c.Del(ctx, layout.APRegister(keys[0])).Err(); err != nil {
		t.Fatal(err)
	}
	setMemory(t, c, "1")
	taken := mustTake(t, s, source, bucket, "")
	if got := layout.BatchKeys(taken.mark); !slices.Equal(got, keys[1:3]) || !slices.Equal(marks(), keys[3:]) {
		t.Errorf("took %q, and left the marks of %q", got, marks())
	}
	if last := mustTake(t, s, source, bucket, taken.mark); !slices.Equal(layout.BatchKeys(last.mark), keys[3:]) || len(batchesOf(t, c)) != 1 {
		t.Errorf("then took %q, and left %d batches", layout.BatchKeys(last.mark), len(batchesOf(t, c)))
	}
}

// TestTakeThatFailsLeavesTheMarks: where a node lets nobody read registers, nothing is lost.
func TestTakeThatFailsLeavesTheMarks(t *testing.T) {
	p, ctx := newPair(t), context.Background()
	s, source, _ := uncarried(t, p)
	s.flows[g1].failing = true
	c, keys := client(t, p.servers[0]), sameBucket(3)
	for _, key := range keys {
		mustWrite(t, s, key, "v")
	}
	if err := c.Do(ctx, "ACL", "SETUSER", "default", "-hmget").Err(); err != nil {
		t.Fatal(err)
	}
	if taken, err := s.flows[g1].take(ctx, source, layout.Bucket("k"), ""); err == nil {
		t.Fatalf("took %+v", taken)
	}
	if err := c.Do(ctx, "ACL", "SETUSER", "default", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if mark(t, c, key) == 0 {
			t.Errorf("the mark of %s is gone", key)
		}
	}
	if marks := batchesOf(t, c); len(marks) > 0 {
		t.Errorf("there are %v", marks)
	}
}

// A carrier that dies between merging and clearing leaves work that can be done twice.
func TestCarrierDiesBeforeItClears(t *testing.T) {
	p, ctx := newPair(t), context.Background()
	dead, source, target := uncarried(t, p)
	dead.flows[g1].failing = true
	mustWrite(t, dead, "k", "1")
	taken := mustTake(t, dead, source, layout.Bucket("k"), "")
	if err := mergeTaken(ctx, target, taken); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, dead, "k", "2")
	alive := p.ready(t, "alive")
	awaitValue(t, alive, "db_g2", "k", "2")
	awaitCarried(t, alive)
	// And a carrier that wakes up late, with what it took long ago, takes nothing back.
	if err := mergeTaken(ctx, target, taken); err != nil {
		t.Fatal(err)
	}
	if err := dead.flows[g1].clear(ctx, source, taken.mark); err != nil {
		t.Fatal(err)
	}
	awaitValue(t, alive, "db_g2", "k", "2")
}

// TestCarrierDiesBeforeItMerges: what it has taken is carried by another.
func TestCarrierDiesBeforeItMerges(t *testing.T) {
	p := newPair(t)
	dead, source, _ := uncarried(t, p)
	dead.flows[g1].failing = true
	mustWrite(t, dead, "k", "1")
	mustTake(t, dead, source, layout.Bucket("k"), "")
	alive := p.ready(t, "alive")
	awaitValue(t, alive, "db_g2", "k", "1")
	awaitCarried(t, alive)
	if marks := batchesOf(t, client(t, p.servers[0])); len(marks) > 0 {
		t.Errorf("there still are %v", marks)
	}
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
	setMemory(t, c, "1") // a node that is full, too
	dead.flows[g1].foundBatches(time.Now().Add(time.Minute).UnixMicro())
	if err := dead.flows[g1].unfold(ctx, source); err != nil {
		t.Fatal(err)
	}
	setMemory(t, c, "0")
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
