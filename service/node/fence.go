package node

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service/layout"
)

// A group may have two primaries for a while: one that hangs or is cut off is replaced, and goes on when it is back,
// until somebody tells it. So what a primary answers counts only once a majority of its group is behind it: after the
// answer it gets a small write, which so many replicas have to acknowledge. A replica that follows another primary
// acknowledges nothing to the former one. And before a new primary is asked anything, a majority must follow it: from
// then on no answer of a former primary counts, and all that did count were given earlier. What the new primary lacks
// of that is a restart with losses, which the modes know how to settle with the peer.
//
// The end of a reign, also one that is followed by another of the same process, shows in the id of its replication.

// fenceFor is how long the key of the fence outlives its last use.
const fenceFor = 24 * time.Hour

// fence confirms answers, for many callers at once: a round confirms all that was answered before it began.
type fence struct {
	inc *Incarnation

	mu      sync.Mutex
	next    *round // for who comes while one is under way
	running bool
}

type round struct {
	done chan struct{}
	err  error
}

// pass waits until a majority has confirmed what was answered up to now.
func (f *fence) pass(ctx context.Context) error {
	f.mu.Lock()
	if f.next == nil {
		f.next = &round{done: make(chan struct{})}
	}
	mine := f.next
	if !f.running {
		f.running = true
		go f.run()
	}
	f.mu.Unlock()
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return f.unconfirmed(ctx.Err())
	}
}

func (f *fence) run() {
	for {
		f.mu.Lock()
		r := f.next
		f.next = nil
		f.running = r != nil
		f.mu.Unlock()
		if r == nil {
			return
		}
		r.err = f.confirm()
		close(r.done)
	}
}

// unconfirmed hides the cause from errors.As: an error reply to the fence says nothing about what came before it.
func (f *fence) unconfirmed(cause error) error {
	return fmt.Errorf("%s: %w: %v", f.inc.node.config.Name, ErrUnconfirmed, cause)
}

// confirm finds a key that can be written: of a cluster's member, in a slot that is not on its way elsewhere.
func (f *fence) confirm() error {
	member := f.inc.node.place.member
	if member == nil {
		_, err := f.write(layout.Fence)
		return err
	}
	err := f.unconfirmed(errNoOwner)
	for _, bucket := range member.bucketsOf(f.inc.addr) {
		var elsewhere bool
		if elsewhere, err = f.write(layout.FenceOf(bucket)); !elsewhere {
			break
		}
		member.suspect()
	}
	return err
}

// write writes and waits for the replicas, and then looks whether the reign that the incarnation is bound to lasts.
func (f *fence) write(key string) (elsewhere bool, err error) {
	patience := f.inc.node.config.Timeout
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	at := f.inc.node.place
	var written *redis.BoolCmd
	var created *redis.StatusCmd
	var waited *redis.Cmd
	var info *redis.StringCmd
	_, err = f.inc.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		// One of the two writes; the first one also where no memory is left.
		written = pipe.Expire(ctx, key, fenceFor)
		created = pipe.SetArgs(ctx, key, "", redis.SetArgs{Mode: "NX", TTL: fenceFor})
		waited = pipe.Do(ctx, "WAIT", at.quorum(), (patience * 3 / 4).Milliseconds())
		info = pipe.Info(ctx, "replication")
		return nil
	})
	if info.Err() != nil {
		return false, f.unconfirmed(err)
	}
	reign, err := readReign(info.Val(), at.replicas)
	if err == nil && reign != f.inc.reign {
		err = ErrRestarted
	}
	if err != nil {
		f.inc.over.Store(true)
		return false, f.unconfirmed(err)
	}
	if !written.Val() && created.Err() != nil {
		for _, prefix := range []string{"MOVED", "ASK", "TRYAGAIN"} {
			elsewhere = elsewhere || redis.HasErrorPrefix(created.Err(), prefix)
		}
		return elsewhere, f.unconfirmed(fmt.Errorf("writing the fence: %v, %v", written.Err(), created.Err()))
	}
	acks, err := waited.Int64()
	switch {
	case err != nil:
		return false, f.unconfirmed(err)
	case acks < int64(at.quorum()):
		return false, f.unconfirmed(fmt.Errorf("%d of %d replicas answer, and a majority needs %d", acks, at.replicas, at.quorum()))
	}
	return false, nil
}

// readReign reads the section replication of INFO: under which id a primary feeds its replicas. More of them than its
// URL says, and a majority could be missed.
func readReign(info string, replicas int) (string, error) {
	fields := map[string]string{}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields[name] = value
	}
	attached, err := strconv.Atoi(fields["connected_slaves"])
	switch {
	case fields["role"] != "master" || err != nil || fields["master_replid"] == "":
		return "", fmt.Errorf("its role is %q, not that of a primary", fields["role"])
	case attached > replicas:
		return "", fmt.Errorf("replicas attached to it: %d, more than the %d that its URL says", attached, replicas)
	}
	return fields["master_replid"], nil
}
