package cp

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"captop/service/layout"
	"captop/service/node"
	"captop/service/node/nodetest"
)

// TestABatchIsItsScriptsOneByOne: what the model walks are batches of one; this is why it speaks for others too. Random
// items, also ones that fail, are answered by a batch as they are one by one, and leave the same behind, each promise within
// a mark.
func TestABatchIsItsScriptsOneByOne(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	single, batched := plainClient(t), plainClient(t)
	ctx := context.Background()
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	outcomes := map[string]int{}
	m, ones := newMarks(layout.CPBatches), newMarks(layout.CPBatches)
	for range 150 {
		keys := []string{"a", "b", "c", "broken", fmt.Sprint(r.IntN(3))}
		for _, c := range []*redis.Client{single, batched} {
			c.Set(ctx, layout.CPKey("broken"), "a string, where a hash belongs", 0)
			c.HSet(ctx, layout.CPMeta(layout.Bucket("a")), "s", "run1", "e", "head1")
		}
		asked := make([]asking, 1+r.IntN(64))
		for i := range asked {
			n, tx, run := one("1", "2", "3", "4"), one("A", "B"), one("run1", "run1", "run2")
			asked[i] = asking{key: one(keys...), request: [...]request{
				ask(head, "prepare", run, tx, one("v", "", "w\r\n\x00")),
				ask(tail, "commit", run, n, tx, "v", one("head1", "head2")),
				ask(head, "end", run, n, tx, one("finish", "drop", "forget"), "tail1"),
			}[r.IntN(3)]}
		}
		answers := make([]node.Answer[reply], len(asked))
		m.send(ctx, batched, asked, answers)
		for i, a := range asked {
			var alone [1]node.Answer[reply]
			ones.send(ctx, single, []asking{a}, alone[:])
			got, want := outcome(answers[i]), outcome(alone[0])
			if answers[i].Err != nil && node.Sent(answers[i].Err) {
				t.Errorf("an error reply counts as sent: %v", answers[i].Err)
			}
			// The text of an error names the script and line; its kind is what counts.
			if firstWord(got) != firstWord(want) || answers[i].Err == nil && got != want {
				t.Fatalf("%s %v of %q: %s in a batch, %s alone", a.script, a.argv(), a.key, got, want)
			}
			outcomes[a.script+" "+firstWord(got)]++
		}
		if a, b := everything(t, single), everything(t, batched); a != b {
			t.Fatalf("a batch left\n%s\none by one\n%s", b, a)
		}
		checkMarked(t, single)
		checkMarked(t, batched)
		if r.IntN(8) == 0 {
			single.FlushAll(ctx)
			batched.FlushAll(ctx)
		}
	}
	for _, want := range []string{"prepare OK", "prepare DIRTY", "prepare UNSETTLED", "prepare WRONGTYPE", "commit OK", "commit EPOCH",
		"commit OVERTAKEN", "commit WRONGTYPE", "end OK", "end GONE", "end UNSETTLED"} {
		if outcomes[want] == 0 {
			t.Errorf("%s was not met: %v", want, outcomes)
		}
	}
}

// outcome is an answer without the age of a promise, which depends on the moment.
func outcome(answer node.Answer[reply]) string {
	if answer.Err != nil {
		return answer.Err.Error()
	}
	said := answer.Value.words
	if said[0] == "DIRTY" {
		said = said[:3]
	}
	return fmt.Sprintf("%s %q", strings.Join(said, " "), said)
}

// checkMarked: every dirty key is marked, with its batch or by itself, and no clean one by itself.
func checkMarked(t *testing.T, client *redis.Client) {
	t.Helper()
	batches, own := marked(t, client)
	var inBatches []string
	for _, batch := range batches {
		inBatches = append(inBatches, layout.BatchKeys(batch)...)
	}
	for _, key := range []string{"a", "b", "c", "0", "1", "2"} {
		dirty := client.HExists(t.Context(), layout.CPKey(key), layout.CPPromised).Val()
		batched := client.HExists(t.Context(), layout.CPKey(key), layout.CPPromisedAt).Val()
		if byItself := slices.Contains(own, layout.CPKey(key)); byItself != (dirty && !batched) || batched && !slices.Contains(inBatches, key) {
			t.Errorf("%s is dirty %t, with a batch %t, and in the marks %q and %q", key, dirty, batched, batches, own)
		}
	}
}

func firstWord(text string) string {
	word, _, _ := strings.Cut(text, " ")
	return word
}

func plainClient(t *testing.T) *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: nodetest.Start(t).Addr(), Protocol: 2})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// everything is what a node holds, but for the marks of promises.
func everything(t *testing.T, client *redis.Client) string {
	ctx := context.Background()
	names, err := client.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		switch client.Type(ctx, name).Val() {
		case "hash":
			fields := client.HGetAll(ctx, name).Val()
			for _, field := range slices.Sorted(maps.Keys(fields)) {
				if field != layout.CPPromisedAt {
					fmt.Fprintf(&b, "%s.%s=%q\n", name, field, fields[field])
				}
			}
		case "zset": // marks
		default:
			fmt.Fprintf(&b, "%s: %q\n", name, client.Get(ctx, name).Val())
		}
	}
	return b.String()
}

// TestReadReplyIsReadLua: wherever the key alone tells the answer, it is the one that read.lua gives.
func TestReadReplyIsReadLua(t *testing.T) {
	ctx := context.Background()
	client := plainClient(t)
	told := 0
	for _, hash := range []map[string]any{nil, {"s": "run"}, {"s": "old"}, {"s": "run", "n": "3", "v": ""}, {"s": "run", "n": "3", "v": "x"},
		{"s": "old", "n": "3", "v": "x"}, {"s": "run", "n": "3", "v": "x", "dn": "4", "dv": "y"}, {"s": "run", "dn": "1"}, {"n": "3", "v": "x"}} {
		for _, meta := range []string{"", "run", "old"} {
			client.FlushAll(ctx)
			if hash != nil {
				client.HSet(ctx, layout.CPKey("k"), hash)
			}
			if meta != "" {
				client.HSet(ctx, layout.CPMeta(layout.Bucket("k")), "s", meta)
			}
			raw, err := scripts["read"].Run(ctx, client, scriptKeys("k"), "run").Result()
			if err != nil {
				t.Fatal(err)
			}
			want, err := words(raw)
			if err != nil {
				t.Fatal(err)
			}
			answers := make([]node.Answer[[]any], 1)
			sendReads(ctx, client, []string{"k"}, answers)
			got, ok := readReply(answers[0].Value, "run")
			if ok && !slices.Equal(got, want) {
				t.Errorf("%v, bucket %q: %q, and read.lua says %q", hash, meta, got, want)
			}
			if ok {
				told++
			}
		}
	}
	if told != 15 {
		t.Errorf("%d of 27 were told by the key alone, not the 15 that are stamped", told)
	}
}
