package node_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/node"
	"captop/service/node/nodetest"
)

const benchScript = `local k = redis.call('HMGET', KEYS[1], 'n', 't')
redis.call('HSET', KEYS[1], 'n', ARGV[1], 't', ARGV[2], 'v', ARGV[3])
return {'OK', k[1] or '0'}`

// BenchmarkSharing has 50 callers run a short script on one node: each by itself, through go-redis's AutoPipeline, through
// a lane that pipelines, and through a lane whose round trip is one batch.
func BenchmarkSharing(b *testing.B) {
	server := nodetest.Start(b)
	config := node.DefaultConfig(service.G1, server.URL())
	config.Timeout = 20 * time.Second // whatever else the machine does
	n, err := node.Open(config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = n.Close() })
	inc := current(b, n, "")
	script := redis.NewScript(benchScript)
	var auto *redis.AutoPipeliner
	err = inc.Do(within(b), func(client *redis.Client) (err error) {
		if err = script.Load(within(b), client).Err(); err == nil {
			auto, err = client.AutoPipeline()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	batch := node.NewBatch(1, []string{"s"}, func(string) string { return benchScript })
	batched := node.NewLane(func(ctx context.Context, client *redis.Client, asked []node.Item, answers []node.Answer[any]) {
		batch.Run(ctx, client, nil, nil, asked, answers)
	})
	pipelined := node.NewLane(func(ctx context.Context, client *redis.Client, asked []node.Item, answers []node.Answer[any]) {
		commands := make([]*redis.Cmd, len(asked))
		pipe := client.Pipeline()
		for i, item := range asked {
			commands[i] = script.EvalSha(ctx, pipe, item.Keys, anyOf(item.Args)...)
		}
		_, _ = pipe.Exec(ctx)
		for i, command := range commands {
			answers[i].Value, answers[i].Err = command.Result()
		}
	})
	for _, way := range []struct {
		name string
		run  func(ctx context.Context, item node.Item) error
	}{
		{"alone", func(ctx context.Context, item node.Item) error {
			_, err := inc.Run(ctx, script, item.Keys, anyOf(item.Args)...)
			return err
		}},
		{"AutoPipeline", func(ctx context.Context, item node.Item) error {
			return script.EvalSha(ctx, auto, item.Keys, anyOf(item.Args)...).Err()
		}},
		{"lane, pipelined", func(ctx context.Context, item node.Item) error {
			_, err := pipelined.Do(ctx, inc, item)
			return err
		}},
		{"lane, batched", func(ctx context.Context, item node.Item) error {
			_, err := batched.Do(ctx, inc, item)
			return err
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			var next atomic.Int64
			value := strings.Repeat("x", 100)
			b.SetParallelism(25) // times two processors
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					i := next.Add(1)
					ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
					err := way.run(ctx, node.Item{Script: "s", Keys: []string{fmt.Sprint("key:", i%15000)}, Args: []string{strconv.FormatInt(i, 10), "tx", value}})
					cancel()
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func anyOf(texts []string) []any {
	list := make([]any, len(texts))
	for i, text := range texts {
		list[i] = text
	}
	return list
}
