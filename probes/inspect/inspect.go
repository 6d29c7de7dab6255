// Package inspect looks closely at one Redis node: INFO, the slow log, clients, latency, and what waits for the peer.
//
// It only reads. What a node does not tell (no permission, a renamed command, an old version) is missing from the answer
// with the reason, and takes nothing else with it.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/probes"
	"captop/service"
)

// Bounds of one inspection.
const (
	timeout     = 1500 * time.Millisecond
	slowEntries = 64   // newest first
	maxClients  = 2000 // to list more would cost the node each time
)

// ErrUnknownNode: an inspection of a node that is not configured.
var ErrUnknownNode = errors.New("no such node is configured")

// Part is one thing that a node was asked for. Error says why it cannot be told; then Value means nothing.
type Part[T any] struct {
	Value T
	Error string
}

// Known says that Value means something.
func (p Part[T]) Known() bool { return p.Error == "" }

// Inspection is what a node told at one moment. Times are by captop's clock.
type Inspection struct {
	Node string
	At   time.Time     // when the answers had come
	Took time.Duration // the whole inspection
	Skew Part[time.Duration]

	Info          Part[Info]
	Slow          Part[[]Slow]        // newest first, at most 64
	SlowLimit     Part[time.Duration] // commands that take longer are in the slow log; negative: it is off
	Clients       Part[[]Client]      // as the node lists them
	Spikes        Part[[]Spike]       // LATENCY LATEST
	Doctor        Part[string]        // LATENCY DOCTOR
	LatencyLimit  Part[time.Duration] // events that take longer are monitored; 0: the monitor is off
	Queues        Part[[]Queue]       // what waits for the peer, by mode: CP, AP
	OwnConnection int64               // the id in Clients of captop's connection, 0 where not known
}

// Info is the fields of INFO by their names.
type Info map[string]string

// Slow is an entry of the slow log.
type Slow struct {
	ID      int64
	At      time.Time
	Took    time.Duration
	Command string // with its key; values are left out, for they may be people's data
	Client  string // address
	Name    string // of the client, where it gave one
}

// Client is a connection to the node.
type Client struct {
	ID      int64
	Addr    string // host:port
	Name    string
	User    string
	Command string // the last one
	Flags   string // as Redis writes them
	Age     time.Duration
	Idle    time.Duration
	Memory  int64 // bytes that the connection takes at the node; 0 where an old version does not tell
}

// Spike is what the latency monitor remembers of one kind of event.
type Spike struct {
	Event  string
	At     time.Time
	Latest time.Duration
	Worst  time.Duration
}

// Queue is what waits at a node: in AP keys of which the peer lacks a write, in CP (at db_g2) promises in flight.
type Queue struct {
	Mode   service.Mode
	Length int64
	Oldest time.Duration // age of the one that waits longest; 0 where none does
}

// Inspector holds a connection to each node.
type Inspector struct {
	nodes map[string]*redis.Client
	now   func() time.Time
}

// New prepares to inspect and contacts nobody. now is captop's clock. Its errors are URLs that cannot be used.
func New(targets []probes.NodeTarget, now func() time.Time) (*Inspector, error) {
	i := &Inspector{nodes: map[string]*redis.Client{}, now: now}
	for _, target := range targets {
		client, err := probes.OpenRedis(target, timeout)
		if err != nil {
			return nil, errors.Join(err, i.Close())
		}
		i.nodes[target.Name] = client
	}
	return i, nil
}

// Close ends the connections.
func (i *Inspector) Close() error {
	var all error
	for _, client := range i.nodes {
		all = errors.Join(all, client.Close())
	}
	return all
}

