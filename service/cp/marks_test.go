package cp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"captop/service/layout"
	"captop/service/node"
	"captop/service/node/nodetest"
)

// headOf gives a client and the run of a store's head.
func headOf(t *testing.T, s *Store) (*redis.Client, string) {
	t.Helper()
	inc, err := s.nodes[head].Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var client *redis.Client
	_ = inc.Do(t.Context(), func(c *redis.Client) error { client = c; return nil })
	return client, inc.RunID
}

// settleUnder has the buckets of keys settled under a run.
func settleUnder(t *testing.T, client *redis.Client, run string, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if err := client.HSet(t.Context(), layout.CPMeta(layout.Bucket(key)), layout.CPSettled, run).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// promise makes promises of another instance, which then dies: nobody will end them.
func promise(t *testing.T, client *redis.Client, run string, keys ...string) (*marks, []node.Answer[reply]) {
	t.Helper()
	m := newMarks(layout.CPBatches)
	var asked []asking
	for _, key := range keys {
		asked = append(asked, asking{key: key, request: ask(head, "prepare", run, "tx of "+key, "v")})
	}
	answers := make([]node.Answer[reply], len(asked))
	m.send(t.Context(), client, asked, answers)
	for i, a := range answers {
		if a.Err != nil || a.Value.words[0] != "OK" {
			t.Fatalf("%s was not promised: %v, %v", keys[i], a.Value.words, a.Err)
		}
	}
	return m, answers
}

// ends ends the first promise of a key, which was made under a mark, and gives the first word of the answer.
func (m *marks) ends(t *testing.T, client *redis.Client, key, tx, how string, of *mark) string {
	t.Helper()
	var answer [1]node.Answer[reply]
	m.send(t.Context(), client, []asking{{key, ask(head, "end", "run", "1", tx, how, ""), of}}, answer[:])
	if answer[0].Err != nil {
		t.Fatalf("ending %s: %v", key, answer[0].Err)
	}
	return answer[0].Value.words[0]
}

// marked gives the batches and the keys that have marks of their own.
func marked(t *testing.T, client *redis.Client) (batches, keys []string) {
	t.Helper()
	batches = client.ZRange(t.Context(), layout.CPBatches, 0, -1).Val()
	for b := range layout.Buckets {
		keys = append(keys, client.ZRange(t.Context(), layout.CPDirty(b), 0, -1).Val()...)
	}
	slices.Sort(keys)
	return batches, keys
}

// TestAMarkStaysForItsLastPromise: a batch has one mark, which goes when all that it promised has ended, and not before.
func TestAMarkStaysForItsLastPromise(t *testing.T) {
	client := plainClient(t)
	settleUnder(t, client, "run", "a", "b", "c", "d")
	m, promised := promise(t, client, "run", "a", "b", "c", "d")
	if batches, keys := marked(t, client); len(batches) != 1 || len(keys) != 0 {
		t.Fatalf("four promises have the marks %q and %q", batches, keys)
	}
	of := promised[0].Value.mark
	for _, step := range []struct{ key, tx, want string }{{"a", "tx of a", "OK"}, {"b", "tx of b", "OK"}, {"c", "tx of another", "GONE"}} {
		if got := m.ends(t, client, step.key, step.tx, "drop", of); got != step.want || len(m.takeEnded()) != 0 {
			t.Fatalf("ending %s: %s, want %s; the mark is let go of before its last promise has ended", step.key, got, step.want)
		}
	}
	// Another instance has ended the last one: nothing is left of it either.
	if got := m.ends(t, client, "d", "tx of d", "drop", nil); got != "OK" || len(m.takeEnded()) != 0 {
		t.Fatalf("ending for another instance: %s", got)
	}
	if got := m.ends(t, client, "d", "tx of d", "drop", of); got != "GONE" {
		t.Fatalf("ending what is ended: %s", got)
	}
	batches, _ := marked(t, client)
	if ended := m.takeEnded(); len(ended) != 1 || len(batches) != 1 || ended[0] != batches[0] {
		t.Errorf("%q have ended, of %q", ended, batches)
	}
}

// TestPromisesOfADeadWriter: they are counted by the key, however few marks they were made under, and resolved without
// anybody asking for the keys; no mark is left.
func TestPromisesOfADeadWriter(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	s := openStore(t, g1.URL(), g2.URL())
	eventually(t, "settling", func() error { return wellSettled(s) })
	client, run := headOf(t, s)
	g1.Pause() // nothing can be resolved
	promise(t, client, run, "a", "b", "c", "d")
	promise(t, client, run, "e")
	depth := func(want int64) func() error {
		return func() error {
			if n := s.Nodes()[1]; n.QueueDepth != want || (want == 0) != (n.Staleness == 0) {
				return fmt.Errorf("%d in flight for %s", n.QueueDepth, n.Staleness)
			}
			return nil
		}
	}
	eventually(t, "counting five keys", depth(5))
	if batches, keys := marked(t, client); len(batches) != 0 || len(keys) != 5 {
		t.Errorf("late batches %q are not unfolded: %q", batches, keys)
	}
	g1.Resume()
	eventually(t, "resolving", depth(0))
	if batches, keys := marked(t, client); len(batches) != 0 || len(keys) != 0 {
		t.Errorf("%q and %q are left", batches, keys)
	}
	for _, key := range []string{"a", "b", "c", "d", "e"} {
		if client.HExists(t.Context(), layout.CPKey(key), layout.CPPromised).Val() {
			t.Errorf("%s is still promised", key)
		}
	}
}

// TestUnfoldedPromisesEnd: a promise that got a mark of its own takes it along when it ends; one that ended before leaves none.
func TestUnfoldedPromisesEnd(t *testing.T) {
	client := plainClient(t)
	settleUnder(t, client, "run", "a", "b", "c", "d")
	m, _ := promise(t, client, "run", "a", "b", "c", "d")
	batches, _ := marked(t, client)
	end := func(key string) {
		t.Helper()
		if got := m.ends(t, client, key, "tx of "+key, "finish", nil); got != "OK" {
			t.Fatalf("ending %s: %s", key, got)
		}
	}
	end("a")
	end("d")
	client.HSet(t.Context(), layout.CPKey("b"), layout.CPPromisedAt, "5")
	keys := []string{layout.CPBatches}
	for _, key := range layout.BatchKeys(batches[0]) {
		keys = append(keys, layout.CPKey(key), layout.CPDirty(layout.Bucket(key)))
	}
	for range 2 { // a second time finds the batch gone
		if err := scripts["unfold"].Run(t.Context(), client, keys, batches[0]).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if batches, own := marked(t, client); len(batches) != 0 || !slices.Equal(own, []string{layout.CPKey("c"), layout.CPKey("b")}) {
		t.Fatalf("the marks are %q and %q", batches, own)
	}
	if at := client.ZScore(t.Context(), layout.CPDirty(layout.Bucket("b")), layout.CPKey("b")).Val(); at != 5 {
		t.Errorf("the mark says %v, not when the promise was made", at)
	}
	var answer [1]node.Answer[reply]
	m.send(t.Context(), client, []asking{{key: "b", request: ask(head, "prepare", "run", "another", "w")}}, answer[:])
	now := fmt.Sprint(time.Now().UnixMilli())
	if said := answer[0].Value.words; said[0] != "DIRTY" || len(said[3]) != len(now) {
		t.Errorf("a promise with a mark of its own is %v ms old", said)
	}
	end("b")
	end("c")
	if _, own := marked(t, client); len(own) != 0 {
		t.Errorf("%q are left", own)
	}
}

// TestAMarkOfNothingGoes: builds that do not know of each other's marks may leave one of a key that is clean.
func TestAMarkOfNothingGoes(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	s := openStore(t, g1.URL(), g2.URL())
	mustWrite(t, s, "k", "v")
	client, _ := headOf(t, s)
	if err := client.ZAdd(t.Context(), layout.CPDirty(layout.Bucket("k")), redis.Z{Score: 1, Member: layout.CPKey("k")}).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "taking the mark away", func() error {
		if _, keys := marked(t, client); len(keys) > 0 {
			return errors.New("it is still there")
		}
		return nil
	})
	mustHold(t, s, "k", "v")
}

// TestALonePromise: it has a mark of its own, which goes with it.
func TestALonePromise(t *testing.T) {
	client := plainClient(t)
	settleUnder(t, client, "run", "k")
	m, promised := promise(t, client, "run", "k")
	if batches, keys := marked(t, client); len(batches) != 0 || len(keys) != 1 || promised[0].Value.mark != nil {
		t.Fatalf("one promise has the marks %q and %q", batches, keys)
	}
	got := m.ends(t, client, "k", "tx of k", "finish", nil)
	if batches, keys := marked(t, client); len(batches)+len(keys) > 0 || got != "OK" {
		t.Errorf("%q and %q are left (%s)", batches, keys, got)
	}
}

// TestCalmLeavesNoMarks: what has been written well, alone and with others, is marked nowhere a moment later.
func TestCalmLeavesNoMarks(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	s := openStore(t, g1.URL(), g2.URL())
	eventually(t, "settling", func() error { return wellSettled(s) })
	var writers errgroup.Group
	for w := range 20 {
		writers.Go(func() error {
			for range 20 {
				if _, err := s.Write(context.Background(), fmt.Sprint("k", w), []byte("v")); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := writers.Wait(); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, s, "alone", "v")
	client, _ := headOf(t, s)
	eventually(t, "clearing", func() error {
		if batches, keys := marked(t, client); len(batches)+len(keys) > 0 {
			return fmt.Errorf("%q and %q are left", batches, keys)
		}
		return nil
	})
}
