package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"captop/deploy/lab"
	"captop/probes/bench"
	"captop/service"
	"captop/service/api"
	"captop/service/layout"
)

// ScaleOptions say what to climb.
type ScaleOptions struct {
	Keys      []int // how many there are on both nodes, rising
	Instances []int // of one service, rising
	Each      time.Duration
	Say       io.Writer
}

// rung is one line of the table.
type rung struct {
	mode      service.Mode
	keys      int
	instances int
	result    bench.Result
	resident  int64 // of all instances, bytes
	nodes     [2]nodeUse
	others    float64 // share of the machine that other programs used
}

// nodeUse is what a node says of itself.
type nodeUse struct{ memory, clients int64 }

// ladder is what is climbed, for one service.
type ladder struct {
	*lab.Lab
	options   ScaleOptions
	binary    string
	mode      service.Mode
	nodes     [2]*lab.Process
	clients   [2]*redis.Client
	instances []*lab.Process
	keys      int // that are loaded
}

// errMemory: so many keys do not fit into what this machine has left.
var errMemory = errors.New("not enough memory is free")

// Scale measures writes with more and more keys and instances, and gives the table as Markdown.
func Scale(ctx context.Context, options ScaleOptions) (string, error) {
	var rungs []rung
	var missing []string
	for _, mode := range []service.Mode{service.ModeCP, service.ModeAP} {
		climbed, err := climb(ctx, options, mode)
		rungs = append(rungs, climbed...)
		if errors.Is(err, errMemory) {
			missing = append(missing, err.Error())
		} else if err != nil {
			return "", fmt.Errorf("measuring %s: %w", mode, err)
		}
	}
	return scaleTable(options, rungs, missing), nil
}

// climb measures one service in a lab of its own.
func climb(ctx context.Context, options ScaleOptions, mode service.Mode) (rungs []rung, err error) {
	room, err := lab.Open()
	if err != nil {
		return nil, err
	}
	defer room.Close()
	l := &ladder{Lab: room, options: options, mode: mode}
	if l.binary, err = room.BuildCapd(); err != nil {
		return nil, err
	}
	for i, name := range []string{service.G1, service.G2} {
		if l.nodes[i], err = room.Redis(name); err != nil {
			return nil, err
		}
		l.clients[i] = redis.NewClient(&redis.Options{Addr: l.nodes[i].Addr(), ReadTimeout: time.Minute, WriteTimeout: time.Minute})
		defer l.clients[i].Close()
	}
	for _, keys := range options.Keys {
		// The first instance has settled the empty nodes before: what is put there now is believed.
		if err := l.start(ctx, 1); err != nil {
			return rungs, err
		}
		if err := l.load(ctx, keys); err != nil {
			return rungs, err
		}
		for _, instances := range options.Instances {
			fmt.Fprintf(options.Say, "%s: %d keys, %d instances\n", mode, keys, instances)
			r, err := l.rung(ctx, instances)
			if err != nil {
				return rungs, err
			}
			rungs = append(rungs, r)
		}
		for _, i := range l.instances[1:] {
			i.Kill()
		}
		l.instances = l.instances[:1]
	}
	return rungs, nil
}

// start makes it so many instances, and waits until all are well.
func (l *ladder) start(ctx context.Context, count int) error {
	for len(l.instances) < count {
		name := fmt.Sprintf("app_%s-%d-%d", l.mode, l.keys, len(l.instances)+1)
		i, err := l.Capd(name, l.binary, l.mode, l.nodes[0].RedisURL(), l.nodes[1].RedisURL())
		if err != nil {
			return err
		}
		l.instances = append(l.instances, i)
	}
	for _, i := range l.instances {
		if err := await(ctx, i.URL()); err != nil {
			return err
		}
	}
	return nil
}

