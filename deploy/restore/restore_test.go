package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"captop/deploy/backup"
	"captop/deploy/dbnode"
	"captop/deploy/stack"
	"captop/service"
	"captop/service/linearizable"
)

// killedPart makes the test binary restore db_g2 of the local stack in this folder, or go on with it, or take it back.
const killedPart = "CAPTOP_RESTORE_IN"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedPart); dir != "" {
		r := local{dir: dir, aof: "yes"}.restorer()
		r.Tell = func(p Progress) {
			line := fmt.Sprintln(p.Step, p.Text)
			fmt.Print(line)
			if strings.HasPrefix(line, os.Args[2]) {
				time.Sleep(time.Minute) // until it is killed
			}
		}
		if err := r.byName(context.Background(), os.Args[1]); err != nil {
			fmt.Println("failed:", err)
		}
		return
	}
	os.Exit(m.Run())
}

func (r *Restorer) byName(ctx context.Context, what string) error {
	switch what {
	case "resume":
		_, err := r.Resume(ctx)
		return err
	case "undo":
		plan, err := r.PrepareUndo(ctx)
		if err != nil {
			return err
		}
		return r.Run(ctx, plan)
	default:
		plan, err := r.Prepare(ctx, Request{Node: what})
		if err != nil {
			return err
		}
		return r.Run(ctx, plan)
	}
}

func (r *Restorer) must(t *testing.T, request Request) Plan {
	t.Helper()
	plan, err := r.Prepare(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%q, %q", plan.Lines, plan.Warnings)
	if err := r.Run(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	if plan.Step != Done {
		t.Fatalf("it ended at %s", plan.Step)
	}
	return plan
}

// backedUp gives a pair that holds "new" in so many keys, and backups of nodes from when it was "old".
func backedUp(t *testing.T, keys int, of ...string) (local, *pair) {
	t.Helper()
	l := newLocal(t, "yes")
	p := newPair(t, l)
	p.seed(keys, "old")
	l.take(t, of...)
	p.seed(keys, "new")
	return l, p
}

// TestDumpBesideAnAOFIsLost: the copy that everybody tries first loses all, and the comparison notices. What compose
// makes of the same dump does not.
func TestDumpBesideAnAOFIsLost(t *testing.T) {
	l := newLocal(t, "yes")
	p := newPair(t, l)
	p.seed(20, "v")
	m := l.take(t, service.G2)[service.G2]
	dump, err := os.ReadFile(filepath.Join(l.dir, "backups", m.File))
	if err != nil {
		t.Fatal(err)
	}
	_ = p.cp.Close()
	_ = p.ap.Close()
	l.wipe(t, service.G2)
	if err := os.WriteFile(filepath.Join(l.data(service.G2), "dump.rdb"), dump, 0o644); err != nil {
		t.Fatal(err)
	}
	l.do(t, service.G2, stack.Start)
	standing, err := dbnode.AskAt(t.Context(), l.url(service.G2))
	if err != nil || !standing.AOF || standing.Keys != 0 {
		t.Fatalf("a Redis with AOF has read a dump.rdb: %+v, %v; then all of this is needless", standing, err)
	}
	if err := Holds(standing, m.Content.Keys, m.Content.Expiring); !errors.Is(err, ErrLost) {
		t.Errorf("nobody notices: %v", err)
	}
	standing.Loaded = -1 // as before Redis 7
	if err := Holds(standing, m.Content.Keys, m.Content.Expiring); !errors.Is(err, ErrLost) {
		t.Errorf("nobody notices on an older Redis: %v", err)
	}
}

// TestRestoresUnderLoad: a node whose disk is lost, and one that is well, get a backup back while both services work.
func TestRestoresUnderLoad(t *testing.T) {
	for _, name := range nodes {
		for _, lost := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, disk lost %v", name, lost), func(t *testing.T) {
				l, p := backedUp(t, 50, name)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				group := p.load(ctx)
				if lost {
					l.wipe(t, name)
				}
				r := l.restorer()
				plan := r.must(t, Request{Node: name})
				n := plan.Nodes[0]
				if n.Safety == "" || n.RunAfter == n.RunBefore || n.KeysAfter < 100 {
					t.Errorf("%+v", n)
				}
				cancel()
				group.Wait()
				if lost { // and with it, as the README says, what AP had not carried over yet
					p.written = map[string]int{}
				}
				p.holds(50, "new")
				p.check()
			})
		}
	}
}

