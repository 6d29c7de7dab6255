package node

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Batch is one script made of several: it runs them for many items in one call, one item after the other, each as it
// would run alone. An item that fails leaves the others alone. To call a script costs a node as much as what a short one
// does.
type Batch struct {
	keys  int // of each item
	index map[string]int
	args  []int // of each script
	text  string
	hash  string
}

// Item is one run of one of a batch's scripts.
type Item struct {
	Script string
	Keys   []string // as many as every item has
	Args   []string // as many as the script names
}

// The scripts see the clock as it is when the batch begins, and answer with lists or numbers. A string is the error of an
// item: an error reply within a list would leave go-redis out of step with the connection (OOM and others of its typed
// errors). A script with fewer arguments than others is called with some of the next item's, which it does not take.
const batchText = `local call = redis.call
local time = call('TIME')
local scripts, counts = {
%s}, { %s }
local replies, k, a = {}, 0, 1
for i = 1, #KEYS / %d do
  local script = tonumber(ARGV[a])
  local ok, reply = pcall(scripts[script], %s)
  if not ok then
    reply = type(reply) == 'table' and reply.err or tostring(reply) -- a string since Redis 7
    if not reply:find('^%%u+ ') then reply = 'ERR ' .. reply end -- of Lua, not of a command
  end
  replies[i] = reply
  k, a = k + %[3]d, a + 1 + counts[script]
end
return replies
`

var (
	// A node's own tables of keys and arguments are not filled for every item: each script becomes a function of those that
	// it names. What is the same for all is looked up once.
	parameter = regexp.MustCompile(`(KEYS|ARGV)\[(\d+)\]`)
	shared    = strings.NewReplacer("redis.call('TIME')", "time", "redis.call", "call")
)

// NewBatch makes a batch of scripts, by name, that take as many keys each. They name their keys and arguments by number
// (KEYS[1], ARGV[2]) and in no other way.
func NewBatch(keys int, names []string, texts func(name string) string) *Batch {
	b := &Batch{keys: keys, index: map[string]int{}}
	var functions, counts strings.Builder
	for i, name := range names {
		text := texts(name)
		args := 0
		for _, named := range parameter.FindAllStringSubmatch(text, -1) {
			if n, _ := strconv.Atoi(named[2]); named[1] == "ARGV" {
				args = max(args, n)
			}
		}
		b.index[name], b.args = i+1, append(b.args, args)
		fmt.Fprintf(&functions, "function(%s)\n%s\nend,\n", parameters(keys, args, "KEYS%d", "ARGV%d"),
			shared.Replace(parameter.ReplaceAllString(text, "$1$2")))
		fmt.Fprintf(&counts, "%d, ", args)
	}
	given := parameters(keys, slices.Max(b.args), "KEYS[k + %d]", "ARGV[a + %d]")
	b.text = fmt.Sprintf(batchText, functions.String(), counts.String(), keys, given)
	b.hash = redis.NewScript(b.text).Hash()
	return b
}

// parameters lists keys and arguments, each as its form has it.
func parameters(keys, args int, key, arg string) string {
	list := make([]string, 0, keys+args)
	for i := range keys {
		list = append(list, fmt.Sprintf(key, i+1))
	}
	for i := range args {
		list = append(list, fmt.Sprintf(arg, i+1))
	}
	return strings.Join(list, ", ")
}

// Has reports whether a script is part of the batch.
func (b *Batch) Has(name string) bool { return b.index[name] != 0 }

// Run runs the items in one round trip. An answer's error is that of its item alone, or that of the round trip.
func (b *Batch) Run(ctx context.Context, client *redis.Client, items []Item, answers []Answer[any]) {
	command := make([]any, 0, 3+len(items)*(b.keys+1+slices.Max(b.args)))
	command = append(command, "evalsha", b.hash, b.keys*len(items))
	for _, item := range items {
		command = appendTexts(command, item.Keys)
	}
	for _, item := range items {
		script := b.index[item.Script]
		if len(item.Keys) != b.keys || len(item.Args) != b.args[script-1] { // the next items would be taken for something else
			panic(fmt.Sprintf("node: %s was given %d keys and %d arguments", item.Script, len(item.Keys), len(item.Args)))
		}
		command = appendTexts(append(command, script), item.Args)
	}
	reply, err := client.Do(ctx, command...).Result()
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		command[0], command[1] = "eval", b.text
		reply, err = client.Do(ctx, command...).Result()
	}
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

// appendTexts adds texts by reference: a string in an interface would be copied to the heap.
func appendTexts(command []any, texts []string) []any {
	for i := range texts {
		command = append(command, &texts[i])
	}
	return command
}

// itemError is an error reply to one item.
type itemError string

func (e itemError) Error() string { return string(e) }

// RedisError marks it as an answer of Redis, as redis.Error wants it.
func (e itemError) RedisError() {}