// load puts keys on both nodes as if they had been written and carried, past the service: through it ten million would
// take half an hour.
func (l *ladder) load(ctx context.Context, keys int) error {
	if err := l.room(ctx, keys); err != nil {
		return err
	}
	fmt.Fprintf(l.options.Say, "%s: loading %d keys\n", l.mode, keys)
	group, ctx := errgroup.WithContext(ctx)
	for which, client := range l.clients {
		group.Go(func() error {
			const batch = 2000
			for from := l.keys; from < keys; from += batch {
				pipe := client.Pipeline()
				for key := from; key < min(from+batch, keys); key++ {
					l.put(ctx, pipe, which, key)
				}
				if _, err := pipe.Exec(ctx); err != nil {
					return fmt.Errorf("loading keys: %w", err)
				}
			}
			return nil
		})
	}
	err := group.Wait()
	l.keys = keys
	return err
}

var loadedValue = strings.Repeat("x", valueBytes)

// put writes one key as the service would have left it. db_g2 is CP's head, which remembers the last version that it
// promised, too.
func (l *ladder) put(ctx context.Context, pipe redis.Pipeliner, which, number int) {
	key := bench.Prefix + fmt.Sprintf("%0*d", len(zeros), number)
	if l.mode == service.ModeAP {
		pipe.HSet(ctx, layout.APRegister(key), layout.APStamp, "1700000000000000", layout.APOrigin, "1", layout.APValue, loadedValue)
		return
	}
	fields := []any{layout.CPVersion, "1", "t", "loaded", layout.CPValue, loadedValue}
	if which == 1 {
		fields = append(fields, "l", "1")
	}
	pipe.HSet(ctx, layout.CPKey(key), fields...)
}

// room refuses more keys than fit, by what those have taken that are there.
func (l *ladder) room(ctx context.Context, keys int) error {
	const least = 100_000 // below, there is no telling and no need
	if l.keys < least {
		return nil
	}
	var perKey float64
	for _, client := range l.clients {
		use, err := readNode(ctx, client)
		if err != nil {
			return err
		}
		perKey += float64(use.memory) / float64(l.keys)
	}
	var free int64
	if _, err := fmt.Sscanf(procField("/proc/meminfo", "MemAvailable"), "%d kB", &free); err != nil {
		return fmt.Errorf("reading how much memory is free: %w", err)
	}
	const share = 0.8 // of what is free
	need, have := perKey*float64(keys-l.keys), float64(free)*1024
	if need > share*have {
		return fmt.Errorf("%s, %d keys: %w: both nodes would take %.1f GiB more, and %.1f GiB are left", l.mode, keys, errMemory, need/(1<<30), have/(1<<30))
	}
	return nil
}

// rung measures with so many instances, and what everything holds afterwards.
func (l *ladder) rung(ctx context.Context, instances int) (r rung, err error) {
	if err := l.start(ctx, instances); err != nil {
		return r, err
	}
	var urls []string
	for _, i := range l.instances {
		urls = append(urls, i.URL())
	}
	target, err := bench.NewTarget(string(l.mode), bench.Capd, "", urls...)
	if err != nil {
		return r, err
	}
	r = rung{mode: l.mode, keys: l.keys, instances: instances}
	plan := bench.Plan{Connections: connections, Keys: l.keys, ValueBytes: valueBytes, Duration: l.options.Each, Timeout: 10 * time.Second}
	r.others, err = others(l.Lab, func() (err error) {
		r.result, err = bench.Run(ctx, target, plan, nil)
		return err
	})
	if err != nil {
		return r, err
	}
	for _, i := range l.instances {
		held, err := lab.Memory(i.PID())
		if err != nil {
			return r, err
		}
		r.resident += held
	}
	for which, client := range l.clients {
		if r.nodes[which], err = readNode(ctx, client); err != nil {
			return r, err
		}
	}
	return r, l.start(ctx, instances) // until all is carried
}

// await waits until a service is well and has nothing left to carry.
func await(ctx context.Context, url string) error {
	client := api.NewClient(url, "", nil)
	for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		body, err := client.Health(ctx)
		if err == nil && settled(body) {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(limit) {
			return fmt.Errorf("%s did not settle within %s: %w", url, patience, errors.Join(err, fmt.Errorf("%+v", body.Nodes)))
		}
	}
}