// TestBothGoBack: both disks are lost, or somebody has written nonsense over everything: both nodes take the state of
// the backup, and go on from there.
func TestBothGoBack(t *testing.T) {
	for name, c := range map[string]struct {
		backups []string
		lost    bool
	}{"disks lost": {nodes, true}, "nonsense written": {nodes, false}, "a backup of db_g1 only": {nodes[:1], true}, "a backup of db_g2 only": {nodes[1:], true}} {
		t.Run(name, func(t *testing.T) {
			l, p := backedUp(t, 50, c.backups...)
			if c.lost {
				l.wipe(t, service.G1)
				l.wipe(t, service.G2)
				// Worst of all, they come back empty, and the services settle that and go on.
				l.do(t, service.G1, stack.Start)
				l.do(t, service.G2, stack.Start)
				p.settled()
				eventually(t, "writing", func() error { return p.writeCP(1, "cp1", "meanwhile") })
			}
			p.history = linearizable.NewHistory()
			l.restorer().must(t, Request{Both: true})
			p.settled()
			p.holds(50, "old")
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			p.load(ctx).Wait()
			p.check()
		})
	}
}

// TestOtherPastIsRefused: db_g1 alone must not get what db_g2 never had: they would stay apart.
func TestOtherPastIsRefused(t *testing.T) {
	l := newLocal(t, "yes")
	p := newPair(t, l)
	p.seed(10, "old")
	l.take(t, nodes...)
	l.wipe(t, service.G1)
	l.wipe(t, service.G2)
	l.do(t, service.G1, stack.Start)
	l.do(t, service.G2, stack.Start)
	p.settled()
	for _, name := range nodes {
		if _, err := l.restorer().Prepare(t.Context(), Request{Node: name}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "--both") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUndo(t *testing.T) {
	for _, both := range []bool{false, true} {
		l, p := backedUp(t, 20, nodes...)
		r := l.restorer()
		if _, err := r.PrepareUndo(t.Context()); !errors.Is(err, ErrNothing) {
			t.Errorf("nothing was restored: %v", err)
		}
		request := Request{Node: service.G2, Both: both}
		if err := os.WriteFile(filepath.Join(l.data(service.G2), "users.acl"), []byte("user default on nopass ~* &* +@all\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.must(t, request)
		p.settled()
		if both {
			p.holds(20, "old")
		} else {
			p.holds(20, "new")
		}
		if _, err := os.Stat(filepath.Join(l.data(service.G2), "users.acl")); err != nil {
			t.Errorf("what is no data did not stay: %v", err)
		}
		if err := r.byName(t.Context(), "undo"); err != nil {
			t.Fatal(err)
		}
		p.settled()
		p.holds(20, "new")
		if _, err := r.PrepareUndo(t.Context()); !errors.Is(err, ErrNothing) {
			t.Errorf("it was taken back: %v", err)
		}
		_ = p.cp.Close()
		_ = p.ap.Close()
	}
}

func TestWithoutAOF(t *testing.T) {
	l := newLocal(t, "no")
	p := newPair(t, l)
	p.seed(20, "v")
	l.take(t, service.G2)
	l.restorer().must(t, Request{Node: service.G2})
	p.holds(20, "v")
	if _, err := os.Stat(filepath.Join(l.data(service.G2), "appendonlydir")); err == nil {
		t.Error("an AOF lies there that would be believed should AOF be turned on one day")
	}
}

// TestRefusals: each interlock, by itself.
func TestRefusals(t *testing.T) {
	l := newLocal(t, "yes")
	p := newPair(t, l)
	p.seed(20, "v")
	r := l.restorer()
	refused := func(name, want string, request Request) {
		t.Helper()
		_, err := r.Prepare(t.Context(), request)
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	one := Request{Node: service.G2}
	refused("no backup", "no verified backup of db_g2", one)
	taken := l.take(t, nodes...)
	refused("another node's", "is a backup of db_g1", Request{Node: service.G2, Files: map[string]string{service.G2: taken[service.G1].File}})
	if _, err := r.Prepare(t.Context(), Request{Node: service.G2, Files: map[string]string{service.G2: "x.rdb"}}); !errors.Is(err, backup.ErrNoBackup) {
		t.Errorf("no such file: %v", err)
	}
	client, err := dbnode.Connect(l.url(service.G2))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ConfigSet(t.Context(), "rdb-key-save-delay", "100000").Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.BgSave(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	refused("saving", "db_g2 is saving", one)
	if err := errors.Join(client.ConfigSet(t.Context(), "rdb-key-save-delay", "0").Err()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "saving", func() error {
		if s, err := dbnode.AskAt(t.Context(), l.url(service.G2)); err != nil || s.Saving {
			return fmt.Errorf("%v, %v", s.Saving, err)
		}
		return nil
	})
	path := filepath.Join(l.dir, "backups", taken[service.G2].File)
	flip(t, path)
	refused("damaged", "cannot be verified", one)
	flip(t, path)
	if _, err := r.Store.Verify(t.Context(), taken[service.G2], func(string) {}); err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(l.folder(service.G2), "paused")
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("paused", "unpause it first", one)
	if err := os.Remove(mark); err != nil {
		t.Fatal(err)
	}
	_ = p.cp.Close()
	_ = p.ap.Close()
	l.kill(service.G1)
	refused("the other is away", "db_g1 does not answer", one)
	l.do(t, service.G1, stack.Start)
	l.loaded(t, service.G1)
	refused("the other is not settled", "db_g1 is not settled yet", one)
	l.wipe(t, service.G1)
	l.do(t, service.G1, stack.Start)
	l.loaded(t, service.G1)
	refused("the other is empty", "no service has ever settled db_g1", one)
}

// loaded waits until a node has loaded its data.
func (l local) loaded(t *testing.T, name string) {
	t.Helper()
	eventually(t, "loading", func() error {
		if s, err := dbnode.AskAt(t.Context(), l.url(name)); err != nil || s.Loading {
			return fmt.Errorf("%v, %v", s.Loading, err)
		}
		return nil
	})
}

// TestChangedAfterTheCheck: a dump that changes between the plan and the act is not put into a node.
func TestChangedAfterTheCheck(t *testing.T) {
	l := newLocal(t, "yes")
	p := newPair(t, l)
	p.seed(20, "v")
	m := l.take(t, service.G2)[service.G2]
	r := l.restorer()
	plan, err := r.Prepare(t.Context(), Request{Node: service.G2})
	if err != nil {
		t.Fatal(err)
	}
	flip(t, filepath.Join(l.dir, "backups", m.File))
	if err := r.Run(t.Context(), plan); !errors.Is(err, errChanged) {
		t.Fatalf("it took it: %v", err)
	}
	if err := r.byName(t.Context(), "undo"); err != nil {
		t.Fatal(err)
	}
	p.settled()
	p.holds(20, "v")
}

// TestNodesChangedAfterThePlan: interlocks hold at the moment of the act, not only at that of the plan.
func TestNodesChangedAfterThePlan(t *testing.T) {
	l := newLocal(t, "yes")
	p := newPair(t, l)
	p.seed(20, "v")
	l.take(t, service.G2)
	r := l.restorer()
	plan := func() (made Plan) {
		t.Helper()
		eventually(t, "planning", func() (err error) { // the services have to notice first what this test has done to the nodes
			made, err = r.Prepare(t.Context(), Request{Node: service.G2})
			return err
		})
		return made
	}
	refused := func(made Plan, want string) {
		t.Helper()
		if err := r.Run(t.Context(), made); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("it ended with %v, not with %q", err, want)
		}
		if records, err := Records(r.Store.Dir); err != nil || len(records) > 0 {
			t.Errorf("it left %+v, %v", records, err)
		}
	}
	made := plan()
	l.kill(service.G1)
	refused(made, "db_g1 does not answer")
	l.do(t, service.G1, stack.Start)
	l.loaded(t, service.G1)
	made = plan()
	l.do(t, service.G2, stack.Stop)
	refused(made, "db_g2 was started, stopped or restarted")
	l.do(t, service.G2, stack.Start)
	l.loaded(t, service.G2)
	refused(made, "db_g2 was started, stopped or restarted")
	if err := r.Run(t.Context(), plan()); err != nil {
		t.Fatal(err)
	}
	p.settled()
	p.holds(20, "v")
}

// TestKilledAtEveryStep: a captop that is killed at whatever moment leaves what the next one finishes, or takes back.
func TestKilledAtEveryStep(t *testing.T) {
	l, p := backedUp(t, 30, nodes...)
	r := l.restorer()
	for _, step := range []struct{ at, again string }{ // again: where it is killed once more, going on from there
		{"carry holding", "stop stopping"},
		{"carry carrying", ""},
		{"stop stopping", "save copying"},
		{"save copying", ""},
		{"replace replacing", ""},
		{"replace replacing", "replace replacing"},
		{"start starting", ""},
		{"start waiting", "start waiting"},
		{"settle waiting", ""},
		{"settle counting", "settle counting"},
	} {
		for _, after := range []string{"resume", "undo"} {
			t.Run(step.at+", then "+after, func(t *testing.T) {
				last := "settle counting" // behind it comes the end, and that might come before the kill
				standsAt := last
				if step.again != "" {
					standsAt = step.at // any further, and what comes again might have been done
				}
				kill(t, l, service.G2, step.at, standsAt)
				if _, err := r.Prepare(t.Context(), Request{Node: service.G2}); !errors.Is(err, ErrUnfinished) {
					t.Fatalf("the next one sees nothing: %v", err)
				}
				if _, err := r.awaitAnswer(t.Context(), service.G2); err != nil {
					t.Fatal(err) // what it had begun is under way
				}
				if step.again != "" {
					kill(t, l, after, map[string]string{"resume": step.again, "undo": "start"}[after], last)
				}
				eventually(t, "going on", func() error { // a start that was begun may come true at any moment
					err := r.byName(t.Context(), after)
					if after == "undo" && errors.Is(err, ErrUnfinished) {
						err = r.byName(t.Context(), "resume")
					}
					if err != nil && !errors.Is(err, ErrRefused) && !errors.Is(err, errStarted) {
						t.Fatal(err)
					}
					return err
				})
				pending, err := Pending(r.Store.Dir)
				if err != nil || pending != nil {
					t.Fatalf("left: %+v, %v", pending, err)
				}
				p.settled()
				p.holds(30, "new")
			})
		}
	}
	p.check()
}

// startsIn is a stack whose node is started by somebody else while its data is replaced, once. The replacing ends with meets.
type startsIn struct {
	local
	started *bool
	meets   error
}

func (s startsIn) Data(part stack.Part) (stack.Data, error) {
	data, err := s.local.Data(part)
	return startsInData{data, s, part}, err
}

type startsInData struct {
	stack.Data
	s    startsIn
	part stack.Part
}

func (d startsInData) Replace(ctx context.Context, from io.Reader) error {
	if !*d.s.started {
		*d.s.started = true
		if err := errors.Join(d.s.Do(ctx, d.part, stack.Start), d.s.meets); err != nil {
			return err
		}
	}
	return d.Data.Replace(ctx, from)
}

// TestStartedWhileReplaced: a node that somebody starts meanwhile may have loaded the old data, and is not believed, whether or
// not what it writes stopped the replacing. Going on replaces it again.
func TestStartedWhileReplaced(t *testing.T) {
	for name, meets := range map[string]error{"replaced under it": nil, "in the way": errors.New("directory not empty")} {
		t.Run(name, func(t *testing.T) { startedWhileReplaced(t, meets) })
	}
}

func startedWhileReplaced(t *testing.T, meets error) {
	l, p := backedUp(t, 20, nodes...)
	r := l.restorer()
	r.must(t, Request{Node: service.G2})
	p.settled()
	r.Stack = startsIn{l, new(bool), meets}
	if err := r.byName(t.Context(), "undo"); !errors.Is(err, errStarted) || !errors.Is(err, meets) && meets != nil {
		t.Fatalf("it ended with %v", err)
	}
	if _, err := r.PrepareUndo(t.Context()); !errors.Is(err, ErrUnfinished) || !strings.Contains(err.Error(), "--resume") || strings.Contains(err.Error(), "backup undo") {
		t.Errorf("the way on is %v", err) // an undo is not taken back
	}
	if err := r.byName(t.Context(), "resume"); err != nil {
		t.Fatal(err)
	}
	p.settled()
	p.holds(20, "new")
	p.check()
}

// TestRefusedAfterReplacing: who goes on after a captop that was killed while it replaced, and is refused at once, has not
// found that nothing was replaced: the safety copy is still needed.
func TestRefusedAfterReplacing(t *testing.T) {
	l := newLocal(t, "yes")
	p := newPair(t, l)
	p.seed(20, "v")
	l.take(t, service.G2)
	r := l.restorer()
	kill(t, l, service.G2, "replace replacing", "replace replacing")
	l.do(t, service.G2, stack.Start)
	l.loaded(t, service.G2)
	l.kill(service.G1)
	for range 2 { // the second reads what the first has noted
		if err := r.byName(t.Context(), "resume"); !errors.Is(err, ErrRefused) {
			t.Fatalf("without the other node it ended with %v", err)
		}
		if pending, err := Pending(r.Store.Dir); err != nil || pending == nil {
			t.Fatalf("it says that nothing was replaced: %v", err)
		}
	}
	l.do(t, service.G1, stack.Start)
	l.loaded(t, service.G1)
	eventually(t, "taking it back", func() error { return r.byName(t.Context(), "undo") })
	p.settled()
	p.holds(20, "v")
}

// kill lets a child do something until it says that it is at a step, and kills it. The child goes no further than standsAt.
func kill(t *testing.T, l local, what, at, standsAt string) {
	t.Helper()
	child := exec.Command(os.Args[0], what, standsAt)
	child.Env = append(os.Environ(), killedPart+"="+l.dir)
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	buffer := make([]byte, 4096)
	for !strings.Contains("\n"+said.String(), "\n"+at) {
		n, err := out.Read(buffer)
		if err != nil {
			break
		}
		said.Write(buffer[:n])
	}
	_ = child.Process.Kill()
	if err := child.Wait(); err == nil || strings.Contains(said.String(), "failed:") {
		t.Fatalf("the child ended by itself, with %v: %s", err, said.String())
	}
}
