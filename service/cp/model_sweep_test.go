package cp

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"captop/service/layout"
	"captop/service/node/nodetest"
)

// The phases of a modelled sweep, as trySweep has them.
const (
	sweepIdle uint8 = iota
	sweepNameHead
	sweepNameTail
	sweepScanHead
	sweepSettleHead // what the scan of the head found
	sweepScanTail
	sweepSettleTail // what the scan of the tail found
	sweepDeclare
	sweepAsked // settles, or names, on demand
)

// sweeps lets each sweeper take its next step on its own.
func (m *model) sweeps(w world) string {
	for i := range m.bounds.sweepers {
		who := sweepers + i
		next, label := m.sweepStep(w, who)
		if label == "" {
			continue
		}
		if wrong := m.visit(next, "", "sweeper", i, label); wrong != "" {
			return wrong
		}
	}
	return ""
}

func (m *model) sweepStep(w world, who int) (world, string) {
	a := w.actors[who]
	at := m.bounds.crash
	switch a.phase {
	case sweepIdle:
		switch data := m.datas[w.data[at]]; {
		case field(data.meta, "s") == w.runs()[at]:
		case m.bounds.asks && field(data.key, "s") != w.runs()[at]:
			w.actors[who].phase = sweepAsked
			return m.proceed(w, who, newSettle(at, w.runs())), "is asked"
		case !m.bounds.asks:
			w.actors[who].phase = sweepNameHead
			return m.proceed(w, who, newName(w.runs(), head, m.token(who))), "starts"
		}
	case sweepNameTail:
		if a.task == 0 {
			return m.proceed(w, who, newName(w.runs(), tail, m.token(who))), "goes on"
		}
	case sweepScanHead, sweepScanTail:
		scanned := head
		if a.phase == sweepScanTail {
			scanned = tail
		}
		if m.datas[w.data[scanned]].key == "" {
			w.actors[who].phase += 2
			return w, "finds nothing"
		}
		w.actors[who].phase++
		return m.proceed(w, who, newSettle(at, w.runs())), "finds the key"
	case sweepDeclare:
		w.actors[who] = actor{}
		return m.declare(w, at, m.known[a.bound]), "declares the node settled"
	}
	return w, ""
}

func newSettle(at side, runs [2]string) task {
	if at == tail {
		return newSettleTail(runs)
	}
	return newSettleHead(runs)
}

// token is what a sweeper names runs with. To nodes that are never emptied it makes no difference.
func (m *model) token(who int) string {
	if m.bounds.empties {
		return fmt.Sprint(who)
	}
	return "token"
}

// orderSweepers makes one of two worlds in which the sweepers have only changed their places.
func (w *world) orderSweepers() {
	const a, b = sweepers, sweepers + 1
	one, other := w.actors[a], w.actors[b]
	if cmp.Or(cmp.Compare(one.phase, other.phase), cmp.Compare(one.task, other.task)) <= 0 {
		return
	}
	w.actors[a], w.actors[b] = other, one
	for i, f := range w.flights {
		switch f.who {
		case a:
			w.flights[i].who = b
		case b:
			w.flights[i].who = a
		}
	}
	w.sortFlights()
}

// knownID gives the number by which a sweeper remembers the mark that the peer knows, in its bound.
func (m *model) knownID(mark string) uint8 {
	if !slices.Contains(m.known, mark) {
		m.known = append(m.known, mark)
	}
	return uint8(slices.Index(m.known, mark))
}

// declare is declare.lua.
func (m *model) declare(w world, at side, known string) world {
	data, run := m.datas[w.data[at]], w.runs()[at]
	if strings.HasPrefix(known, run+" ") && field(data.meta, layout.CPMark) != known {
		return w
	}
	lines := slices.DeleteFunc(slices.Collect(strings.Lines(data.meta)), func(line string) bool { return strings.HasPrefix(line, "s=") })
	lines = append(lines, "s="+run+"\n")
	slices.Sort(lines)
	data.meta = strings.Join(lines, "")
	w.data[at] = m.dataID(data)
	return w
}

// sweepAnswered moves a sweeper on; one that was not answered, or is told to do something else first, starts over.
func (m *model) sweepAnswered(w world, who int, t task) world {
	a := &w.actors[who]
	switch {
	case m.bounds.asks && t.need == namePeer:
		return m.proceed(w, who, newName(w.runs(), t.request().at.peer(), m.token(who)))
	case t.need != nothing || t.result == failed:
		*a = actor{}
		return w
	case t.result == settled && a.phase == sweepAsked:
		w = m.proceed(w, who, t)
		w.actors[who] = actor{}
		return w
	case t.result == settled:
		w = m.proceed(w, who, t) // a promise that was adopted is finished behind
		a = &w.actors[who]
		if a.phase++; a.phase == sweepScanHead {
			a.bound = m.knownID(field(m.datas[w.data[m.bounds.crash.peer()]].meta, layout.CPNamed))
		}
		return w
	}
	return m.proceed(w, who, t)
}

// sharedRedis gives every model of the test run the same server: they run one after the other.
func sharedRedis(t *testing.T) string {
	return nodetest.Start(t).Addr()
}

// long says that the walks may take minutes: all reads and sweepers at once.
func long() bool { return os.Getenv("CAPTOP_LONG") != "" }

