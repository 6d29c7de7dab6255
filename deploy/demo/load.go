package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"captop/service"
	"captop/service/api"
)

// The load is for charts to live by: a few requests a second, on a few keys.
const (
	loadEvery = 50 * time.Millisecond
	loadKeys  = 50
)

// load reads and writes until ctx ends. What is refused is what there is to see.
func load(ctx context.Context, client *api.Client, seed int64) {
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	ticker := time.NewTicker(loadEvery)
	defer ticker.Stop()
	waiting := make(chan struct{}, 20) // bounds what a hanging node can pile up
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		select {
		case waiting <- struct{}{}:
		default:
			continue
		}
		key, write := fmt.Sprintf("demo-%d", r.IntN(loadKeys)), r.IntN(2) == 0
		go func() {
			defer func() { <-waiting }()
			ctx, cancel := context.WithTimeout(ctx, 2*requestTime)
			defer cancel()
			if write {
				_, _ = client.Write(ctx, key, fmt.Append(nil, "value ", n))
			} else {
				_, _ = client.Read(ctx, key, service.ReadOptions{})
			}
		}()
	}
}
