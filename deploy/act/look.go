package act

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/deploy/stack"
	"captop/service"
	"captop/service/api"
)

// Node is what is known of a node.
type Node struct {
	Known    bool   // somebody could tell whether it answers
	Up       bool   // it answers captop or a service
	Why      string // why it does not
	Saving   string // BGSAVE, or AOF rewrite, while one runs
	Settling string // a sentence, while a service settles it with its peer
	Emptied  bool   // while it ran: a service believes only its next run
	Evicted  bool   // it has deleted keys since its start, which its peer has
	Held     string // why a service can settle it only once its peer has been restarted; "" where it can
	RunID    string // of the run that captop or a service sees, whole or its first digits; "" where unknown
}

// Rejoins notes what a service says of the node's rejoin, which is not over.
func (n *Node) Rejoins(name, by string, r service.Rejoin) {
	if r.Waiting == service.Emptied {
		n.Emptied = true
		return
	}
	n.Settling = fmt.Sprintf("%s has settled %d of %d keys of %s with its peer", by, r.Done, r.Total, name)
	if r.HeldByPeer(name) {
		n.Held = r.Waiting
	}
}

// Sight is how things stand, as far as an act wants to know.
type Sight struct {
	At    time.Time
	Nodes map[string]Node
	Parts []stack.Part
	// Views are what each service answers, in the order of Engine.Services.
	Views []View
}

// View is what a service says of the nodes.
type View struct {
	Service string
	Health  api.HealthBody
	Err     error // it did not answer
}

func (s Sight) with(parts []stack.Part) Sight {
	s.Parts = parts
	return s
}

// Look asks every service and node, all at once.
func (e *Engine) Look(ctx context.Context) Sight {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	sight := Sight{At: e.Now(), Nodes: map[string]Node{}, Views: make([]View, len(e.Services))}
	direct := map[string]Node{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for i, s := range e.Services {
		all.Go(func() {
			health, err := s.Client.Health(ctx)
			sight.Views[i] = View{Service: s.Name, Health: health, Err: err}
		})
	}
	for name, url := range e.Nodes {
		all.Go(func() {
			node := ask(ctx, url)
			mu.Lock()
			defer mu.Unlock()
			direct[name] = node
		})
	}
	all.Wait()
	for _, name := range []string{service.G1, service.G2} {
		sight.Nodes[name] = merge(name, direct[name], sight.Views)
	}
	return sight
}

// merge puts together what captop sees of a node and what the services say of it. It is up if anybody reaches it.
func merge(name string, node Node, views []View) Node {
	for _, view := range views {
		if view.Err != nil {
			continue
		}
		for _, seen := range view.Health.Nodes {
			if seen.Name != name {
				continue
			}
			node.Known = true
			if seen.Reachable {
				node.Up, node.Why = true, ""
			} else if !node.Up && node.Why == "" {
				node.Why = view.Service + ": " + seen.Error
			}
			if r := seen.Rejoin; r.Active {
				node.Rejoins(name, view.Service, service.Rejoin{Active: true, Done: r.Done, Total: r.Total, Waiting: r.Waiting})
			}
			if node.RunID == "" {
				node.RunID = seen.RunID
			}
		}
	}
	return node
}

// ask asks a node itself. That captop does not reach it says nothing: it may be on a network of the services' own.
func ask(ctx context.Context, url string) Node {
	options, err := redis.ParseURL(url)
	if err != nil {
		return Node{}
	}
	options.Protocol, options.MaxRetries, options.DialerRetries, options.DisableIdentity, options.ContextTimeoutEnabled = 2, -1, 1, true, true
	client := redis.NewClient(options)
	defer client.Close()
	info, err := client.Info(ctx).Result() // of two sections by name only Redis 7 knows
	if err != nil {
		return Node{}
	}
	node := Node{Known: true, Up: true}
	for line := range strings.Lines(info) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), ":"); {
		case key == "run_id":
			node.RunID = value
		case key == "rdb_bgsave_in_progress" && value == "1":
			node.Saving = "BGSAVE"
		case key == "aof_rewrite_in_progress" && value == "1":
			node.Saving = "AOF rewrite"
		case key == "evicted_keys":
			node.Evicted = value != "0"
		case key == "loading" && value == "1":
			node.Up, node.Why = false, "it is loading its data"
		}
	}
	return node
}

// of is how a part stands, a fact a line, for the journal.
func (s Sight) of(part stack.Part) string {
	var facts []string
	if now, err := find(s.Parts, part); err == nil {
		fact := now.Instance + " is " + word(now)
		if now.Health != "" {
			fact += ", " + now.Health
		}
		if !now.Since.IsZero() {
			fact += " since " + now.Since.UTC().Format("2006-01-02 15:04:05")
		}
		facts = append(facts, fact)
	}
	for _, node := range []string{service.G1, service.G2} {
		n := s.Nodes[node]
		switch {
		case !n.Known:
			facts = append(facts, "nobody can tell how "+node+" is")
		case !n.Up:
			facts = append(facts, node+" does not answer: "+n.Why)
		case n.Emptied:
			facts = append(facts, node+" was "+service.Emptied)
		case n.Settling != "":
			facts = append(facts, n.Settling)
		default:
			facts = append(facts, fmt.Sprintf("%s answers, run id %.8s", node, n.RunID))
		}
	}
	for _, view := range s.Views {
		if view.Err != nil {
			facts = append(facts, view.Service+" does not answer: "+brief(view.Err))
		} else {
			facts = append(facts, view.Service+" is "+string(view.Health.Status))
		}
	}
	return strings.Join(facts, "\n")
}

// brief is an error without what everybody knows.
func brief(err error) string {
	var refusal *service.Error
	if errors.As(err, &refusal) {
		return refusal.Message
	}
	return err.Error()
}
