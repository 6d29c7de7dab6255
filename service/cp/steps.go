package cp

// This file is the protocol: what each piece of work asks of which node, and what it does with the answer. It does no
// I/O and knows no time, so that a test can walk every order in which the answers may come.

// side is one end of the chain.
type side int

const (
	head side = iota // db_g2: promises versions
	tail             // db_g1: decides
)

func (s side) peer() side { return 1 - s }

// step is the script that a task runs next.
type step int

const (
	ended step = iota
	prepare
	commit
	finish
	drop
	forget
	claim
	fence
	look
	readHead
	readTail
	promised
	adoptTail
	decided
	adoptHead
	seen
	alive
	epoch
)

// need is what stands in a task's way: the step that it is at is to be asked again when that is settled.
type need int

const (
	nothing    need = iota
	settleHead      // the head has not settled the key since it started
	settleTail      // the tail has not
	namePeer        // the node that was asked does not know its peer's run, or not any more
	restart         // the node was emptied under its present run; nothing helps but the next one
	recall          // the node has evicted keys under its present run, this one perhaps; nothing helps but the next one
	resolveKey      // another write is in flight: promise number dirty, by dirtyTx
)

// result is how a task ended, or, for a write that still has to tidy up, what its caller is told.
type result int

const (
	pending    result = iota
	applied           // write
	notApplied        // write
	unknown           // write
	found             // read
	absent            // read
	unread            // read: the nodes that could tell cannot be asked
	settled           // the settling, naming and resolving tasks
	open              // resolve with look: neither committed nor fenced
	failed            // the settling, naming and resolving tasks: a node did not answer
)

// task is one piece of work on one key, as far as it has come. It is a value: two equal tasks do the same from here.
type task struct {
	step   step
	need   need
	result result

	runs    [2]string // the runs of head and tail that it is bound to
	tx      string    // the write's transaction
	n       string    // the version at hand
	value   string
	floor   string
	promise bool   // n is only promised at the head, with settleTail
	named   side   // the node whose run is named
	count   string // of the runs that were named, for epoch
	mark    string // of the run of the node that is named or settled, as its peer knows it
	dirty   string // the promise in the way, with need resolveKey
	dirtyTx string
	viaTail bool // a read: the tail answered
}

// The tasks. Each is bound to one run of each node.

func newWrite(runs [2]string, tx, value string) task {
	return task{step: prepare, runs: runs, tx: tx, value: value}
}

func newRead(runs [2]string, at side) task {
	if at == head {
		return task{step: readHead, runs: runs}
	}
	return task{step: readTail, runs: runs}
}

// newResolve ends the promise (n, tx); with fencing also where it is not decided yet.
func newResolve(runs [2]string, n, tx string, fencing bool) task {
	if fencing {
		return task{step: claim, runs: runs, n: n, tx: tx}
	}
	return task{step: look, runs: runs, n: n, tx: tx}
}

// newSettleTail settles a key at a tail that has restarted, newSettleHead at a head that has.
func newSettleTail(runs [2]string) task { return task{step: promised, runs: runs} }
func newSettleHead(runs [2]string) task { return task{step: decided, runs: runs} }

// newName makes the run of one node the one that its peer works with. The token becomes part of the run's mark if it has none
// yet: no other task may have the same.
func newName(runs [2]string, named side, token string) task {
	return task{step: seen, runs: runs, named: named, tx: token}
}

// request is one script to run.
type request struct {
	at     side
	script string
	args   [7]string
	count  int // of args
}

func ask(at side, script string, args ...string) request {
	r := request{at: at, script: script, count: len(args)}
	copy(r.args[:], args)
	return r
}

// request gives what the task asks next.
func (t task) request() request {
	h, l := t.runs[head], t.runs[tail]
	switch t.step {
	case prepare:
		return ask(head, "prepare", h, t.tx, t.value)
	case commit:
		return ask(tail, "commit", l, t.n, t.tx, t.value, h)
	case finish:
		return ask(head, "end", h, t.n, t.tx, "finish", l)
	case drop:
		return ask(head, "end", h, t.n, t.tx, "drop", l)
	case forget:
		return ask(head, "end", h, t.n, t.tx, "forget", l)
	case claim:
		return ask(head, "promised", l)
	case fence:
		return ask(tail, "fence", l, t.n, "fence")
	case look:
		return ask(tail, "fence", l, t.n, "look")
	case readHead:
		return ask(head, "read", h)
	case readTail:
		return ask(tail, "read", l)
	case promised:
		return ask(head, "promised", l)
	case adoptTail:
		return ask(tail, "adopttail", l, h, t.n, t.tx, t.value, t.floor, t.mark)
	case decided:
		return ask(tail, "decided", l, h)
	case adoptHead:
		return ask(head, "adopthead", h, t.n, t.tx, t.value, t.floor, t.mark)
	case seen:
		return ask(t.named.peer(), "seen")
	case alive:
		return ask(t.named, "alive", t.runs[t.named], t.tx)
	case epoch:
		return ask(t.named.peer(), "epoch", t.count, t.runs[t.named], t.mark)
	}
	panic("cp: an ended task asks nothing")
}

