package keyspace

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/api"
	"captop/service/layout"
)

// ShownBytes is how much of a value is kept to be shown.
const ShownBytes = 4096

// Answer is what one service said of a key.
type Answer struct {
	Service   string // "" where no service of the mode is configured
	Error     string // the refusal, or why no answer came
	Code      service.Code
	Value     string // the beginning, at most ShownBytes
	Length    int64
	Version   service.Version
	Node      string // that answered
	Staleness time.Duration
	Stale     bool
	Took      time.Duration
}

// View is a key in one mode, from all sides.
type View struct {
	Mode   service.Mode
	Answer Answer
	Copies [2]Copy // db_g1, db_g2
	State  State
	Why    string // in one sentence; "" where both are the same
}

// Look is a key from all sides at one moment, in CP and in AP.
type Look struct {
	Key   string
	At    time.Time
	Views [2]View // as Modes
}

// looksAtMost bounds how often a key that changes under the eyes is looked at again.
const (
	looksAtMost  = 4
	lookAgainFor = 150 * time.Millisecond
)

// Look reads a key through both services and from both nodes. Each part that fails says so by itself.
func (s *Space) Look(ctx context.Context, key string) Look {
	look := Look{Key: key}
	var running sync.WaitGroup
	for i, mode := range Modes {
		look.Views[i].Mode = mode
		running.Go(func() { look.Views[i].Answer = s.through(ctx, mode, key) })
		running.Go(func() {
			look.Views[i].Copies, look.Views[i].State, look.Views[i].Why = s.settledLook(ctx, mode, key)
		})
	}
	running.Wait()
	look.At = s.now()
	return look
}

// settledLook looks at both copies until they are the same or two looks found the same difference.
func (s *Space) settledLook(ctx context.Context, mode service.Mode, key string) (copies [2]Copy, state State, why string) {
	var before [2]Copy
	for i := range looksAtMost {
		copies = s.both(ctx, mode, key)
		state, why = judge(mode, copies)
		if state <= Same || i > 0 && before[g1] == timeless(copies[g1]) && before[g2] == timeless(copies[g2]) {
			return copies, state, why
		}
		before = [2]Copy{timeless(copies[g1]), timeless(copies[g2])}
		if pause(ctx, lookAgainFor) != nil {
			break
		}
	}
	if state > InFlight {
		state, why = InFlight, "the key changes all the time"
	}
	return copies, state, why
}

// timeless is a copy without what passes by itself, to compare two looks.
func timeless(c Copy) Copy {
	c.WaitingFor = 0
	return c
}

// both reads a key at both nodes.
func (s *Space) both(ctx context.Context, mode service.Mode, key string) (copies [2]Copy) {
	var running sync.WaitGroup
	for i := range s.nodes {
		running.Go(func() { copies[i] = s.full(ctx, i, []ref{{mode, key}})[0] })
	}
	running.Wait()
	return copies
}

// through reads a key through the service of a mode.
func (s *Space) through(ctx context.Context, mode service.Mode, key string) Answer {
	target, ok := s.services(mode)
	if !ok {
		return Answer{Error: "no service of this mode is configured"}
	}
	ctx, cancel := context.WithTimeout(ctx, contactTimeout)
	defer cancel()
	began := s.now()
	body, err := api.NewClient(target.URL, target.Token, nil).Read(ctx, key, service.ReadOptions{})
	answer := Answer{Service: target.Name, Took: s.now().Sub(began)}
	var refusal *service.Error
	switch {
	case errors.As(err, &refusal):
		answer.Error, answer.Code = refusal.Message, refusal.Code
	case err != nil:
		answer.Error = why(err)
	default:
		answer.Value, answer.Length = body.Value.Value[:min(len(body.Value.Value), ShownBytes)], int64(len(body.Value.Value))
		answer.Version, answer.Node, answer.Stale = body.Version, body.Node, body.Stale
		answer.Staleness = time.Duration(body.StalenessMS) * time.Millisecond
	}
	return answer
}

// ref is a key in a mode.
type ref struct {
	mode service.Mode
	key  string
}

