package ap

import (
	"context"
	"fmt"
	"slices"
	"strconv"

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
	bucket int    // of one of them
	mark   string // at the source, where they were taken from it
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

// take takes the oldest registers that are dirty in a bucket, under a mark with a name that no other has, and the mark of what is
// done away; both marks are empty where there is nothing.
func (f *flow) take(ctx context.Context, source *node.Incarnation, bucket int, done string) (bundle, error) {
	f.drawn++
	name := f.store.origin + "." + strconv.FormatUint(f.drawn, 36)
	reply, err := source.Run(ctx, takeScript, []string{layout.APDirty(bucket), f.store.batches},
		batchKeys, batchBytes, layout.APRegisters(bucket), name, done)
	if err != nil {
		return bundle{}, fmt.Errorf("taking what is dirty: %w", err)
	}
	parts, ok := reply.([]any)
	if !ok || len(parts) != 2 {
		return bundle{}, fmt.Errorf("unexpected answer %v of the script that takes registers", reply)
	}
	mark, _ := parts[0].(string)
	packed, _ := parts[1].(string)
	return bundle{bucket, mark, packed}, nil
}

// clear takes the marks of batches away that the peer has.
func (f *flow) clear(ctx context.Context, source *node.Incarnation, marks ...any) error {
	err := source.Do(ctx, func(client *redis.Client) error { return client.ZRem(ctx, f.store.batches, marks...).Err() })
	if err != nil {
		return fmt.Errorf("clearing the marks of batches: %w", err)
	}
	return nil
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