// answered takes the reply to request.
func (t task) answered(reply []string) task {
	t.need = nothing
	switch reply[0] {
	case "UNSETTLED":
		return t.unsettled()
	case "EPOCH":
		if t.step == commit { // the head that promised it is gone, and its promises with it
			return t.end(notApplied, ended)
		}
		t.need = namePeer
		return t
	case "EMPTIED":
		t.need = restart
		return t
	case "EVICTED":
		if t.step == readHead { // the tail knows as well
			return t.askTail()
		}
		t.need = recall
		return t
	}
	switch t.step {
	case prepare, commit:
		return t.writeAnswered(reply)
	case finish, drop, forget:
		return t.tidied(reply[0] == "OK")
	case claim:
		if reply[1] != t.n || reply[2] != t.tx || reply[5] != "dirty" {
			return t.end(settled, ended) // somebody else has ended it
		}
		return t.end(pending, fence)
	case fence, look:
		return t.fenceAnswered(reply[0])
	case readHead, readTail:
		return t.readAnswered(reply)
	default:
		return t.settleAnswered(reply)
	}
}

func (t task) end(r result, next step) task {
	t.result, t.step = r, next
	return t
}

func (t task) askTail() task {
	t.viaTail = true
	return t.end(pending, readTail)
}

// unsettled says what to do about a node that does not believe its own key yet.
func (t task) unsettled() task {
	switch t.step {
	case finish, drop, forget: // settling the head ends every promise
		return t.tidied(false)
	case readHead: // the tail knows as well, without the settling
		return t.askTail()
	case prepare:
		t.need = settleHead
	default:
		t.need = settleTail
	}
	return t
}

func (t task) writeAnswered(reply []string) task {
	switch {
	case reply[0] == "DIRTY":
		t.need, t.dirty, t.dirtyTx = resolveKey, reply[1], reply[2]
		return t
	case t.step == prepare:
		t.n, t.dirty, t.dirtyTx = reply[1], "", ""
		return t.end(pending, commit)
	case reply[0] == "OK":
		return t.end(applied, finish)
	case reply[0] == "FENCED":
		return t.end(pending, forget)
	default: // OVERTAKEN: it was fenced before, or settled as committed when the tail came back; nobody knows now
		return t.end(unknown, ended)
	}
}

// tidied ends a task that has finished or dropped a promise. A write that could not be committed is surely not
// applied only once its promise is gone by its own hand: a tail that rejoins takes what is dirty as committed.
func (t task) tidied(done bool) task {
	switch {
	case t.result != pending:
		return t.end(t.result, ended)
	case done:
		return t.end(notApplied, ended)
	default:
		return t.end(unknown, ended)
	}
}

func (t task) fenceAnswered(reply string) task {
	switch reply {
	case "COMMITTED":
		return t.end(settled, finish)
	case "FENCED":
		return t.end(settled, forget)
	default:
		return t.end(open, ended)
	}
}

func (t task) readAnswered(reply []string) task {
	switch reply[0] {
	case "OK":
		t.n, t.value = reply[1], reply[2]
		return t.end(found, ended)
	case "NONE":
		return t.end(absent, ended)
	default: // DIRTY, at the head: only the tail knows
		return t.askTail()
	}
}

func (t task) settleAnswered(reply []string) task {
	switch t.step {
	case promised:
		t.n, t.tx, t.value, t.floor, t.promise, t.mark = reply[1], reply[2], reply[3], reply[4], reply[5] == "dirty", reply[6]
		return t.end(pending, adoptTail)
	case adoptTail:
		if reply[0] == "ADOPTED" && t.promise {
			return t.end(settled, finish)
		}
	case decided:
		t.n, t.tx, t.value, t.floor, t.mark = reply[1], reply[2], reply[3], reply[4], reply[5]
		return t.end(pending, adoptHead)
	case seen:
		if reply[1] == t.runs[t.named] {
			return t.end(settled, ended)
		}
		t.count = reply[2]
		return t.end(pending, alive)
	case alive:
		t.mark = reply[1]
		return t.end(pending, epoch)
	case epoch:
		if reply[0] == "MOVED" {
			return t.end(pending, seen)
		}
	}
	return t.end(settled, ended)
}

// lost takes a request that got no answer; sent says that it may have run, or may still.
func (t task) lost(sent bool) task {
	t.need = nothing
	switch t.step {
	case prepare: // the commit is never sent, so it never takes effect
		return t.end(notApplied, ended)
	case commit:
		if sent {
			return t.end(unknown, ended)
		}
		return t.end(pending, drop)
	case finish, drop, forget: // a resolver will
		return t.tidied(false)
	case readHead:
		return t.askTail()
	case readTail:
		return t.end(unread, ended)
	default:
		return t.end(failed, ended)
	}
}
