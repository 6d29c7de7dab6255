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

// scripts by the name of their file, but for those that are run in batches.
var scripts = loadScripts(textOf)

func loadScripts(texts func(name string) string) map[string]*redis.Script {
	entries, err := luaFiles.ReadDir("lua")
	if err != nil {
		panic(err) // the files are part of the program
	}
	loaded := make(map[string]*redis.Script, len(entries))
	for _, entry := range entries {
		if name := strings.TrimSuffix(entry.Name(), ".lua"); !hot.Has(name) {
			loaded[name] = redis.NewScript(texts(name))
		}
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
var hot = newHot(textOf)

func newHot(texts func(name string) string) *node.Batch {
	return node.NewBatch(3, []string{"prepare", "commit", "end"}, texts)
}

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
	mark *mark // with end: of the batch that made the promise, where it was one of this instance
}

// reply is the answer to a request.
type reply struct {
	words []string
	mark  *mark // of the batch that has promised
}

// lanes are the ways to one node that requests share.
type lanes struct {
	scripts *node.Lane[asking, reply]
	reads   *node.Lane[string, []any]
}

func newLanes(m *marks) lanes { return lanes{node.NewLane(m.send), node.NewLane(sendReads)} }

// send makes a round trip of hot scripts.
func (m *marks) send(ctx context.Context, client *redis.Client, asked []asking, answers []node.Answer[reply]) {
	items, replies := make([]node.Item, len(asked)), make([]node.Answer[any], len(asked))
	keys := make([]string, 0, 3*len(asked))
	var promising []string
	for i := range asked {
		a := &asked[i]
		keys = appendKeys(keys, a.key)
		items[i] = node.Item{Script: a.script, Keys: keys[3*i : 3*i+3], Args: a.args[:a.count]}
		if a.script == "prepare" {
			promising = append(promising, a.key)
		}
	}
	made := m.draw(promising)
	hot.Run(ctx, client, []string{m.set}, []string{made.text}, items, replies)
	for i, raw := range replies {
		if answers[i].Err = raw.Err; raw.Err == nil {
			answers[i].Value.words, answers[i].Err = words(raw.Value)
		}
	}
	m.account(made, asked, answers)
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

// send runs one request of an operation for a key.
func (s *Store) send(ctx context.Context, p *pair, inc *node.Incarnation, key string, r request) ([]string, error) {
	switch {
	case r.script == "read":
		fields, err := s.lanes[r.at].reads.Do(ctx, inc, key)
		if err != nil {
			return nil, err
		}
		if words, told := readReply(fields, r.args[0]); told {
			return words, nil
		}
	case hot.Has(r.script):
		answer, err := s.sendHot(ctx, inc, asking{key, r, p.mark})
		if answer.mark != nil {
			p.mark = answer.mark
		}
		return answer.words, err
	}
	return sendAlone(ctx, inc, key, r)
}

// sendHot runs a hot script with others, or alone.
func (s *Store) sendHot(ctx context.Context, inc *node.Incarnation, a asking) (reply, error) {
	if a.bytes() < soloBytes {
		return s.lanes[a.at].scripts.Do(ctx, inc, a)
	}
	var answer [1]node.Answer[reply]
	err := inc.Do(ctx, func(client *redis.Client) error {
		s.marks.send(ctx, client, []asking{a}, answer[:])
		return answer[0].Err
	})
	return answer[0].Value, err
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
	s.lanes[head].scripts.Tell(p.incs[head], asking{key, t.request(), p.mark}, s.config.Timeout)
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
		if redis.HasErrorPrefix(command.Err(), "WRONGTYPE") {
			return replies, fmt.Errorf("%s: %w", layout.CPKey(keys[i]), command.Err())
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
