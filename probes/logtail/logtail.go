// Package logtail follows the services' log files, as tail -F does, and makes events of their lines.
package logtail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"captop/probes"
)

const (
	look    = 500 * time.Millisecond // between two looks at the files
	reread  = 64 << 10               // bytes before the end that are read at first: what happened just now
	longest = 64 << 10               // bytes of a line; what is longer comes in parts
	pause   = 10 * time.Second       // between two lines that say the same: the ones between are counted
)

// Follow reads the files until ctx ends and then closes the channel. A file that is replaced (rotation) or cut to nothing
// is read from its beginning; one that is not there is waited for, and said to be missing once. Lines come in the order
// of each file. Successful reads and writes are left out: there are as many as requests. Of lines that say the same, one
// in ten seconds is given, with the number of those between.
func Follow(ctx context.Context, paths []string, now func() time.Time) <-chan probes.Event {
	events := make(chan probes.Event)
	go func() {
		defer close(events)
		tails := make([]*tail, len(paths))
		for i, path := range paths {
			tails[i] = &tail{path: path}
			defer tails[i].close()
		}
		send := func(e probes.Event) {
			select {
			case events <- e:
			case <-ctx.Done():
			}
		}
		ticker := time.NewTicker(look)
		defer ticker.Stop()
		for {
			for _, t := range tails {
				t.read(ctx, now, send)
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	return events
}

// tail is one file and how far it was read.
type tail struct {
	path    string
	file    *os.File
	offset  int64
	partial []byte // a line whose end has not come yet
	skip    bool   // the first line begins before what was read
	known   bool   // the file was opened before: a new one is read from its beginning
	failed  string // what was said last about why it cannot be read
	said    map[string]saying
}

// saying is when something was said last, and how often it was held back since.
type saying struct {
	at   time.Time
	held int
}

// same is what two lines have in common that say the same: the message, and of whom it tells.
func same(text string) string {
	facts := strings.Split(text, "\n")
	out := facts[0]
	for _, fact := range facts[1:] {
		if name, _, _ := strings.Cut(fact, "="); slices.Contains([]string{"code", "mode", "node", "from", "to"}, name) {
			out += " " + fact
		}
	}
	return out
}

// fresh says whether an event is to be given, and adds how many like it were not.
func (t *tail) fresh(e probes.Event, now time.Time) (probes.Event, bool) {
	what := same(e.Text)
	last, known := t.said[what]
	if known && now.Sub(last.at) < pause {
		last.held++
		t.said[what] = last
		return e, false
	}
	if len(t.said) > 1000 || t.said == nil { // lines that never say the same
		t.said = map[string]saying{}
	}
	t.said[what] = saying{at: now}
	if last.held > 0 {
		e.Text += fmt.Sprintf("\nand %d more like it since %s", last.held, last.at.UTC().Format("15:04:05 UTC"))
	}
	return e, true
}

func (t *tail) close() {
	if t.file != nil {
		_ = t.file.Close() // it was only read
		t.file = nil
	}
}

// read takes what is new, of the file that was open and then of the one that has taken its place.
func (t *tail) read(ctx context.Context, now func() time.Time, send func(probes.Event)) {
	err := t.open()
	if err == nil {
		err = t.drain(ctx, now, send)
	}
	if err == nil && t.replaced() {
		err = t.drain(ctx, now, send) // what was written last before it was replaced
		t.close()
		t.partial = nil
		if err == nil {
			err = t.open()
		}
		if err == nil {
			err = t.drain(ctx, now, send)
		}
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != t.failed && err != nil {
		send(probes.Event{At: now(), Severity: probes.Unknown, Kind: kind, Target: filepath.Base(t.path), Text: "the log cannot be followed: " + text})
	}
	t.failed = text
}

// open opens the file if it is not open: the first one near its end, later ones at their beginning.
func (t *tail) open() error {
	if t.file != nil {
		return nil
	}
	file, err := os.Open(t.path)
	if err != nil {
		t.known = t.known || errors.Is(err, os.ErrNotExist)
		return fmt.Errorf("opening the log: %w", err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		return errors.Join(fmt.Errorf("looking at the log %s: %w", t.path, err), file.Close())
	}
	t.file, t.offset, t.skip = file, 0, false
	if !t.known && info.Size() > reread {
		t.offset, t.skip = info.Size()-reread, true
	}
	t.known = true
	return nil
}

// replaced says whether another file has the name by now.
func (t *tail) replaced() bool {
	named, err := os.Stat(t.path)
	if err != nil {
		return false // on its way: the next look finds it
	}
	open, err := t.file.Stat()
	return err == nil && !os.SameFile(named, open)
}

// drain reads to the end of the open file. One that is shorter than what was read of it was cut, and is read anew.
func (t *tail) drain(ctx context.Context, now func() time.Time, send func(probes.Event)) error {
	info, err := t.file.Stat()
	if err != nil {
		return fmt.Errorf("looking at the log %s: %w", t.path, err)
	}
	if info.Size() < t.offset {
		t.offset, t.partial, t.skip = 0, nil, false
	}
	buffer := make([]byte, reread)
	for ctx.Err() == nil {
		n, err := t.file.ReadAt(buffer, t.offset)
		t.offset += int64(n)
		t.take(buffer[:n], now, send)
		if errors.Is(err, io.EOF) || n == 0 && err == nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the log %s: %w", t.path, err)
		}
	}
	return nil
}

// take divides what was read into lines.
func (t *tail) take(data []byte, now func() time.Time, send func(probes.Event)) {
	t.partial = append(t.partial, data...)
	for {
		end := bytes.IndexByte(t.partial, '\n')
		if end < 0 && len(t.partial) < longest {
			return
		}
		line, rest := t.partial, []byte(nil)
		if end >= 0 {
			line, rest = t.partial[:end], t.partial[end+1:]
		}
		if event, ok := parse(string(line), filepath.Base(t.path), now()); ok && !t.skip {
			if event, ok = t.fresh(event, now()); ok {
				send(event)
			}
		}
		t.partial, t.skip = rest, false
	}
}

// kind is that of all events from here.
const kind = "log"

// service is the name of a log, which often is that of its service.
func service(file string) string { return strings.TrimSuffix(file, filepath.Ext(file)) }