// worlds are the bounds of the walks: small enough for every run of the tests, or large.
func worlds() []bounds {
	all := []bounds{{name: "no crash", writers: 2, reads: [2]int{1, 1}, resolves: 1, states: 1_000_000}}
	for at, name := range []string{head: "the head crashes", tail: "the tail crashes"} {
		b := bounds{name: name + ", is emptied", crashes: true, crash: side(at), empties: true, writers: 1, reads: [2]int{1, 0},
			resolves: 1, sweepers: 1, states: 3_000_000}
		all = append(all, b)
		b.name, b.asks = name+", is emptied, settled on demand", true
		all = append(all, b)
		b.name, b.asks, b.sweepers, b.resolves = name+", is emptied, two sweeps", false, 2, 0
		all = append(all, b)
		b = bounds{name: name, crashes: true, crash: side(at), writers: 2, resolves: 1, sweepers: 1, states: 3_000_000}
		if long() {
			b.reads, b.states = [2]int{1, 1}, 20_000_000 // some 200 bytes each
			all = append(all, b)
			continue
		}
		two := b
		two.name, two.writers, two.reads, two.sweepers = name+", two sweeps, one writer", 1, [2]int{1, 1}, 2
		all = append(all, two)
		b.name, b.reads = name+", read at the head", [2]int{1, 0}
		all = append(all, b)
		b.name, b.reads = name+", read at the tail", [2]int{0, 1}
		all = append(all, b)
	}
	return all
}

func TestModelFindsNoViolation(t *testing.T) {
	for _, b := range worlds() {
		t.Run(b.name, func(t *testing.T) {
			m := newModel(t, b, textOf)
			if wrong := m.walk(); wrong != "" {
				t.Fatal(wrong)
			}
			t.Logf("%d states, %d runs of scripts", len(m.queue), len(m.effects))
		})
	}
}

// breaks are lines of the protocol, each replaced by one that leaves something out. Not among them, for the model finds
// the protocol right without them: OVERTAKEN (whatever a newer version follows was fenced), the commit's UNSETTLED and
// the floor of a rejoining tail (a connection is bound to one run of a node, so that no late commit reaches the next).
// They stay as second lines of defence, for whoever changes the first.
var breaks = []struct{ name, script, old, new string }{
	{"the fence does not fence", "fence", "redis.call('HSET', KEYS[1], 's', ARGV[1], 'f', ARGV[2])", ""},
	{"the commit ignores the fence", "commit", "if n <= (tonumber(k[3]) or 0) then return {'FENCED'} end", ""},
	{"the commit ignores the head's run", "commit", "if redis.call('HGET', KEYS[2], 'e') ~= ARGV[5] then return {'EPOCH'} end", "-- ARGV[5]"},
	{"the tail believes itself after a crash", "read", "if k[1] ~= ARGV[1] and redis.call('HGET', KEYS[2], 's') ~= ARGV[1] then return {'UNSETTLED'} end", ""},
	{"the end names no transaction", "end", "if k[2] ~= ARGV[2] or k[3] ~= ARGV[3] then", "if not k[2] then"},
	{"the fence takes what is open for committed", "fence", "(tonumber(k[2]) or 0) >= n", "true"},
	{"the head reads what is dirty", "read", "if k[4] then return {'DIRTY'} end", ""},
	{"the head promises while dirty", "prepare", "if k[3] then", "if false then"},
	{"the rejoining tail does not take what is dirty", "promised", "if k[5] then", "if false then"},
	{"what a tail takes can be dropped", "end", "if ARGV[4] == 'drop' and k[5] then return {'TAKEN'} end", ""},
	{"what another tail takes can be forgotten", "end", "if ARGV[4] == 'forget' and k[5] ~= ARGV[5] then return {'TAKEN'} end", "-- ARGV[5]"},
	{"a late settling of the tail overwrites", "adopttail", "if k[1] == ARGV[1] or m[1] == ARGV[1] then return {'OK'} end", ""},
	{"the rejoining head counts from its own memory", "adopthead", "math.max(tonumber(k[2]) or 0, tonumber(ARGV[2]), tonumber(ARGV[5]))", "tonumber(k[2]) or 0"},
	{"the rejoining head keeps its own value", "adopthead", "redis.call('HSET', KEYS[1], 'n', ARGV[2], 't', ARGV[3], 'v', ARGV[4])", ""},
	{"an emptied head is believed", "adopthead", "if ARGV[6]:match('^%S+') == ARGV[1] and redis.call('HGET', KEYS[2], 'r') ~= ARGV[6] then return {'EMPTIED'} end", ""},
	{"an emptied tail is believed", "adopttail", "if ARGV[7]:match('^%S+') == ARGV[1] and m[3] ~= ARGV[7] then return {'EMPTIED'} end", ""},
	{"a late naming makes an emptied node whole", "alive", "mark = ARGV[1] .. ' ' .. ARGV[2]", "mark = ARGV[1] .. ' '"},
	{"the head tells a tail that it does not know", "promised", "if m[1] ~= ARGV[1] then return {'EPOCH'} end", ""},
	{"a late settling overwrites", "adopthead", "if k[1] == ARGV[1] or redis.call('HGET', KEYS[2], 's') == ARGV[1] then return {'OK'} end", ""},
}

// TestModelCatchesEveryBreak: a protocol with one line broken fails the model.
func TestModelCatchesEveryBreak(t *testing.T) {
	for _, broken := range breaks {
		t.Run(broken.name, func(t *testing.T) {
			if !strings.Contains(textOf(broken.script), broken.old) {
				t.Fatalf("%s.lua has no line %q", broken.script, broken.old)
			}
			mutant := func(name string) string {
				if name != broken.script {
					return textOf(name)
				}
				return strings.Replace(textOf(name), broken.old, broken.new, 1)
			}
			for _, b := range worlds() {
				m := newModel(t, b, mutant)
				if wrong := m.walk(); wrong != "" {
					t.Logf("caught with %q after %d states: %s", b.name, len(m.queue), firstLine(wrong))
					return
				}
			}
			t.Fatal("nothing noticed")
		})
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
