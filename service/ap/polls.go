package ap

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service/node"
)

// Polls are what the stores of one instance ask the nodes regularly, where each bucket has a store of its own: at once, and what
// goes to one member of a cluster in one round trip. 64 stores that ask by themselves need more of a slow machine than
// it has, and those that wait for an answer in vain ask again: it never gets out of that.
type Polls struct {
	began time.Time
	lanes [2]*node.Lane[scriptCall, []string]
}

// NewPolls gives the polls of one instance.
func NewPolls() *Polls {
	return &Polls{began: time.Now(), lanes: [2]*node.Lane[scriptCall, []string]{node.NewLane(sendPolls), node.NewLane(sendPolls)}}
}

// laterAtMost is for how many intervals a poll that took long is followed by none: it may have been a node's that hung, and is back.
const laterAtMost = 4

// every calls f at once, and then at intervals since the polls began until ctx ends; where f takes long, as long goes by until its
// next turn, within bounds, so that a machine which is short of time has some for requests.
func (p *Polls) every(ctx context.Context, interval time.Duration, f func()) {
	for ctx.Err() == nil {
		asked := time.Now()
		f()
		free := time.Since(p.began) + min(time.Since(asked), laterAtMost*interval)
		select {
		case <-ctx.Done():
		case <-time.After(free.Truncate(interval) + interval - time.Since(p.began)):
		}
	}
}

// sendPolls makes one round trip of polls.
func sendPolls(ctx context.Context, client *redis.Client, asked []scriptCall, answers []node.Answer[[]string]) {
	commands := make([]*redis.Cmd, len(asked))
	pipe := client.Pipeline()
	for i, call := range asked {
		commands[i] = call.script.EvalSha(ctx, pipe, call.keys, call.args...)
	}
	_, _ = pipe.Exec(ctx) // every command has its error
	for i, command := range commands {
		if redis.HasErrorPrefix(command.Err(), "NOSCRIPT") {
			command = asked[i].script.Eval(ctx, client, asked[i].keys, asked[i].args...)
		}
		answers[i].Value, answers[i].Err = command.StringSlice()
	}
}
