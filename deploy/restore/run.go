package restore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"captop/deploy/dbnode"
	"captop/deploy/stack"
	"captop/service"
	"captop/service/ap"
)

// holdFor is how long a node holds writes before it goes on by itself, should captop be killed meanwhile.
const holdFor = time.Minute

// stopWithin bounds how long a node may take to be gone.
const stopWithin = time.Minute

// lookEvery is how often a node is looked at that is waited for.
const lookEvery = 100 * time.Millisecond

// Run does what was planned, after another look at the nodes: what has changed since the plan was shown is ErrRefused, and
// nothing is done. Where it fails before anything was replaced, what was stopped is started again and the
// record says Aborted; later, the record waits for Resume or for the undoing.
func (r *Restorer) Run(ctx context.Context, plan Plan) error {
	unlock, err := r.Store.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	if plan.Kind == Restore {
		if err := r.noneIsPending(); err != nil {
			return err
		}
	}
	if err := r.unchanged(ctx, plan.Record); err != nil {
		return err
	}
	return r.run(ctx, plan.Record)
}

// Resume goes on with what a captop that was killed has left, from a point that is safe to repeat.
func (r *Restorer) Resume(ctx context.Context) (*Record, error) {
	unlock, err := r.Store.Lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	record, err := Pending(r.Store.Dir)
	if err != nil || record == nil {
		return record, err
	}
	record.resumed = true
	for _, n := range record.Nodes {
		n.Replaced = n.Replaced || record.Step == Replace
	}
	if slices.Index(steps, record.Step) <= slices.Index(steps, Replace) {
		record.Step = Carry // a node that somebody has started meanwhile has taken writes
	}
	return record, r.run(ctx, record)
}

// run takes a record from its step to the end.
func (r *Restorer) run(ctx context.Context, record *Record) error {
	do := map[Step]func(context.Context, *Record, *Node) error{Carry: r.carry, Stop: r.stop, Save: r.saveCopy, Replace: r.replace,
		Start: r.start, Compare: r.compare, Settle: r.settle}
	for _, step := range steps[slices.Index(steps, record.Step):] {
		record.Step, record.Error = step, ""
		if err := record.save(r.Store.Dir); err != nil {
			return err
		}
		for _, n := range record.Nodes {
			err := do[step](ctx, record, n)
			if err == nil {
				continue
			}
			return r.failed(record, step, fmt.Errorf("%s of %s: %w", record.Kind, n.Name, err))
		}
	}
	if record.Kind == Undo {
		if err := r.markUndone(record.Of); err != nil {
			return err
		}
	}
	record.Step, record.Ended = Done, r.Now().UTC()
	return record.save(r.Store.Dir)
}

// failed notes why a step failed. What was only stopped is started again.
func (r *Restorer) failed(record *Record, step Step, cause error) error {
	record.Error = cause.Error()
	if record.Kind == Restore && slices.Index(steps, step) < slices.Index(steps, Replace) && !slices.ContainsFunc(record.Nodes, func(n *Node) bool { return n.Replaced }) {
		ctx, cancel := context.WithTimeout(context.Background(), r.Patience)
		defer cancel()
		for _, n := range record.Nodes {
			if n.RunBefore == "" {
				continue // it did not run before
			}
			if err := r.startPart(ctx, n.Name); err != nil {
				return errors.Join(cause, fmt.Errorf("starting %s again: %w", n.Name, err), record.save(r.Store.Dir))
			}
		}
		record.Step, record.Ended = Aborted, r.Now().UTC()
	}
	return errors.Join(cause, record.save(r.Store.Dir))
}

func (r *Restorer) markUndone(id string) error {
	records, err := Records(r.Store.Dir)
	if err != nil {
		return err
	}
	for _, one := range records {
		if one.ID == id {
			one.Step, one.Ended = Undone, r.Now().UTC()
			return one.save(r.Store.Dir)
		}
	}
	return nil
}