// full reads all that one node has of keys. An error is in each copy.
func (s *Space) full(ctx context.Context, node int, refs []ref) []Copy {
	ctx, cancel := context.WithTimeout(ctx, contactTimeout)
	defer cancel()
	pipe := s.nodes[node].Pipeline()
	clock, server := pipe.Time(ctx), pipe.Info(ctx, "server")
	batches := pipe.ZRangeWithScores(ctx, layout.APBatches, 0, -1) // they become marks of keys
	asked := make([]fullCommands, len(refs))
	for i, r := range refs {
		asked[i] = askFull(ctx, pipe, r)
	}
	carried := pipe.ZRangeWithScores(ctx, layout.APBatches, 0, -1) // and these batches
	_, err := pipe.Exec(ctx)
	copies := make([]Copy, len(refs))
	run, runErr := runID(server)
	for i, r := range refs {
		copies[i] = Copy{Node: s.names[node]}
		if problem := errors.Join(clock.Err(), runErr, batches.Err(), carried.Err(), asked[i].err(), connectionError(clock, err)); problem != nil {
			copies[i].Error = why(problem)
			continue
		}
		asked[i].read(&copies[i], r, clock.Val(), run)
		if r.mode == service.ModeAP {
			copies[i].waitsIn(batches.Val(), r.key, clock.Val())
			copies[i].waitsIn(carried.Val(), r.key, clock.Val())
		}
	}
	return copies
}

// connectionError: where no connection could be made, the commands carry no error of their own.
func connectionError(clock *redis.TimeCmd, err error) error {
	if clock.Val().IsZero() {
		return err
	}
	return nil
}

// fullCommands ask for one key.
type fullCommands struct {
	fields  *redis.SliceCmd
	waiting *redis.FloatCmd
	settled *redis.StringCmd
}

func askFull(ctx context.Context, pipe redis.Pipeliner, r ref) fullCommands {
	bucket := layout.Bucket(r.key)
	if r.mode == service.ModeCP {
		return fullCommands{
			fields: pipe.HMGet(ctx, layout.CPKey(r.key), layout.CPVersion, layout.CPValue, layout.CPSettled, layout.CPPromised, layout.CPPromisedAt),
			// The members of the set are names in Redis.
			waiting: pipe.ZScore(ctx, layout.CPDirty(bucket), layout.CPKey(r.key)),
			settled: pipe.HGet(ctx, layout.CPMeta(bucket), layout.CPSettled),
		}
	}
	return fullCommands{
		fields:  pipe.HMGet(ctx, layout.APRegister(r.key), layout.APStamp, layout.APValue, layout.APOrigin),
		waiting: pipe.ZScore(ctx, layout.APDirty(bucket), r.key),
		settled: pipe.HGet(ctx, layout.APMeta, layout.APSettled),
	}
}

// err is the first error that is not the absence of something.
func (f fullCommands) err() error {
	for _, err := range []error{f.fields.Err(), f.waiting.Err(), f.settled.Err()} {
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
	}
	return nil
}

func (f fullCommands) read(c *Copy, r ref, clock time.Time, run string) {
	fields := texts(f.fields)
	c.Exists = fields[0] != ""
	c.Value, c.Length = fields[1][:min(len(fields[1]), ShownBytes)], int64(len(fields[1]))
	c.sum = sha256.Sum256([]byte(fields[1]))
	c.Waiting = f.waiting.Err() == nil
	if r.mode == service.ModeCP {
		c.Version = service.Version(fields[0])
		c.Settled = fields[2] == run || f.settled.Val() == run
		c.Waiting = fields[3] != ""
		since := f.waiting.Val()
		if at, err := strconv.ParseFloat(fields[4], 64); err == nil { // it is marked by its batch
			since = at
		}
		c.WaitingFor = waited(since, clock, time.UnixMilli)
	} else {
		c.Version = layout.APVersion(fields[0], fields[2])
		c.Settled = f.settled.Val() == run
		c.WaitingFor = waited(f.waiting.Val(), clock, time.UnixMicro)
	}
	if !c.Exists {
		c.Version = ""
	}
}

// waited is the time since a mark was made; 0 if none was.
func waited(since float64, clock time.Time, unit func(int64) time.Time) time.Duration {
	if since == 0 {
		return 0
	}
	return max(clock.Sub(unit(int64(since))), 0)
}

// waitsIn adds the marks of AP's batches, the oldest first, to that of the key.
func (c *Copy) waitsIn(batches []redis.Z, key string, clock time.Time) {
	for _, batch := range batches {
		mark, _ := batch.Member.(string)
		if slices.Contains(layout.BatchKeys(mark), key) {
			c.Waiting, c.WaitingFor = true, max(c.WaitingFor, clock.Sub(time.UnixMicro(int64(batch.Score))))
			return
		}
	}
}

// texts gives the fields of a hash, "" for those that are absent.
func texts(command *redis.SliceCmd) []string {
	out := make([]string, len(command.Val()))
	for i, value := range command.Val() {
		out[i], _ = value.(string)
	}
	return out
}

// runID reads from INFO server what stands in the data as the run of a node.
func runID(command *redis.StringCmd) (string, error) {
	text, err := command.Result()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "run_id:"); ok && len(id) >= layout.RunIDDigits {
			return id[:layout.RunIDDigits], nil
		}
	}
	return "", fmt.Errorf("INFO server names no run_id; is this Redis?")
}
