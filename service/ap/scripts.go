package ap

import (
	"context"
	_ "embed"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service/layout"
	"captop/service/node"
)

// The scripts; each file says what it does and takes.
var (
	//go:embed lua/write.lua
	writeText string
	//go:embed lua/take.lua
	takeText string
	//go:embed lua/merge.lua
	mergeText string
	//go:embed lua/poll.lua
	pollText string
	//go:embed lua/unfold.lua
	unfoldText string
	//go:embed lua/lease.lua
	leaseText string
	//go:embed lua/release.lua
	releaseText string
	//go:embed lua/asof.lua
	asofText string
	//go:embed lua/rejoin_begin.lua
	rejoinBeginText string
	//go:embed lua/rejoin_step.lua
	rejoinStepText string
	//go:embed lua/rejoin_end.lua
	rejoinEndText string

	mergeScript       = redis.NewScript(mergeText)
	takeScript        = redis.NewScript(takeText)
	pollScript        = redis.NewScript(pollText)
	unfoldScript      = redis.NewScript(unfoldText)
	leaseScript       = redis.NewScript(leaseText)
	releaseScript     = redis.NewScript(releaseText)
	asofScript        = redis.NewScript(asofText)
	rejoinBeginScript = redis.NewScript(rejoinBeginText)
	rejoinStepScript  = redis.NewScript(rejoinStepText)
	rejoinEndScript   = redis.NewScript(rejoinEndText)
)

// writes is the write script.
var writes = node.NewBatch(2, []string{"write"}, func(string) string { return writeText })

// soloBytes is the size of a value from which a write goes alone: it would hold up what goes with it.
const soloBytes = 8 << 10

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// batch is what the writes of one round trip have in common in their mark: the set, and the mark. The zero batch marks the key
// of each.
type batch struct{ set, mark string }

// sendWrites makes a round trip of writes under the stamps of a clock.
func sendWrites(ctx context.Context, client *redis.Client, c *clock, b batch, asked []item, answers []node.Answer[any]) {
	items := make([]node.Item, len(asked))
	keys, args := make([][2]string, len(asked)), make([][3]string, len(asked))
	for i, x := range asked {
		keys[i], args[i] = [2]string{x.register(), b.set}, [3]string{x.value, x.at, x.key}
		if b.mark == "" {
			keys[i][1] = layout.APDirty(x.bucket)
		}
		items[i] = node.Item{Script: "write", Keys: keys[i][:], Args: args[i][:]}
	}
	now, skew := c.now().UnixMicro(), c.maxSkew.Microseconds()
	writes.Run(ctx, client, nil, []string{decimal(c.origin), decimal(max(now-skew, 0)), decimal(now + skew), b.mark}, items, answers)
}

// reading is a register as a node has it, and what the node said about itself just before and just after.
type reading struct {
	clock         time.Time
	before, after []any
	register      []any
}

// readsOf gives what makes the round trips of reads; meta is what a node says about itself.
func readsOf(meta string) func(context.Context, *redis.Client, []string, []node.Answer[reading]) {
	return func(ctx context.Context, client *redis.Client, keys []string, answers []node.Answer[reading]) {
		sendReads(ctx, client, meta, keys, answers)
	}
}

func sendReads(ctx context.Context, client *redis.Client, meta string, keys []string, answers []node.Answer[reading]) {
	registers := make([]*redis.SliceCmd, len(keys))
	pipe := client.Pipeline()
	clock := pipe.Time(ctx)
	before := pipe.HMGet(ctx, meta, "settled", "asof")
	for i, key := range keys {
		registers[i] = pipe.HMGet(ctx, layout.APRegister(key), layout.APStamp, layout.APOrigin, layout.APValue)
	}
	after := pipe.HMGet(ctx, meta, "settled", "asof")
	_, _ = pipe.Exec(ctx) // every command has its error
	shared := errors.Join(clock.Err(), before.Err(), after.Err())
	for i, register := range registers {
		answers[i].Err = register.Err()
		if answers[i].Err == nil {
			answers[i].Err = shared
		}
		answers[i].Value = reading{clock.Val(), before.Val(), after.Val(), register.Val()}
	}
}