// Inspect asks a node for everything, once, within a second and a half. The error says that it could not be asked at all;
// what it would not tell is in the parts.
func (i *Inspector) Inspect(ctx context.Context, node string) (Inspection, error) {
	client := i.nodes[node]
	if client == nil {
		return Inspection{Node: node, At: i.now()}, fmt.Errorf("inspecting %s: %w", node, ErrUnknownNode)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began := i.now()
	q := ask(ctx, client)
	if q.gone != nil {
		in := nothing(q.gone)
		in.Node, in.At, in.Took = node, i.now(), i.now().Sub(began)
		return in, fmt.Errorf("inspecting %s: %w", node, q.gone)
	}
	in := q.read(i.now())
	in.Clients = listClients(ctx, client, in.Info)
	in.Node, in.At, in.Took = node, i.now(), i.now().Sub(began)
	return in, nil
}

// nothing is an inspection of a node that could not be asked.
func nothing(err error) Inspection {
	return Inspection{Skew: part(time.Duration(0), err), Info: part(Info(nil), err), Slow: part([]Slow(nil), err),
		SlowLimit: part(time.Duration(0), err), Clients: part([]Client(nil), err), Spikes: part([]Spike(nil), err),
		Doctor: part("", err), LatencyLimit: part(time.Duration(0), err), Queues: part([]Queue(nil), err)}
}

// questions is one round trip with all that is asked whatever the answers are.
type questions struct {
	clock        *redis.TimeCmd
	self         *redis.IntCmd
	info         *redis.StringCmd
	slow         *redis.SlowLogCmd
	slowLimit    *redis.MapStringStringCmd
	spikes       *redis.Cmd
	doctor       *redis.Cmd
	latencyLimit *redis.MapStringStringCmd
	queues       queues
	gone         error // the node did not answer at all
}

func ask(ctx context.Context, client *redis.Client) *questions {
	q := &questions{}
	pipe := client.Pipeline()
	q.clock = pipe.Time(ctx)
	q.self = pipe.ClientID(ctx)
	q.info = pipe.Info(ctx)
	q.slow = pipe.SlowLogGet(ctx, slowEntries)
	q.slowLimit = pipe.ConfigGet(ctx, "slowlog-log-slower-than")
	q.spikes = pipe.Do(ctx, "LATENCY", "LATEST")
	q.doctor = pipe.Do(ctx, "LATENCY", "DOCTOR")
	q.latencyLimit = pipe.ConfigGet(ctx, "latency-monitor-threshold")
	q.queues.ask(ctx, pipe)
	_, err := pipe.Exec(ctx)
	// Where the connection could not be made, the commands carry no error of their own.
	if !answered(err) && q.clock.Val().IsZero() {
		q.gone = err
	}
	return q
}

// answered says that the node did answer, if only with a refusal of one command. A refusal of the password, while it
// loads, or while it is busy with a script concerns every command.
func answered(err error) bool {
	var refusal redis.Error
	if err == nil {
		return true
	}
	if !errors.As(err, &refusal) {
		return false
	}
	for _, every := range []string{"NOAUTH", "WRONGPASS", "ERR AUTH", "LOADING", "DENIED", "BUSY ", "ERR max number"} {
		if strings.HasPrefix(err.Error(), every) {
			return false
		}
	}
	return true
}

func (q *questions) read(now time.Time) Inspection {
	in := Inspection{OwnConnection: q.self.Val()}
	in.Skew = part(q.clock.Val().Sub(now), q.clock.Err())
	toOurs := func(at time.Time) time.Time {
		if in.Skew.Known() {
			at = at.Add(-in.Skew.Value)
		}
		return at
	}
	in.Info = readInfo(q.info)
	in.Slow = readSlow(q.slow, toOurs)
	in.SlowLimit = readLimit(q.slowLimit, "slowlog-log-slower-than", time.Microsecond)
	in.Spikes = readSpikes(q.spikes, toOurs)
	text, err := q.doctor.Text()
	in.Doctor = part(text, err)
	in.LatencyLimit = readLimit(q.latencyLimit, "latency-monitor-threshold", time.Millisecond)
	in.Queues = q.queues.read(q.clock)
	return in
}

// part makes a Part of an answer.
func part[T any](value T, err error) Part[T] {
	if err == nil {
		return Part[T]{Value: value}
	}
	return Part[T]{Error: why(err)}
}

// why is the reason in words that a person can use.
func why(err error) string {
	text := err.Error()
	switch {
	case strings.HasPrefix(text, "NOPERM"):
		return "captop's Redis user may not ask for it: " + text
	case strings.HasPrefix(text, "ERR unknown command"), strings.HasPrefix(text, "ERR unknown subcommand"),
		strings.HasPrefix(text, "ERR Unknown subcommand"):
		return "the node does not know the command (renamed, or an older version): " + text
	case errors.Is(err, context.DeadlineExceeded), strings.Contains(text, "i/o timeout"):
		return fmt.Sprintf("no answer within %s", timeout)
	}
	return text
}
