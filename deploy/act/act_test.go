package act_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/deploy/act"
	"captop/deploy/demo"
	"captop/deploy/journal"
	"captop/deploy/stack"
	"captop/service"
	"captop/service/api"
)

const keeperPart = "keep"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == keeperPart {
		fmt.Fprintln(os.Stderr, demo.Keep(os.Stdin, os.Args[2]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// engine is one over two real redis-servers, both services and links that can be cut.
func engine(t *testing.T) *act.Engine {
	t.Helper()
	d, err := demo.Start(exec.Command(os.Args[0], keeperPart))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	e := &act.Engine{Stack: d, Journal: journal.File{Path: filepath.Join(t.TempDir(), "journal.jsonl"), Now: time.Now}, Who: "ann@web1", Seat: "command", Now: time.Now}
	for _, mode := range []service.Mode{service.ModeCP, service.ModeAP} {
		e.Services = append(e.Services, act.Service{Name: "app_" + string(mode), Client: api.NewClient(d.URL(mode), "", nil)})
	}
	g1, g2 := d.NodeURLs()
	e.Nodes = map[string]string{service.G1: g1, service.G2: g2}
	t.Cleanup(e.Wait)
	return e
}

func plan(t *testing.T, e *act.Engine, verb stack.Verb, name string) act.Plan {
	t.Helper()
	parts, err := e.Stack.Parts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plans, err := e.Plan(parts, e.Look(t.Context()), verb, name)
	if err != nil || len(plans) != 1 {
		t.Fatalf("%v %v", plans, err)
	}
	return plans[0]
}

// do plans and does it.
func do(t *testing.T, e *act.Engine, verb stack.Verb, name string) (string, error) {
	t.Helper()
	return e.Do(t.Context(), plan(t, e, verb, name), func(string) {})
}

func records(t *testing.T, e *act.Engine) []journal.Record {
	t.Helper()
	all, err := e.Journal.Read(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEveryVerbProvesItself(t *testing.T) {
	e := engine(t)
	for i, step := range []struct {
		verb  stack.Verb
		proof []string
	}{
		{stack.Restart, []string{"under a new run id", "app_cp and app_ap have settled it", "from the order to the proof it took"}},
		{stack.Cut, []string{"cut off", "app_cp and app_ap cannot reach db_g2"}},
		{stack.Heal, []string{"db_g2 is running", "app_cp and app_ap have settled it"}},
		{stack.Pause, []string{"db_g2 is paused", "app_cp and app_ap cannot reach db_g2"}},
		{stack.Heal, []string{"db_g2 is running", "app_cp and app_ap have settled it"}},
		{stack.Stop, []string{"db_g2 is stopped", "cannot reach db_g2"}},
		{stack.Start, []string{"db_g2 is running", "under a new run id"}},
	} {
		var steps []string
		p := plan(t, e, step.verb, "db_g2")
		proof, err := e.Do(t.Context(), p, func(text string) { steps = append(steps, text) })
		if err != nil {
			t.Fatalf("%s: %v after %q", step.verb, err, steps)
		}
		for _, want := range step.proof {
			if !strings.Contains(proof, want) {
				t.Errorf("%s: the proof lacks %q: %q", step.verb, want, proof)
			}
		}
		all := records(t, e)
		if len(all) != i+1 {
			t.Fatalf("%d acts are in the journal after %d", len(all), i+1)
		}
		r := all[i]
		if r.What != string(step.verb)+" db_g2" || r.Outcome != journal.Done || r.Proof != proof || r.Who != "ann@web1" || r.Command != p.Command ||
			r.Before == "" || r.After == "" || r.Before == r.After || len(r.Steps) < 2 {
			t.Errorf("%s: the journal has %+v", step.verb, r)
		}
	}
}

// TestInterlockHoldsUnderTheLock: what was allowed when it was planned is refused when it no longer is.
func TestInterlockHoldsUnderTheLock(t *testing.T) {
	e := engine(t)
	stale := plan(t, e, stack.Restart, "db_g2")
	if _, err := do(t, e, stack.Stop, "db_g1"); err != nil {
		t.Fatal(err)
	}
	before := len(records(t, e))
	if _, err := e.Do(t.Context(), stale, func(string) {}); !errors.Is(err, act.ErrRefused) || !strings.Contains(err.Error(), "captop start db_g1") {
		t.Fatalf("%v", err)
	}
	if fresh := plan(t, e, stack.Stop, "db_g2"); !errors.Is(fresh.Refused, act.ErrRefused) {
		t.Errorf("%v", fresh.Refused)
	}
	if len(records(t, e)) != before {
		t.Error("what was refused is in the journal as if it had begun")
	}
	if _, err := do(t, e, stack.Start, "db_g1"); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Do(t.Context(), stale, func(string) {}); err != nil {
		t.Fatal(err)
	}
}

// TestOneAtATime: two at once on the same stack: one does it, the other is told who is at it; healing is let through.
func TestOneAtATime(t *testing.T) {
	e := engine(t)
	other := &act.Engine{Stack: e.Stack, Services: e.Services, Nodes: e.Nodes, Journal: e.Journal, Who: "bob@web1", Now: time.Now}
	p := plan(t, e, stack.Restart, "db_g2")
	var once sync.Once
	var refused error
	_, err := e.Do(t.Context(), p, func(string) {
		once.Do(func() { _, refused = other.Do(t.Context(), p, func(string) {}) })
	})
	if err != nil {
		t.Fatal(err)
	}
	if !errors.Is(refused, act.ErrRefused) || !strings.Contains(refused.Error(), `ann@web1 is at "restart db_g2"`) {
		t.Errorf("%v", refused)
	}
	if _, err := other.Do(t.Context(), p, func(string) {}); err != nil {
		t.Errorf("the lock is still held: %v", err)
	}
}

// TestHealDuringARestart: the link is cut while db_g2 restarts; healing must not wait for the restart, which waits for it.
func TestHealDuringARestart(t *testing.T) {
	e := engine(t)
	p := plan(t, e, stack.Restart, "db_g2")
	var once sync.Once
	_, err := e.Do(t.Context(), p, func(step string) {
		if !strings.HasPrefix(step, "waiting") {
			return
		}
		once.Do(func() {
			if err := e.Stack.Do(t.Context(), p.Part, stack.Cut); err != nil {
				t.Error(err)
			}
			if _, err := do(t, e, stack.Heal, "db_g2"); err != nil {
				t.Error(err)
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCallerGone: the caller ends in the middle: the order is carried out, and the journal says that nothing proves it.
func TestCallerGone(t *testing.T) {
	e := engine(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := e.Do(ctx, plan(t, e, stack.Stop, "db_g2"), func(step string) {
		if strings.HasPrefix(step, "stopping") {
			cancel()
		}
	})
	if !errors.Is(err, act.ErrUnproven) || !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if now := plan(t, e, stack.Start, "db_g2"); now.Part.State != stack.Stopped || now.Refused != nil {
		t.Errorf("%+v", now)
	}
	if r := records(t, e)[0]; r.Outcome != journal.Unknown || r.Open() {
		t.Errorf("%+v", r)
	}
}

// firstNode is db_g1 itself.
func firstNode(t *testing.T, e *act.Engine) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(e.Nodes[service.G1])
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// TestPeerEmptied: db_g1 is emptied while db_g2 is stopped. Starting db_g2 cannot be proven before db_g1 has been restarted,
// which is said at once, for that is what helps, and one act runs at a time.
func TestPeerEmptied(t *testing.T) {
	e := engine(t)
	if _, err := e.Services[0].Client.Write(t.Context(), "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if _, err := do(t, e, stack.Stop, "db_g2"); err != nil {
		t.Fatal(err)
	}
	client := firstNode(t, e)
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	_, err := do(t, e, stack.Start, "db_g2")
	if !errors.Is(err, act.ErrUnproven) || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "restart db_g1 next") {
		t.Errorf("db_g2 is started beside an emptied db_g1: %v", err)
	}
	if _, err := do(t, e, stack.Restart, "db_g1"); err != nil {
		t.Error(err)
	}
}

// TestPeerEvicted: db_g1 has deleted keys for want of memory. Nothing takes db_g2 away, which has them, before db_g1 has been restarted.
func TestPeerEvicted(t *testing.T) {
	e := engine(t)
	if _, err := e.Services[0].Client.Write(t.Context(), "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	client := firstNode(t, e)
	for _, command := range [][]any{{"SET", "theirs", "v", "EX", 1000}, {"CONFIG", "SET", "maxmemory-policy", "volatile-lru"},
		{"CONFIG", "SET", "maxmemory", 1}} {
		if err := client.Do(t.Context(), command...).Err(); err != nil {
			t.Fatal(command, err)
		}
	}
	_ = client.Set(t.Context(), "x", "refused, for there is no memory", 0).Err()
	if err := client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if now := plan(t, e, stack.Restart, "db_g2"); now.Refused == nil || !strings.Contains(now.Refused.Error(), "first restart db_g1") {
		t.Errorf("%+v", now)
	}
	for _, name := range []string{"db_g1", "db_g2"} {
		if _, err := do(t, e, stack.Restart, name); err != nil {
			t.Error(err)
		}
	}
}

// flaky loses the answers of a real stack, before or after it has done what it was told.
type flaky struct {
	stack.Stack
	before, after error
	blind         int // how often Parts fails after that
	mu            sync.Mutex
	told          bool
}

func (f *flaky) Do(ctx context.Context, part stack.Part, verb stack.Verb) error {
	f.mu.Lock()
	f.told = true
	f.mu.Unlock()
	if f.before != nil {
		return f.before
	}
	if err := f.Stack.Do(ctx, part, verb); err != nil {
		return err
	}
	return f.after
}

func (f *flaky) Parts(ctx context.Context) ([]stack.Part, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.told && f.blind > 0 {
		f.blind--
		return nil, io.ErrUnexpectedEOF
	}
	return f.Stack.Parts(ctx)
}

// TestLostAnswers: the connection to the engine breaks in the middle. What counts is what came of it.
func TestLostAnswers(t *testing.T) {
	e := engine(t)
	real := e.Stack
	e.Stack = &flaky{Stack: real, after: io.ErrUnexpectedEOF, blind: 5}
	if proof, err := do(t, e, stack.Restart, "db_g2"); err != nil || !strings.Contains(proof, "new run id") {
		t.Errorf("it was done: %q %v", proof, err)
	}
	e.Stack = &flaky{Stack: real, before: io.ErrUnexpectedEOF}
	if _, err := do(t, e, stack.Stop, "db_g2"); !errors.Is(err, act.ErrUndone) {
		t.Errorf("it was not done: %v", err)
	}
	all := records(t, e)
	if all[0].Outcome != journal.Done || all[1].Outcome != journal.Undone {
		t.Errorf("%+v", all)
	}
}

// TestRecover: what a process that is gone has begun is found, and what came of it.
func TestRecover(t *testing.T) {
	e := engine(t)
	for _, c := range []struct {
		verb    stack.Verb
		done    stack.Verb // what really happened before the process went; "" is nothing
		outcome journal.Outcome
		says    string
		repair  stack.Verb
	}{
		{stack.Restart, stack.Restart, journal.Done, "it was done, though captop was gone", ""},
		{stack.Restart, stack.Stop, journal.Failed, "captop start db_g2 starts it", stack.Start},
		{stack.Restart, "", journal.Undone, "before anything took effect", ""},
		{stack.Cut, stack.Cut, journal.Done, "cut off", stack.Heal},
		{stack.Pause, "", journal.Undone, "running as before", ""},
	} {
		at := time.Now().UTC()
		id := fmt.Sprintf("gone-%s-%s-%d", c.verb, c.done, at.UnixNano())
		line := fmt.Sprintf(`{"kind":"begin","id":%q,"at":%q,"stack":%q,"what":"%s db_g2","verb":%q,"instance":"db_g2"}`+"\n",
			id, at.Format(time.RFC3339Nano), e.Stack.About(), c.verb, c.verb)
		file, err := os.OpenFile(e.Journal.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = file.WriteString(line)
		}
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		part := stack.Part{Service: service.G2, Instance: service.G2}
		if c.done != "" {
			if err := e.Stack.Do(t.Context(), part, c.done); err != nil {
				t.Fatal(err)
			}
		}
		found, err := e.Recover(t.Context())
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %v %v", id, found, err)
		}
		if r := found[0]; r.Outcome != c.outcome || !strings.Contains(r.Proof+r.Error, c.says) || r.By != e.Who || r.After == "" {
			t.Errorf("%s: %+v", id, r)
		}
		if again, err := e.Recover(t.Context()); err != nil || len(again) != 0 {
			t.Errorf("%s: found again: %v %v", id, again, err)
		}
		if c.repair != "" {
			if _, err := do(t, e, c.repair, "db_g2"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestFullDisk: what cannot be journalled is done all the same, and that is said.
func TestFullDisk(t *testing.T) {
	e := engine(t)
	if err := os.Mkdir(e.Journal.Path, 0o700); err != nil { // a folder in its place fails for root too
		t.Fatal(err)
	}
	said := ""
	if _, err := e.Do(t.Context(), plan(t, e, stack.Restart, "db_g2"), func(step string) {
		if strings.HasPrefix(step, "NOT JOURNALLED") {
			said = step
		}
	}); err != nil || said == "" {
		t.Errorf("%q %v", said, err)
	}
}
