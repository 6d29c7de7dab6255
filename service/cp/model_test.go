package cp

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"captop/service/layout"
	"captop/service/node"
)

// The model walks every order in which the steps of a few tasks on one key can happen: two writers, a reader at each
// node, a resolver, sweepers, requests that arrive late or never, and one crash of one node that loses any number of
// its newest changes. It runs the very steps of steps.go and the very scripts of lua/ (on a real Redis, each pair of
// state and request once). Whoever reads after a write was acknowledged, or after another read, must see that version
// or a newer one; one version never has two values; and what was called not applied is never read.

// bounds say how much of everything the model has.
type bounds struct {
	name     string
	crash    side // which node crashes once
	crashes  bool
	empties  bool // and is emptied once while it runs
	writers  int
	reads    [2]int // successive reads of the reader at each node
	resolves int    // of the resolver
	sweepers int
	asks     bool // the sweepers settle the key as requests do, which name a run only when they are told to, and declare nothing
	states   int  // the walk fails if there are more: it must end
}

const (
	writers    = 2
	resolver   = 2 // index of the actor
	readers    = 3 // index of the first of two: at the head, at the tail
	sweepers   = 5 // index of the first
	maxActors  = 7
	maxFlights = 8
)

// actor is one task under way, with what its kind remembers.
type actor struct {
	task    uint16 // interned; 0 is none
	waiting bool   // for the answer to task's request
	phase   uint8  // of a sweeper
	rounds  uint8  // started so far
	bound   uint8  // of a reader: the oldest version that it may see
}

// flight is a request under way.
type flight struct {
	who  uint8
	task uint16
}

// world is one state of everything. It is comparable.
type world struct {
	data     [2]uint16 // interned contents of the nodes
	run      [2]uint8  // of the nodes, 1 or 2
	past     string    // contents that a crash may bring back
	crashed  bool
	emptied  bool
	actors   [maxActors]actor
	flights  [maxFlights]flight // sorted
	acked    uint8              // newest acknowledged version
	read     uint8              // newest version read
	denied   uint8              // writers told not_applied, a bit each
	returned uint8              // writers whose value was read
	byN      [6]uint8           // which writer's value was read as this version, plus one
}

// model interns and remembers what repeats.
type model struct {
	t       *testing.T
	bounds  bounds
	redis   *redis.Client
	scripts map[string]*redis.Script
	hot     *node.Batch
	tasks   []task
	taskIDs map[task]uint16
	datas   []contents
	dataIDs map[contents]uint16
	effects map[effectKey]effect
	known   []string // marks that a sweeper has read

	seed   maphash.Seed
	seen   map[uint64]bool
	queue  []world
	origin []int32 // of a state, in queue
	labels [][]any // what led to a state, printed only if it must be
	at     int32
}

// contents is what a node holds of the key: hashes as "field=value" lines, sorted.
type contents struct{ key, meta string }

type effectKey struct {
	data uint16
	task uint16
}

type effect struct {
	data  uint16
	reply []string
}

func newModel(t *testing.T, b bounds, texts func(name string) string) *model {
	m := &model{t: t, bounds: b, scripts: loadScripts(texts), hot: newHot(texts), taskIDs: map[task]uint16{}, dataIDs: map[contents]uint16{},
		effects: map[effectKey]effect{}, seed: maphash.MakeSeed(), seen: map[uint64]bool{}}
	m.redis = redis.NewClient(&redis.Options{Addr: sharedRedis(t), Protocol: 2})
	t.Cleanup(func() { m.redis.Close() })
	m.taskID(task{})
	return m
}

func (m *model) taskID(t task) uint16 {
	id, ok := m.taskIDs[t]
	if !ok {
		id = uint16(len(m.tasks))
		m.tasks, m.taskIDs[t] = append(m.tasks, t), id
	}
	return id
}

func (m *model) dataID(c contents) uint16 {
	id, ok := m.dataIDs[c]
	if !ok {
		id = uint16(len(m.datas))
		m.datas, m.dataIDs[c] = append(m.datas, c), id
	}
	return id
}

var runNames = [2][3]string{head: {"", "h1", "h2"}, tail: {"", "t1", "t2"}}

func runName(at side, run uint8) string { return runNames[at][run] }

func (w *world) runs() [2]string {
	return [2]string{head: runName(head, w.run[head]), tail: runName(tail, w.run[tail])}
}

