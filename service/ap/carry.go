package ap

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"captop/service/layout"
)

// Carry copies to a peer the registers that a node has marked for it, as the replicators do, and says how many there
// were. For whoever is about to take the node's data away: writes are held at the node meanwhile (CLIENT PAUSE WRITE,
// which holds scripts, too), so it is only read there, by plain commands. The marks stay.
func Carry(ctx context.Context, from, to *redis.Client) (carried int, err error) {
	batches, err := from.ZRange(ctx, layout.APBatches, 0, -1).Result()
	if err != nil {
		return 0, fmt.Errorf("reading which batches wait for the peer: %w", err)
	}
	var waiting [layout.Buckets][]string
	for _, mark := range batches {
		for _, key := range layout.BatchKeys(mark) {
			bucket := layout.Bucket(key)
			waiting[bucket] = append(waiting[bucket], key)
		}
	}
	for bucket := range layout.Buckets {
		marked, err := from.ZRange(ctx, layout.APDirty(bucket), 0, -1).Result()
		if err != nil {
			return carried, fmt.Errorf("reading what is marked for the peer: %w", err)
		}
		marked = append(marked, waiting[bucket]...)
		slices.Sort(marked)
		for keys := range slices.Chunk(slices.Compact(marked), moveKeys) {
			if err := carryKeys(ctx, from, to, bucket, keys); err != nil {
				return carried, err
			}
			carried += len(keys)
		}
	}
	return carried, nil
}

func carryKeys(ctx context.Context, from, to *redis.Client, bucket int, keys []string) error {
	registers := make([]*redis.SliceCmd, len(keys))
	pipe := from.Pipeline()
	for i, key := range keys {
		registers[i] = pipe.HMGet(ctx, layout.APRegisters(bucket)+key, layout.APStamp, layout.APOrigin, layout.APValue)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("reading registers for the peer: %w", err)
	}
	var items []item
	for i, key := range keys {
		if r := texts(registers[i].Val()); len(r) == 3 && r[0] != "" { // else somebody deleted it by hand
			items = append(items, newItem(key, r[0], r[1], r[2]))
		}
	}
	if len(items) == 0 {
		return nil
	}
	if err := to.Eval(ctx, mergeText, []string{layout.APDirty(bucket)}, pack(items)).Err(); err != nil {
		return fmt.Errorf("writing registers to the peer: %w", err)
	}
	return nil
}
