package inspect

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/layout"
)

// errShape: an answer is not what the command answers.
var errShape = errors.New("the answer has not the shape that it should have")

// Number gives a field as a number; false where the node does not tell it.
func (i Info) Number(name string) (float64, bool) {
	n, err := strconv.ParseFloat(i[name], 64)
	return n, err == nil
}

// Keys is the number of keys over all databases.
func (i Info) Keys() int64 {
	total := int64(0)
	for name, value := range i {
		if _, err := strconv.Atoi(strings.TrimPrefix(name, "db")); err != nil || !strings.HasPrefix(name, "db") {
			continue
		}
		count, _, _ := strings.Cut(strings.TrimPrefix(value, "keys="), ",")
		n, _ := strconv.ParseInt(count, 10, 64)
		total += n
	}
	return total
}

func readInfo(command *redis.StringCmd) Part[Info] {
	text, err := command.Result()
	if err != nil {
		return part(Info(nil), err)
	}
	fields := Info{}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); found && !strings.HasPrefix(name, "#") {
			fields[name] = value
		}
	}
	if fields["run_id"] == "" {
		return part(fields, fmt.Errorf("reading INFO: %w: it has no run_id", errShape))
	}
	return part(fields, nil)
}

func readSlow(command *redis.SlowLogCmd, toOurs func(time.Time) time.Time) Part[[]Slow] {
	entries, err := command.Result()
	if err != nil {
		return part([]Slow(nil), err)
	}
	slow := make([]Slow, len(entries))
	for i, e := range entries {
		slow[i] = Slow{ID: e.ID, At: toOurs(e.Time), Took: e.Duration, Command: Redact(e.Args), Client: e.ClientAddr, Name: e.ClientName}
	}
	return part(slow, nil)
}

// readLimit reads a number of units from CONFIG GET. A node that does not list the setting does not have it.
func readLimit(command *redis.MapStringStringCmd, name string, unit time.Duration) Part[time.Duration] {
	settings, err := command.Result()
	if err != nil {
		return part(time.Duration(0), err)
	}
	n, err := strconv.ParseInt(settings[name], 10, 64)
	if err != nil {
		return part(time.Duration(0), fmt.Errorf("the node has no setting %s", name))
	}
	return part(time.Duration(n)*unit, nil)
}

func readSpikes(command *redis.Cmd, toOurs func(time.Time) time.Time) Part[[]Spike] {
	rows, err := command.Slice()
	if err != nil {
		return part([]Spike(nil), err)
	}
	spikes := make([]Spike, 0, len(rows))
	for _, row := range rows {
		fields, ok := row.([]any)
		if !ok || len(fields) < 4 {
			return part(spikes, fmt.Errorf("reading LATENCY LATEST: %w", errShape))
		}
		event, _ := fields[0].(string)
		var numbers [3]int64
		for i := range numbers {
			if numbers[i], ok = fields[1+i].(int64); !ok {
				return part(spikes, fmt.Errorf("reading LATENCY LATEST: %w", errShape))
			}
		}
		spikes = append(spikes, Spike{Event: event, At: toOurs(time.Unix(numbers[0], 0)),
			Latest: time.Duration(numbers[1]) * time.Millisecond, Worst: time.Duration(numbers[2]) * time.Millisecond})
	}
	return part(spikes, nil)
}

// listClients asks for the clients, unless INFO says that they are too many.
func listClients(ctx context.Context, client *redis.Client, info Part[Info]) Part[[]Client] {
	if n, ok := info.Value.Number("connected_clients"); ok && n > maxClients {
		return part([]Client(nil), fmt.Errorf("%.0f clients are too many to list again and again (%d are not); ask once with CLIENT LIST", n, maxClients))
	}
	text, err := client.ClientList(ctx).Result()
	if err != nil {
		return part([]Client(nil), err)
	}
	var clients []Client
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			clients = append(clients, readClient(line))
		}
	}
	return part(clients, nil)
}

// readClient reads one line of CLIENT LIST; fields that an old version lacks are zero.
func readClient(line string) Client {
	fields := map[string]string{}
	for field := range strings.SplitSeq(line, " ") {
		name, value, _ := strings.Cut(field, "=")
		fields[name] = value
	}
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(fields[name], 10, 64) // absent is zero
		return n
	}
	return Client{ID: number("id"), Addr: fields["addr"], Name: fields["name"], User: fields["user"], Command: fields["cmd"],
		Flags: fields["flags"], Age: time.Duration(number("age")) * time.Second, Idle: time.Duration(number("idle")) * time.Second,
		Memory: number("tot-mem")}
}

// queues asks for the length and the oldest mark of every bucket's set, and of those of batches, which count for one each: they
// are a tenth of a second old at most, about to become marks of keys, or on their way.
type queues struct {
	lengths [2][]*redis.IntCmd
	oldest  [2][]*redis.ZSliceCmd
}

var queueModes = [2]service.Mode{service.ModeCP, service.ModeAP}

func (q *queues) ask(ctx context.Context, pipe redis.Pipeliner) {
	ask := func(m int, set string) {
		q.lengths[m] = append(q.lengths[m], pipe.ZCard(ctx, set))
		q.oldest[m] = append(q.oldest[m], pipe.ZRangeWithScores(ctx, set, 0, 0))
	}
	ask(0, layout.CPBatches) // they become marks of keys
	for b := range layout.Buckets {
		ask(0, layout.CPDirty(b))
		ask(1, layout.APDirty(b))
	}
	ask(1, layout.APBatches) // what is carried goes from there to here
}

func (q *queues) read(clock *redis.TimeCmd) Part[[]Queue] {
	here, err := clock.Result()
	if err != nil {
		return part([]Queue(nil), err)
	}
	all := make([]Queue, len(queueModes))
	for m, mode := range queueModes {
		all[m].Mode = mode
		for b := range q.lengths[m] {
			if err := errors.Join(q.lengths[m][b].Err(), q.oldest[m][b].Err()); err != nil {
				return part([]Queue(nil), err)
			}
			all[m].Length += q.lengths[m][b].Val()
			for _, mark := range q.oldest[m][b].Val() {
				at := time.UnixMicro(int64(mark.Score))
				if mode == service.ModeCP {
					at = time.UnixMilli(int64(mark.Score))
				}
				all[m].Oldest = max(all[m].Oldest, here.Sub(at))
			}
		}
	}
	return part(all, nil)
}
