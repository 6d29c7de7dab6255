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
	keys   int // of each item
	common int // keys that all items have in common
	all    int // arguments that all items have in common
	index  map[string]int
	args   []int // of each script
	text   string
	hash   string
}

// Item is one run of one of a batch's scripts.
type Item struct {
	Script string
	Keys   []string // as many as every item has
	Args   []string // as many as the script names
}

// each ends what a script does once for all items: reading the clock, say. A script that runs alone takes it for a comment.
const each = "\n-- Each:\n"

// The scripts see the clock as it is when the batch begins, and answer with lists or numbers. A string is the error of an
// item: an error reply within a list would leave go-redis out of step with the connection (OOM and others of its typed
// errors). A script with fewer arguments than others is called with some of the next item's, which it does not take.
const batchText = `local call = redis.call
local time = call('TIME')
%[1]slocal scripts, counts = {
%[2]s}, { %[3]s }
local replies, k, a = {}, %[4]d, %[5]d
for i = 1, (#KEYS - %[4]d) / %[6]d do
  local script = tonumber(ARGV[a])
  local ok, reply = pcall(scripts[script], %[7]s)
  if not ok then
    reply = type(reply) == 'table' and reply.err or tostring(reply) -- a string since Redis 7
    if not reply:find('^%%u+ ') then reply = 'ERR ' .. reply end -- of Lua, not of a command
  end
  replies[i] = reply
  k, a = k + %[6]d, a + 1 + counts[script]
end
return replies
`

var (
	// A node's own tables of keys and arguments are not filled for every item: each script becomes a function of those that
	// it names. What is the same for all is looked up once.
	parameter = regexp.MustCompile(`(KEYS|ARGV|COMMON|ALL)\[(\d+)\]`)
	shared    = strings.NewReplacer("redis.call('TIME')", "time", "redis.call", "call")
)

// NewBatch makes a batch of scripts, by name, that take as many keys each. They name their keys and arguments by number
// (KEYS[1], ARGV[2]) and in no other way; and so the keys and arguments that all items have in common (COMMON[1], ALL[1]). Those
// of an item are known below the line "-- Each:" only, where there is one.
func NewBatch(keys int, names []string, texts func(name string) string) *Batch {
	b := &Batch{keys: keys, index: map[string]int{}}
	var functions, counts strings.Builder
	for i, name := range names {
		text := texts(name)
		args := 0
		for _, named := range parameter.FindAllStringSubmatch(text, -1) {
			switch n, _ := strconv.Atoi(named[2]); named[1] {
			case "ARGV":
				args = max(args, n)
			case "COMMON":
				b.common = max(b.common, n)
			case "ALL":
				b.all = max(b.all, n)
			}
		}
		once, body, divided := strings.Cut(shared.Replace(parameter.ReplaceAllString(text, "$1$2")), each)
		if !divided {
			once, body = "", once
		}
		b.index[name], b.args = i+1, append(b.args, args)
		fmt.Fprintf(&functions, "(function()\n%s\nreturn function(%s)\n%s\nend end)(),\n", once,
			list(numbered("KEYS%d", keys), numbered("ARGV%d", args)), body)
		fmt.Fprintf(&counts, "%d, ", args)
	}
	common := locals("COMMON%d", "KEYS[%d]", b.common) + locals("ALL%d", "ARGV[%d]", b.all)
	given := list(numbered("KEYS[k + %d]", keys), numbered("ARGV[a + %d]", slices.Max(b.args)))
	b.text = fmt.Sprintf(batchText, common, functions.String(), counts.String(), b.common, b.all+1, keys, given)
	b.hash = redis.NewScript(b.text).Hash()
	return b
}

// locals gives names to the first n of what the node calls by number.
func locals(names, numbers string, n int) string {
	if n == 0 {
		return ""
	}
	return "local " + list(numbered(names, n)) + " = " + list(numbered(numbers, n)) + "\n"
}

// numbered gives a form with the numbers from 1 to n.
func numbered(form string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(form, i+1)
	}
	return all
}

func list(parts ...[]string) string { return strings.Join(slices.Concat(parts...), ", ") }

// Has reports whether a script is part of the batch.
func (b *Batch) Has(name string) bool { return b.index[name] != 0 }

// Run runs the items, with the keys and arguments that all of them have in common, in one round trip. An answer's error is that
// of its item alone, or that of the round trip.
func (b *Batch) Run(ctx context.Context, client *redis.Client, common, all []string, items []Item, answers []Answer[any]) {
	if len(common) != b.common || len(all) != b.all {
		panic(fmt.Sprintf("node: a batch was given %d keys and %d arguments for all of its items", len(common), len(all)))
	}
	command := make([]any, 0, 3+len(common)+len(all)+len(items)*(b.keys+1+slices.Max(b.args)))
	command = append(command, "evalsha", b.hash, b.common+b.keys*len(items))
	command = appendTexts(command, common)
	for _, item := range items {
		command = appendTexts(command, item.Keys)
	}
	command = appendTexts(command, all)
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
