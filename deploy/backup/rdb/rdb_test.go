package rdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service/node/nodetest"
)

// fill makes keys of every type, small and large, and gives how many of each there are.
func fill(t *testing.T, client *redis.Client) map[string]int64 {
	t.Helper()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1000 {
		check(client.Set(ctx, fmt.Sprintf("plain:%d", i), strings.Repeat("x", i), 0).Err())
	}
	check(client.Set(ctx, "number", 12345, 0).Err())
	check(client.Set(ctx, "large number", 1<<40, 0).Err())
	check(client.Set(ctx, "short-lived", "v", time.Hour).Err())
	check(client.Set(ctx, "binary", string([]byte{0, 255, 13, 10, 254}), 0).Err())
	check(client.Set(ctx, "large", strings.Repeat("abcdefgh", 1<<17), 0).Err())
	for _, size := range []int{3, 2000} {
		for i := range size {
			element := fmt.Sprintf("element %d %s", i, strings.Repeat("y", i%70))
			check(client.RPush(ctx, fmt.Sprintf("list:%d", size), element).Err())
			check(client.SAdd(ctx, fmt.Sprintf("set:%d", size), element).Err())
			check(client.SAdd(ctx, fmt.Sprintf("numbers:%d", size), i).Err())
			check(client.HSet(ctx, fmt.Sprintf("hash:%d", size), element, i).Err())
			check(client.ZAdd(ctx, fmt.Sprintf("zset:%d", size), redis.Z{Score: float64(i) / 3, Member: element}).Err())
			check(client.XAdd(ctx, &redis.XAddArgs{Stream: fmt.Sprintf("stream:%d", size), Values: []any{"f", element}}).Err())
		}
	}
	check(client.XGroupCreate(ctx, "stream:2000", "group", "0").Err())
	check(client.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "group", Consumer: "c", Streams: []string{"stream:2000", ">"}, Count: 10}).Err())
	check(client.FunctionLoad(ctx, "#!lua name=lib\nredis.register_function('f', function() return 1 end)").Err())
	return map[string]int64{"string": 1005, "list": 2, "set": 4, "hash": 2, "zset": 2, "stream": 2}
}

// dump makes a real server save, and gives the file's bytes.
func dump(t *testing.T) ([]byte, map[string]int64) {
	t.Helper()
	server := nodetest.Start(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), Protocol: 2})
	t.Cleanup(func() { _ = client.Close() })
	types := fill(t, client)
	if err := client.Save(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	config, err := client.ConfigGet(t.Context(), "dir").Result()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(config["dir"], "dump.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	return file, types
}

func TestCountsWhatRedisSaved(t *testing.T) {
	file, types := dump(t)
	sum, err := Read(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(sum.Types, types) || sum.Keys != 1017 || sum.Expiring != 1 || sum.Bytes != int64(len(file)) || sum.CRC64 == 0 {
		t.Errorf("%+v; wanted types %v", sum, types)
	}
	if sum.Aux["redis-ver"] == "" || sum.Aux["ctime"] == "" {
		t.Errorf("aux is %v", sum.Aux)
	}
}

// TestNoticesEveryDamage: cut anywhere, with any bit turned, or with more behind its end, a dump is not whole.
func TestNoticesEveryDamage(t *testing.T) {
	file, _ := dump(t)
	for at := 0; at < len(file); at += 1 + len(file)/500 {
		if _, err := Read(bytes.NewReader(file[:at])); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut at byte %d of %d: %v", at, len(file), err)
		}
		turned := bytes.Clone(file)
		turned[at] ^= 1 << (at % 8)
		if _, err := Read(bytes.NewReader(turned)); !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d of %d turned: %v", at, len(file), err)
		}
	}
	if _, err := Read(bytes.NewReader(append(file, 0))); !errors.Is(err, ErrDamaged) {
		t.Fatalf("with a byte behind the end: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("REDIS0011\xfa\x09redis-ver\x067.0.15\xfe\x00\xfb\x01\x00\x00\x01k\x01v\xff\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("REDIS0011\x0e\x01k\xbf"))
	f.Fuzz(func(_ *testing.T, file []byte) {
		_, _ = Read(bytes.NewReader(file)) // it must end
	})
}