// initial has two settled, empty nodes.
func (m *model) initial() world {
	w := world{run: [2]uint8{1, 1}, crashed: !m.bounds.crashes, emptied: !m.bounds.empties}
	w.data[head] = m.dataID(contents{meta: "c=1\ne=t1\ng=t1 first\nr=h1 first\ns=h1\n"})
	w.data[tail] = m.dataID(contents{meta: "c=1\ne=h1\ng=h1 first\nr=t1 first\ns=t1\n"})
	return w
}

// execute runs a task's request on contents, on a real Redis the first time.
func (m *model) execute(data, taskID uint16) effect {
	memo := effectKey{data, taskID}
	if e, ok := m.effects[memo]; ok {
		return e
	}
	ctx := context.Background()
	keys := scriptKeys("k")
	before := m.datas[data]
	pipe := m.redis.Pipeline()
	pipe.FlushAll(ctx)
	for i, text := range []string{before.key, before.meta} {
		for line := range strings.Lines(text) {
			field, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			pipe.HSet(ctx, keys[i], field, value)
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		m.t.Fatal(err)
	}
	r := m.tasks[taskID].request()
	raw, err := m.run(ctx, keys, r)
	if err != nil {
		m.t.Fatalf("%s on %+v: %v", r.script, before, err)
	}
	reply, err := words(raw)
	if err != nil {
		m.t.Fatal(err)
	}
	after := contents{key: m.dump(ctx, keys[0]), meta: m.dump(ctx, keys[1])}
	e := effect{data: m.dataID(after), reply: reply}
	m.effects[memo] = e
	return e
}

func (m *model) run(ctx context.Context, keys []string, r request) (any, error) {
	if !m.hot.Has(r.script) {
		return m.scripts[r.script].Run(ctx, m.redis, keys, r.argv()...).Result()
	}
	var answer [1]node.Answer[any]
	item := node.Item{Script: r.script, Keys: keys, Args: r.args[:r.count]}
	m.hot.Run(ctx, m.redis, []string{layout.CPBatches}, []string{"a batch"}, []node.Item{item}, answer[:])
	return answer[0].Value, answer[0].Err
}

// dump leaves out when a promise was made: that decides nothing.
func (m *model) dump(ctx context.Context, key string) string {
	var lines []string
	for field, value := range m.redis.HGetAll(ctx, key).Val() {
		if field != layout.CPPromisedAt {
			lines = append(lines, field+"="+value+"\n")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// field reads one field of a node's key or meta.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+"="); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// walk visits every state and gives the first violation, with the way to it, or "".
func (m *model) walk() string {
	m.visit(m.initial(), "", "start")
	for ; int(m.at) < len(m.queue); m.at++ {
		if len(m.queue) > m.bounds.states {
			m.t.Fatalf("more than %d states", m.bounds.states)
		}
		if wrong := m.successors(m.queue[m.at]); wrong != "" {
			return wrong + m.path()
		}
	}
	return ""
}

func (m *model) visit(w world, wrong string, label ...any) string {
	if wrong == "" && w.denied&w.returned != 0 {
		wrong = "a write that was called not applied was read"
	}
	if wrong != "" {
		return wrong + "\n  " + fmt.Sprintln(label...)
	}
	if m.bounds.sweepers == 2 && !m.bounds.empties { // else their tokens tell them apart
		w.orderSweepers()
	}
	digest := maphash.Comparable(m.seed, w)
	if !m.seen[digest] {
		m.seen[digest] = true
		m.queue, m.origin, m.labels = append(m.queue, w), append(m.origin, m.at), append(m.labels, label)
	}
	return ""
}

// path tells the way to the state at hand, newest step first.
func (m *model) path() string {
	var b strings.Builder
	for at := m.at; at > 0; at = m.origin[at] {
		fmt.Fprint(&b, "  ", fmt.Sprintln(m.labels[at]...))
	}
	return b.String()
}

func (m *model) successors(w world) string {
	for _, each := range []func(world) string{m.starts, m.answers, m.giveUps, m.empty, m.crash} {
		if wrong := each(w); wrong != "" {
			return wrong
		}
	}
	return ""
}

// begin gives an actor a task and sends its first request.
func (m *model) begin(w world, who int, t task) world {
	w.actors[who].rounds++
	return m.proceed(w, who, t)
}

// proceed sends the request of an actor's task, or lets its end take effect.
func (m *model) proceed(w world, who int, t task) world {
	a := &w.actors[who]
	for t.step != ended && t.need == nothing && t.runs[t.request().at] != w.runs()[t.request().at] {
		t = t.lost(false) // bound to a run that is over: the connection is refused
	}
	a.task, a.waiting = m.taskID(t), false
	switch {
	case t.step == ended:
		a.task = 0
	case who >= sweepers && t.need == nothing && (t.step == seen || t.step == decided):
		// They change nothing: that one arrives late is the same as that its sweeper was slow to send it.
		return m.sweepAnswered(w, who, t.answered(m.execute(w.data[t.request().at], a.task).reply))
	case t.need == nothing:
		a.waiting = t.result == pending // for the last step of what has its result, nobody waits
		w.send(flight{uint8(who), a.task})
		if !a.waiting {
			a.task = 0
		}
	}
	return w
}

func (w *world) send(f flight) {
	for i := range w.flights {
		if w.flights[i] == f {
			return
		}
		if w.flights[i].task == 0 {
			w.flights[i] = f
			w.sortFlights()
			return
		}
	}
	panic("more requests under way than the model has room for")
}

func (w *world) sortFlights() {
	slices.SortFunc(w.flights[:], func(a, b flight) int {
		if (a.task == 0) != (b.task == 0) {
			return cmp.Compare(b.task, a.task)
		}
		return cmp.Or(cmp.Compare(a.who, b.who), cmp.Compare(a.task, b.task))
	})
}

func (w *world) drop(i int) {
	w.flights[i] = flight{}
	w.sortFlights()
}

// starts lets idle actors begin.
func (m *model) starts(w world) string {
	for who := range m.bounds.writers {
		if w.actors[who].rounds == 0 {
			name := string("AB"[who])
			if wrong := m.visit(m.begin(w, who, newWrite(w.runs(), name, name)), "", "write", name, "starts"); wrong != "" {
				return wrong
			}
		}
		if wrong := m.retry(w, who); wrong != "" {
			return wrong
		}
	}
	key := m.datas[w.data[head]].key
	if r := w.actors[resolver]; int(r.rounds) < m.bounds.resolves && !r.waiting && field(key, "dn") != "" {
		t := newResolve(w.runs(), field(key, "dn"), field(key, "dt"), true)
		if wrong := m.visit(m.begin(w, resolver, t), "", "resolver starts on", t.n); wrong != "" {
			return wrong
		}
	}
	for i, at := range []side{head, tail} {
		a := w.actors[readers+i]
		if idle := a.task == 0; idle && int(a.rounds) < m.bounds.reads[at] {
			next := w
			next.actors[readers+i].bound = max(w.acked, w.read)
			if wrong := m.visit(m.begin(next, readers+i, newRead(w.runs(), at)), "", "read starts at", at); wrong != "" {
				return wrong
			}
		}
		if wrong := m.retry(w, readers+i); wrong != "" {
			return wrong
		}
	}
	return m.sweeps(w)
}

// retry asks again what waits for a settling that somebody else may have done.
func (m *model) retry(w world, who int) string {
	t := m.tasks[w.actors[who].task]
	if t.need == nothing || w.actors[who].waiting {
		return ""
	}
	t.need = nothing
	return m.visit(m.proceed(w, who, t), "", "asks again: actor", who)
}

// answers delivers each request under way.
func (m *model) answers(w world) string {
	for i, f := range w.flights {
		if f.task == 0 {
			break
		}
		r := m.tasks[f.task].request()
		e := m.execute(w.data[r.at], f.task)
		next := w
		next.drop(i)
		next.change(m, r.at, e.data)
		wrong := ""
		if a := w.actors[f.who]; a.waiting && a.task == f.task {
			next, wrong = m.deliver(next, int(f.who), m.tasks[f.task].answered(e.reply))
		}
		if wrong = m.visit(next, wrong, "actor", f.who, r.script, "at", r.at, "->", e.reply); wrong != "" {
			return wrong
		}
	}
	return ""
}

// change gives a node new contents, remembering the old ones while it may still crash.
func (w *world) change(m *model, at side, data uint16) {
	if w.data[at] == data {
		return
	}
	if !w.crashed && m.bounds.crash == at {
		if mark := fmt.Sprintf("%d,", w.data[at]); !strings.Contains(","+w.past, ","+mark) {
			w.past += mark
		}
	}
	w.data[at] = data
}

// deliver takes an answer, or the lack of one, to its actor.
func (m *model) deliver(w world, who int, t task) (world, string) {
	before := m.tasks[w.actors[who].task].result
	switch {
	case who < writers:
		if t.need == resolveKey { // the service waits and tries again; that is another write to the model
			t = t.lost(false)
		}
		w.noteWrite(m, who, before, t)
	case who == readers || who == readers+1:
		if t.step == ended {
			return w.noteRead(m, who, t)
		}
	case who >= sweepers:
		return m.sweepAnswered(w, who, t), ""
	}
	return m.proceed(w, who, t), ""
}

func (w *world) noteWrite(m *model, who int, before result, t task) {
	if before != pending {
		return
	}
	switch t.result {
	case applied:
		w.acked = max(w.acked, number(t.n))
	case notApplied:
		// A request to prepare that got no answer may leave a promise behind, which a tail that has lost its memory
		// takes as committed. That is the one case in which not_applied may be wrong; the README says so.
		if t.n != "" || !m.bounds.crashes || m.bounds.crash != tail {
			w.denied |= 1 << who
		}
	}
}

func number(n string) uint8 {
	v, _ := strconv.Atoi(n) // "" is none: 0
	return uint8(v)
}

func (w world) noteRead(m *model, who int, t task) (world, string) {
	a := &w.actors[who]
	a.task, a.waiting = 0, false
	if t.result != found && t.result != absent {
		return w, ""
	}
	n := number(t.n)
	if n < a.bound {
		return w, fmt.Sprintf("STALE READ: version %d after %d was known", n, a.bound)
	}
	a.bound = 0
	w.read = max(w.read, n)
	if t.result == absent {
		return w, ""
	}
	writer := uint8(strings.Index("AB", t.value))
	w.returned |= 1 << writer
	if w.byN[n] != 0 && w.byN[n] != writer+1 {
		return w, fmt.Sprintf("TWO VALUES of version %d", n)
	}
	w.byN[n] = writer + 1
	return w, ""
}

// giveUps lets a writer or the resolver stop waiting; its request may still arrive, or is known never to. For the
// others to give up is the same as never to be answered.
func (m *model) giveUps(w world) string {
	for who, a := range w.actors[:resolver+1] {
		if !a.waiting {
			continue
		}
		t := m.tasks[a.task]
		next, wrong := m.deliver(w, who, t.lost(true))
		if wrong := m.visit(next, wrong, "waits no longer: actor", who); wrong != "" {
			return wrong
		}
		for i, f := range w.flights {
			// Elsewhere a request that never arrives is the same as one that was refused.
			if f == (flight{uint8(who), a.task}) && t.lost(true) != t.lost(false) {
				refused := w
				refused.drop(i)
				next, wrong := m.deliver(refused, who, t.lost(false))
				if wrong := m.visit(next, wrong, "is refused: actor", who); wrong != "" {
					return wrong
				}
			}
		}
	}
	return ""
}

// empty takes everything from the node that crashes, before or after that: it runs on, and what is under way to it arrives.
func (m *model) empty(w world) string {
	if w.emptied {
		return ""
	}
	next := w
	next.emptied = true
	next.change(m, m.bounds.crash, m.dataID(contents{}))
	return m.visit(next, "", "EMPTIES", m.bounds.crash)
}

// crash restarts the node that crashes, with its present contents or any earlier ones. What was under way to it is lost.
func (m *model) crash(w world) string {
	if w.crashed {
		return ""
	}
	at := m.bounds.crash
	options := []uint16{w.data[at]}
	for id := range strings.SplitSeq(strings.TrimSuffix(w.past, ","), ",") {
		if id != "" {
			data, err := strconv.Atoi(id)
			if err != nil {
				m.t.Fatal(err)
			}
			options = append(options, uint16(data))
		}
	}
	for _, data := range options {
		next := w
		next.crashed, next.past = true, ""
		next.data[at], next.run[at] = data, 2
		for i := len(next.flights) - 1; i >= 0; i-- {
			if f := next.flights[i]; f.task != 0 && m.tasks[f.task].request().at == at {
				next.drop(i)
			}
		}
		for who := sweepers; who < maxActors; who++ {
			next.actors[who] = actor{} // bound to the run that is over
		}
		if wrong := m.visit(next, "", "CRASH of", at, "back to contents", data); wrong != "" {
			return wrong
		}
	}
	return ""
}