// awaitAnswer waits until a node answers, saves nothing and loads nothing: what a killed captop has begun may still be
// under way. false: it has stopped.
func (r *Restorer) awaitAnswer(ctx context.Context, name string) (running bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	for {
		standing, err := dbnode.AskAt(ctx, r.URLs[name])
		if err == nil && !standing.Saving && !standing.Loading {
			return true, nil
		}
		if part, lost := r.part(ctx, name); lost == nil && part.State == stack.Stopped {
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, errors.Join(fmt.Errorf("%w: %s does not answer, or saves, or loads", ErrRefused, name), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// carry carries. A node that a killed captop had told to stop may do so in the middle of that: then it is one that has
// stopped, as it would have been a moment later.
func (r *Restorer) carry(ctx context.Context, record *Record, n *Node) error {
	err := r.carryOver(ctx, record, n)
	if err == nil || !record.resumed || errors.Is(err, ErrRefused) {
		return err
	}
	if running, lost := r.awaitAnswer(ctx, n.Name); lost != nil || running {
		return err
	}
	return nil
}

// carryOver holds writes at a node that runs and brings to the other one what AP has acknowledged here alone: it would be
// gone with the data. Where both nodes go back, there is no such thing.
func (r *Restorer) carryOver(ctx context.Context, record *Record, n *Node) error {
	part, err := r.part(ctx, n.Name)
	if err != nil || record.Both || part.State == stack.Stopped {
		return err
	}
	peer := service.Peer(n.Name)
	if why := r.checkPeer(ctx, peer); why != "" {
		return fmt.Errorf("%w: %s", ErrRefused, why)
	}
	if running, err := r.awaitAnswer(ctx, n.Name); err != nil || !running {
		return err
	}
	from, err := dbnode.Connect(r.URLs[n.Name])
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := dbnode.Connect(r.URLs[peer])
	if err != nil {
		return err
	}
	defer to.Close()
	r.say(Carry, "holding writes at %s", n.Name)
	if err := from.Do(ctx, "CLIENT", "PAUSE", holdFor.Milliseconds(), "WRITE").Err(); err != nil {
		return fmt.Errorf("holding writes (CLIENT PAUSE; Redis 6.2, ACL right +client|pause): %w", err)
	}
	r.say(Carry, "carrying to %s what app_ap has not brought there yet", peer)
	bounded, cancel := context.WithTimeout(ctx, holdFor/2)
	defer cancel()
	if n.Carried, err = ap.Carry(bounded, from, to); err != nil {
		return errors.Join(err, from.Do(context.WithoutCancel(ctx), "CLIENT", "UNPAUSE").Err())
	}
	return nil
}

func (r *Restorer) stop(ctx context.Context, _ *Record, n *Node) error {
	part, err := r.part(ctx, n.Name)
	if err != nil || part.State == stack.Stopped {
		return err
	}
	r.say(Stop, "stopping %s", n.Name)
	if err := r.Stack.Do(ctx, part, stack.Stop); err != nil {
		return fmt.Errorf("stopping it: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	return await(ctx, "it has not stopped", func() (bool, error) {
		part, err := r.part(ctx, n.Name)
		return part.State == stack.Stopped, err
	})
}

// await looks until a thing is so.
func await(ctx context.Context, waiting string, look func() (bool, error)) error {
	for {
		so, err := look()
		if so || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", waiting, context.Cause(ctx))
		case <-time.After(lookEvery):
		}
	}
}

func (record *Record) safety(n *Node) string { return n.Name + "-" + record.ID + safetyEnding }

// saveCopy makes the safety copy, once.
func (r *Restorer) saveCopy(ctx context.Context, record *Record, n *Node) error {
	if record.Kind == Undo || n.Safety != "" {
		return nil
	}
	data, err := r.data(ctx, n.Name)
	if err != nil {
		return err
	}
	name := record.safety(n)
	partial := filepath.Join(r.Store.Dir, name+".partial")
	file, err := os.OpenFile(partial, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("making the safety copy: %w", err)
	}
	r.say(Save, "copying the data folder of %s", n.Name)
	hash := sha256.New()
	out := &countingWriter{to: io.MultiWriter(file, hash), tell: func(done int64) {
		r.Tell(Progress{Step: Save, Text: "copying the data folder of " + n.Name, Done: done})
	}}
	err = data.Save(ctx, out)
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(partial, filepath.Join(r.Store.Dir, name))
	}
	if err != nil {
		return fmt.Errorf("making the safety copy: %w", errors.Join(err, os.Remove(partial)))
	}
	n.Safety, n.SafetySHA256, n.SafetyBytes = name, hex.EncodeToString(hash.Sum(nil)), out.done
	return errors.Join(syncDir(r.Store.Dir), record.save(r.Store.Dir))
}

type countingWriter struct {
	to   io.Writer
	done int64
	tell func(int64)
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.done += int64(n)
	c.tell(c.done)
	return n, err
}

func (r *Restorer) data(ctx context.Context, name string) (stack.Data, error) {
	part, err := r.part(ctx, name)
	if err != nil {
		return nil, err
	}
	data, err := r.Stack.Data(part)
	if err != nil {
		return nil, fmt.Errorf("reaching the data of %s: %w", name, err)
	}
	return data, nil
}

// errStarted says that going on is needed.
var errStarted = errors.New("it was started while its data was replaced, and may have loaded what lay there before")

// replace makes the source the node's data. The stream fails, and with it the replacing, where it is not what was verified.
func (r *Restorer) replace(ctx context.Context, record *Record, n *Node) error {
	if record.Kind == Undo && n.Source == "" {
		return nil
	}
	data, err := r.data(ctx, n.Name)
	if err != nil {
		return err
	}
	total, err := r.sizeOf(n)
	if err != nil {
		return err
	}
	var done int64
	text := "replacing the data of " + n.Name
	r.Tell(Progress{Step: Replace, Text: text, Total: total})
	wrote := func(count int64) {
		done += count
		r.Tell(Progress{Step: Replace, Text: text, Done: done, Total: total})
	}
	n.Replaced = true
	out, in := io.Pipe()
	written := make(chan struct{})
	go func() {
		defer close(written)
		in.CloseWithError(r.stream(in, record, n, wrote))
	}()
	err = data.Replace(ctx, out)
	_ = out.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // ends the writer where nobody reads on
	<-written
	if err != nil {
		err = fmt.Errorf("replacing its data: %w", err)
	}
	part, unknown := r.part(ctx, n.Name)
	if unknown != nil || part.State == stack.Stopped {
		return errors.Join(err, unknown)
	}
	if err != nil { // what it writes there may be why
		return fmt.Errorf("%w: %w", errStarted, err)
	}
	return errStarted
}

func (r *Restorer) sizeOf(n *Node) (int64, error) {
	if n.Source == "" {
		return 0, nil
	}
	info, err := os.Stat(filepath.Join(r.Store.Dir, n.Source))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// stream writes the new data folder as a tar stream.
func (r *Restorer) stream(to io.Writer, record *Record, n *Node, wrote func(int64)) error {
	var from *source
	if n.Source != "" {
		from = &source{path: filepath.Join(r.Store.Dir, n.Source), sha256: n.SHA256, at: n.TakenAt}
	}
	if record.Kind == Undo {
		file, err := os.Open(from.path)
		if err != nil {
			return err
		}
		defer file.Close()
		return from.stream(to, file, wrote)
	}
	safety, err := os.Open(filepath.Join(r.Store.Dir, n.Safety))
	if err != nil {
		return err
	}
	defer safety.Close()
	return n.Files.compose(to, safety, from, wrote)
}
