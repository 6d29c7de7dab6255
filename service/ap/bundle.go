package ap

import (
	"context"
	"fmt"
	"math/bits"
	"slices"

	"github.com/redis/go-redis/v9"

	"captop/service/layout"
	"captop/service/node"
)

// item is a register to write or to carry.
type item struct {
	key, at, origin, value string
	bucket                 int // of the key
}

func newItem(key, at, origin, value string) item {
	return item{key: key, at: at, origin: origin, value: value, bucket: layout.Bucket(key)}
}

// register is the name of its hash.
func (x item) register() string { return layout.APRegisters(x.bucket) + x.key }

// bundle is registers on their way, as one argument of the scripts: a JSON array of name, stamp, origin and value of each.
// A node reads and writes one in less time than so many arguments, and what one node took goes to the other as it is.
type bundle struct {
	bucket int   // of one of them
	taken  int64 // the source's clock when they were as they are here, microseconds
	packed string
}

// pack makes the text of a bundle.
func pack(items []item) string {
	packed := make([]byte, 0, 256*len(items))
	for _, x := range items {
		for _, text := range [...]string{x.register(), x.at, x.origin, x.value} {
			packed = appendText(append(packed, ','), text)
		}
	}
	packed[0] = '['
	return string(append(packed, ']'))
}

// appendText adds a text as JSON, and leaves bytes that are no UTF-8 as they are, as the nodes do.
func appendText(to []byte, text string) []byte {
	to = append(to, '"')
	from := 0
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' {
			to = fmt.Appendf(append(to, text[from:i]...), `\u%04x`, c)
			from = i + 1
		}
	}
	return append(append(to, text[from:]...), '"')
}

// bundles are those of items of any bucket.
func bundles(items []item) (all []bundle) {
	for some := range slices.Chunk(items, batchKeys) {
		all = append(all, bundle{bucket: some[0].bucket, packed: pack(some)})
	}
	return all
}

// merge applies bundles at the target, last writer wins.
func merge(ctx context.Context, target *node.Incarnation, all []bundle) error {
	calls := make([]scriptCall, len(all))
	for i := range all {
		calls[i] = scriptCall{mergeScript, []string{layout.APDirty(all[i].bucket)}, []any{&all[i].packed}}
	}
	_, err := pipelined(ctx, target, calls)
	return err
}

// clearAndTake clears the marks of bundles that are done, and takes the oldest registers that are dirty in the buckets.
func clearAndTake(ctx context.Context, source *node.Incarnation, done []bundle, buckets uint64) (taken []bundle, err error) {
	var calls []scriptCall
	for i := range done {
		calls = append(calls, scriptCall{clearScript, []string{layout.APDirty(done[i].bucket)}, []any{done[i].taken, &done[i].packed}})
	}
	var asked []int
	for left := buckets; left != 0; left &= left - 1 {
		b := bits.TrailingZeros64(left)
		asked = append(asked, b)
		calls = append(calls, scriptCall{takeScript, []string{layout.APDirty(b)}, []any{batchKeys, batchBytes, layout.APRegisters(b)}})
	}
	replies, err := pipelined(ctx, source, calls)
	if err != nil {
		return nil, err
	}
	for i, reply := range replies[len(done):] {
		parts, ok := reply.([]any)
		if !ok || len(parts) != 2 {
			return nil, fmt.Errorf("unexpected answer %v of the script that takes registers", reply)
		}
		clock, _ := parts[0].(int64)
		if packed, _ := parts[1].(string); packed != "" {
			taken = append(taken, bundle{asked[i], clock, packed})
		}
	}
	return taken, nil
}

// scriptCall is one call of a script.
type scriptCall struct {
	script *redis.Script
	keys   []string
	args   []any
}

// pipelined runs several scripts in one round trip, and once more where the node did not know one: all of them may be
// repeated.
func pipelined(ctx context.Context, inc *node.Incarnation, calls []scriptCall) ([]any, error) {
	if len(calls) == 0 {
		return nil, nil
	}
	replies := make([]any, len(calls))
	run := func(send func(pipe redis.Pipeliner, call scriptCall) *redis.Cmd) error {
		return inc.Do(ctx, func(client *redis.Client) error {
			commands := make([]*redis.Cmd, len(calls))
			pipe := client.Pipeline()
			for i, call := range calls {
				commands[i] = send(pipe, call)
			}
			_, err := pipe.Exec(ctx)
			for i, command := range commands {
				replies[i] = command.Val()
			}
			return err
		})
	}
	err := run(func(pipe redis.Pipeliner, call scriptCall) *redis.Cmd {
		return call.script.EvalSha(ctx, pipe, call.keys, call.args...)
	})
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		err = run(func(pipe redis.Pipeliner, call scriptCall) *redis.Cmd {
			return call.script.Eval(ctx, pipe, call.keys, call.args...)
		})
	}
	return replies, err
}
