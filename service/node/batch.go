package node

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Batch is one script made of several: it runs them for many items in one call, one item after the other, each exactly
// as it would run alone. An item that fails leaves the others alone. To call a script costs a node as much as what a
// short one does.
type Batch struct {
	keys   int // of each item
	index  map[string]int
	script *redis.Script
}

// Item is one run of one of a batch's scripts.
type Item struct {
	Script string
	Keys   []string // as many as every item has
	Args   []any
}

// The scripts see KEYS and ARGV of their own item, and answer with lists. A string is the error of an item: an error
// reply within a list would leave go-redis out of step with the connection (OOM and others of its typed errors).
const batchText = `local keys, args = KEYS, ARGV
local KEYS, ARGV = {}, {}
local scripts = {
%s}
local replies, at, most = {}, 1, 0
for i = 1, #keys / %d do
  for j = 1, %[2]d do KEYS[j] = keys[(i - 1) * %[2]d + j] end
  local script, count = tonumber(args[at]), tonumber(args[at + 1])
  for j = 1, count do ARGV[j] = args[at + 1 + j] end
  for j = count + 1, most do ARGV[j] = nil end
  at, most = at + 2 + count, math.max(most, count)
  local ok, reply = pcall(scripts[script])
  if not ok then
    reply = type(reply) == 'table' and reply.err or tostring(reply) -- a string since Redis 7
    if not reply:find('^%%u+ ') then reply = 'ERR ' .. reply end -- of Lua, not of a command
  end
  replies[i] = reply
end
return replies
`

// NewBatch makes a batch of scripts, by name, that take as many keys each.
func NewBatch(keys int, names []string, texts func(name string) string) *Batch {
	b := &Batch{keys: keys, index: map[string]int{}}
	var functions strings.Builder
	for i, name := range names {
		b.index[name] = i + 1
		fmt.Fprintf(&functions, "function()\n%s\nend,\n", texts(name))
	}
	b.script = redis.NewScript(fmt.Sprintf(batchText, functions.String(), keys))
	return b
}

// Has reports whether a script is part of the batch.
func (b *Batch) Has(name string) bool { return b.index[name] != 0 }

// Run runs the items in one round trip. An answer's error is that of its item alone, or that of the round trip.
func (b *Batch) Run(ctx context.Context, client redis.Scripter, items []Item, answers []Answer[any]) {
	keys, args := make([]string, 0, b.keys*len(items)), make([]any, 0, 8*len(items))
	for _, item := range items {
		keys = append(keys, item.Keys...)
		args = append(args, b.index[item.Script], len(item.Args))
		args = append(args, item.Args...)
	}
	reply, err := b.script.Run(ctx, client, keys, args...).Result()
	list, ok := reply.([]any)
	if err == nil && (!ok || len(list) != len(items)) {
		err = fmt.Errorf("a batch of %d answered %T of %d", len(items), reply, len(list))
	}
	for i := range answers {
		if err != nil {
			answers[i].Err = err
		} else if failed, ok := list[i].(string); ok {
			answers[i].Err = itemError(failed)
		} else {
			answers[i].Value = list[i]
		}
	}
}

// itemError is an error reply to one item.
type itemError string

func (e itemError) Error() string { return string(e) }

// RedisError marks it as an answer of Redis, as redis.Error wants it.
func (e itemError) RedisError() {}
