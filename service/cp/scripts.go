package cp

import (
	"context"
	"embed"
	"fmt"
	"strconv"
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
		name := strings.TrimSuffix(entry.Name(), ".lua")
		loaded[name] = redis.NewScript(textOf(name))
	}
	return loaded
}

func textOf(name string) string {
	text, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // the files are part of the program
	}
	return string(text)
}

// hot is what every write runs, at one node or the other: many at a time.
var hot = node.NewBatch(3, []string{"prepare", "commit", "end"}, textOf)

// soloBytes is the size of a value from which a write goes alone: it would hold up what goes with it.
const soloBytes = 8 << 10

// scriptKeys gives the KEYS of every script: the key, the bucket's meta, the bucket's dirty set.
func scriptKeys(key string) []string { return appendKeys(nil, key) }

func appendKeys(to []string, key string) []string {
	b := layout.Bucket(key)
	return append(to, layout.CPKeys(b)+key, layout.CPMeta(b), layout.CPDirty(b))
}

func (r request) argv() []any {
	args := make([]any, r.count)
	for i := range args {
		args[i] = r.args[i]
	}
	return args
}

// asking is a request for a key.
type asking struct {
	key string
	request
}

// lanes are the ways to one node that requests share.
type lanes struct {
	scripts *node.Lane[asking, []string]
	reads   *node.Lane[string, []any]
}

func newLanes() lanes { return lanes{node.NewLane(sendScripts), node.NewLane(sendReads)} }

// sendScripts runs hot scripts.
func sendScripts(ctx context.Context, client *redis.Client, asked []asking, answers []node.Answer[[]string]) {
	items, replies := make([]node.Item, len(asked)), make([]node.Answer[any], len(asked))
	keys := make([]string, 0, 3*len(asked))
	for i := range asked {
		a := &asked[i]
		keys = appendKeys(keys, a.key)
		items[i] = node.Item{Script: a.script, Keys: keys[3*i : 3*i+3], Args: a.args[:a.count]}
	}
	hot.Run(ctx, client, nil, items, replies)
	for i, reply := range replies {
		if answers[i].Err = reply.Err; reply.Err == nil {
			answers[i].Value, answers[i].Err = words(reply.Value)
		}
	}
}

// sendReads reads what read.lua does of the keys themselves.
func sendReads(ctx context.Context, client *redis.Client, keys []string, answers []node.Answer[[]any]) {
	commands := make([]*redis.SliceCmd, len(keys))
	pipe := client.Pipeline()
	for i, key := range keys {
		commands[i] = pipe.HMGet(ctx, layout.CPKey(key), layout.CPSettled, layout.CPVersion, layout.CPValue, layout.CPPromised)
	}
	_, _ = pipe.Exec(ctx) // every command has its error
	for i, command := range commands {
		answers[i].Value, answers[i].Err = command.Result()
	}
}

// readReply is read.lua's answer, where the key alone tells it; the bucket's word counts only for a key that is not
// stamped with the node's run.
func readReply(fields []any, run string) ([]string, bool) {
	if len(fields) != 4 || fields[0] != run {
		return nil, false
	}
	version, written := fields[1].(string)
	value, _ := fields[2].(string)
	switch {
	case fields[3] != nil:
		return []string{"DIRTY"}, true
	case !written:
		return []string{"NONE"}, true
	}
	return []string{"OK", version, value}, true
}

// send runs one request for a key.
func (s *Store) send(ctx context.Context, inc *node.Incarnation, key string, r request) ([]string, error) {
	switch {
	case r.script == "read":
		fields, err := s.lanes[r.at].reads.Do(ctx, inc, key)
		if err != nil {
			return nil, err
		}
		if reply, told := readReply(fields, r.args[0]); told {
			return reply, nil
		}
	case hot.Has(r.script) && r.bytes() < soloBytes:
		return s.lanes[r.at].scripts.Do(ctx, inc, asking{key, r})
	}
	return sendAlone(ctx, inc, key, r)
}

// bytes is the size of a request, but for its key.
func (r request) bytes() (sum int) {
	for _, arg := range r.args {
		sum += len(arg)
	}
	return sum
}

func sendAlone(ctx context.Context, inc *node.Incarnation, key string, r request) ([]string, error) {
	reply, err := inc.Run(ctx, scripts[r.script], scriptKeys(key), r.argv()...)
	if err != nil {
		return nil, err
	}
	return words(reply)
}

// leave sends the step that is left of a write whose caller has its answer, with whatever goes to the head next. What is
// lost here is resolved by whoever meets the key next.
func (s *Store) leave(key string, p *pair, t task) {
	if t.step == ended || t.result == pending {
		return
	}
	s.lanes[head].scripts.Tell(p.incs[head], asking{key, t.request()}, s.config.Timeout)
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
			if replies[i], err = sendAlone(ctx, inc, keys[i], requests[i]); err != nil {
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

// done is the reply of a script that had nothing else to say.
var done = []string{"OK"}

// words turns a script's reply, an array of strings, into one. What a write's scripts say when all went well is a number,
// which is less to make and to read: 0, or the version that was promised.
func words(reply any) ([]string, error) {
	if n, ok := reply.(int64); ok && n == 0 {
		return done, nil
	} else if ok {
		return []string{"OK", strconv.FormatInt(n, 10)}, nil
	}
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
