package cp

import (
	"context"
	"embed"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"captop/service/layout"
	"captop/service/node"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// scripts by the name of their file.
var scripts = loadScripts()

func loadScripts() map[string]*redis.Script {
	entries, err := luaFiles.ReadDir("lua")
	if err != nil {
		panic(err) // the files are part of the program
	}
	loaded := make(map[string]*redis.Script, len(entries))
	for _, entry := range entries {
		text, err := luaFiles.ReadFile("lua/" + entry.Name())
		if err != nil {
			panic(err)
		}
		loaded[strings.TrimSuffix(entry.Name(), ".lua")] = redis.NewScript(string(text))
	}
	return loaded
}

// scriptKeys gives the KEYS of every script: the key, the bucket's meta, the bucket's dirty set.
func scriptKeys(key string) []string {
	b := layout.Bucket(key)
	return []string{layout.CPKey(key), layout.CPMeta(b), layout.CPDirty(b)}
}

func (r request) argv() []any {
	args := make([]any, r.count)
	for i := range args {
		args[i] = r.args[i]
	}
	return args
}

// send runs one request for a key.
func send(ctx context.Context, inc *node.Incarnation, key string, r request) ([]string, error) {
	reply, err := inc.Run(ctx, scripts[r.script], scriptKeys(key), r.argv()...)
	if err != nil {
		return nil, err
	}
	return words(reply)
}

// sendAll runs requests for many keys at one node in one round trip. The replies are in the requests' order; one that
// failed is nil. The error is that of the round trip.
func sendAll(ctx context.Context, inc *node.Incarnation, keys []string, requests []request) ([][]string, error) {
	commands := make([]*redis.Cmd, len(keys))
	err := inc.Do(ctx, func(client *redis.Client) error {
		pipe := client.Pipeline()
		for i, key := range keys {
			commands[i] = scripts[requests[i].script].EvalSha(ctx, pipe, scriptKeys(key), requests[i].argv()...)
		}
		_, err := pipe.Exec(ctx)
		return err
	})
	replies := make([][]string, len(keys))
	for i, command := range commands {
		if command == nil {
			return replies, err // the breaker let nothing through
		}
		if redis.HasErrorPrefix(command.Err(), "NOSCRIPT") {
			// It did not run for want of its text, so that sending it again is no second try.
			if replies[i], err = send(ctx, inc, keys[i], requests[i]); err != nil {
				return replies, err
			}
			continue
		}
		if command.Err() == nil {
			if replies[i], err = words(command.Val()); err != nil {
				return replies, err
			}
		}
	}
	if err != nil && !redis.HasErrorPrefix(err, "NOSCRIPT") {
		return replies, err
	}
	return replies, nil
}

// words turns a script's reply, an array of strings, into one.
func words(reply any) ([]string, error) {
	list, ok := reply.([]any)
	if !ok || len(list) == 0 {
		return nil, fmt.Errorf("a script answered %T, not a list", reply)
	}
	result := make([]string, len(list))
	for i, word := range list {
		if result[i], ok = word.(string); !ok {
			return nil, fmt.Errorf("a script answered %T where a string belongs", word)
		}
	}
	return result, nil
}