func readNode(ctx context.Context, client *redis.Client) (use nodeUse, err error) {
	info, err := client.Info(ctx, "memory", "clients").Result()
	if err != nil {
		return use, fmt.Errorf("asking a node what it holds: %w", err)
	}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		n, _ := strconv.ParseInt(value, 10, 64) // 0 for what is no number
		switch name {
		case "used_memory":
			use.memory = n
		case "connected_clients":
			use.clients = n
		}
	}
	return use, nil
}

func scaleTable(options ScaleOptions, rungs []rung, missing []string) string {
	var b strings.Builder
	b.WriteString("# What grows with what\n\nWritten by `go run ./cmd/captop bench scale`. Figures of one machine, whose processors client, instances and nodes share.\n\n")
	b.WriteString(machine())
	fmt.Fprintf(&b, "- Sent: writes only, %d connections over all instances, values of %d bytes, each key as likely; as fast as answered, %s each time.\n"+
		"- The keys were put on both nodes in pipelines, past the services, as these would have left them.\n"+
		"- The last column is the share of the busy processor time that other programs took meanwhile: where it is large, so is the error.\n\n", connections, valueBytes, options.Each)
	b.WriteString(grid(func(line func(cells ...string)) {
		line("", "keys", "instances", "writes/s", "p50 ms", "p99 ms", "failed", "all instances, MiB", "db_g1, MiB", "db_g2, MiB", "clients of db_g1", "others")
		for _, r := range rungs {
			line(strings.ToUpper(string(r.mode)), strconv.Itoa(r.keys), strconv.Itoa(r.instances), fmt.Sprintf("%.0f", r.result.Rate),
				milliseconds(r.result.All.P50), milliseconds(r.result.All.P99), strconv.FormatInt(r.result.Failed, 10), mebibytes(r.resident),
				mebibytes(r.nodes[0].memory), mebibytes(r.nodes[1].memory), strconv.FormatInt(r.nodes[0].clients, 10), fmt.Sprintf("%.0f %%", 100*r.others))
		}
	}))
	b.WriteString("\n")
	for _, text := range missing {
		fmt.Fprintf(&b, "- **Not measured**: %s.\n", text)
	}
	for _, mode := range []service.Mode{service.ModeCP, service.ModeAP} {
		b.WriteString(growth(mode, rungs))
	}
	return b.String()
}

func mebibytes(n int64) string { return fmt.Sprintf("%.0f", float64(n)/(1<<20)) }

// growth says what the first and the last rung of a service tell.
func growth(mode service.Mode, rungs []rung) string {
	var own []rung
	for _, r := range rungs {
		if r.mode == mode {
			own = append(own, r)
		}
	}
	if len(own) < 2 {
		return ""
	}
	first, last := own[0], own[len(own)-1]
	text := ""
	if more := float64(last.keys - first.keys); more > 0 {
		var few rung // the largest number of keys with the fewest instances
		for _, r := range own {
			if r.keys == last.keys && r.instances == first.instances {
				few = r
			}
		}
		text += fmt.Sprintf("- %s, from %d to %d keys with %d instance: %.0f bytes a key on db_g1 and %.0f on db_g2; the instance %.1f to %.1f MiB; "+
			"writes/s × %.2f, p99 × %.2f.\n", strings.ToUpper(string(mode)), first.keys, last.keys, first.instances,
			float64(few.nodes[0].memory-first.nodes[0].memory)/more, float64(few.nodes[1].memory-first.nodes[1].memory)/more,
			float64(first.resident)/(1<<20), float64(few.resident)/(1<<20), few.result.Rate/first.result.Rate, few.result.All.P99/first.result.All.P99)
	}
	var many rung // the most instances with the fewest keys
	for _, r := range own {
		if r.keys == first.keys {
			many = r
		}
	}
	if more := many.instances - first.instances; more > 0 {
		text += fmt.Sprintf("- %s, from %d to %d instances with %d keys: %.1f MiB and %.1f clients of db_g1 for each more; writes/s × %.2f, p99 × %.2f.\n",
			strings.ToUpper(string(mode)), first.instances, many.instances, first.keys, float64(many.resident-first.resident)/(1<<20)/float64(more),
			float64(many.nodes[0].clients-first.nodes[0].clients)/float64(more), many.result.Rate/first.result.Rate, many.result.All.P99/first.result.All.P99)
	}
	return text
}
