// Package local acts on Redis servers that are processes of this host: it finds them through what they say of themselves,
// stops them in their own orderly way, and starts them as they were.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/deploy/stack"
)

// Bounds of time.
const (
	askTime  = 2 * time.Second
	stopTime = time.Minute // a server may have to save first
	loadTime = time.Minute // until one that was started answers, if only that it is loading
)

// Stack is the nodes that run on this host. Its methods are safe for concurrent use.
type Stack struct {
	urls map[string]string // by node
	dir  string            // where is noted how each was started, for when it is gone
}

var _ stack.Stack = (*Stack)(nil)

// Open prepares for the nodes at these Redis URLs. Nobody is asked yet.
func Open(urls map[string]string, dir string) (*Stack, error) {
	for name, url := range urls {
		if _, err := redis.ParseURL(url); err != nil {
			return nil, fmt.Errorf("the URL of %s: %w", name, err)
		}
	}
	return &Stack{urls: urls, dir: dir}, nil
}

// About says what this is.
func (s *Stack) About() string { return "processes of this host" }

// Parts are the nodes that run on this host, or did when captop last saw them. A node that answers from elsewhere, such
// as out of a container, is none.
func (s *Stack) Parts(ctx context.Context) ([]stack.Part, error) {
	var parts []stack.Part
	for _, name := range slices.Sorted(maps.Keys(s.urls)) {
		known, err := s.look(ctx, name)
		if errors.Is(err, stack.ErrNoPart) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("looking for the process of %s: %w", name, err)
		}
		part := stack.Part{Service: name, Instance: name, State: stack.Stopped, Since: known.Seen}
		if p, err := readProcess(known.PID); err == nil && p.started == known.Started {
			part.State, part.Since = stack.Running, p.since
			if p.stopped {
				part.State = stack.Paused
			}
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// look finds how a node runs: as it says itself, or as it was when it last answered. ErrNoPart if it is none of this host.
func (s *Stack) look(ctx context.Context, name string) (known, error) {
	note, noted := s.recall(name)
	if noted {
		if p, err := readProcess(note.PID); err == nil && p.started == note.Started && p.stopped {
			return note, nil // it cannot answer
		}
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	client := s.client(name)
	defer client.Close()
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		if noted {
			return note, nil
		}
		return known{}, stack.ErrNoPart
	}
	said := fields(info)
	pid, _ := strconv.Atoi(said["process_id"])
	p, err := readProcess(pid)
	uptime, _ := strconv.Atoi(said["uptime_in_seconds"])
	age := time.Since(p.since) - time.Duration(uptime)*time.Second
	if err != nil || age.Abs() > 3*time.Second || !strings.Contains(filepath.Base(p.exe), filepath.Base(said["executable"])) && !strings.Contains(p.exe, "redis") {
		return known{}, stack.ErrNoPart // that process id is another host's
	}
	if noted && note.PID == pid && note.Started == p.started {
		return note, nil
	}
	note, err = s.study(ctx, client, name, p, said)
	if err != nil {
		return note, err
	}
	return note, s.note(name, note)
}

func (s *Stack) client(name string) *redis.Client {
	options, err := redis.ParseURL(s.urls[name])
	if err != nil { // Open has read it
		options = &redis.Options{}
	}
	options.Protocol, options.MaxRetries, options.DialerRetries, options.DisableIdentity, options.ContextTimeoutEnabled = 2, -1, 1, true, true
	return redis.NewClient(options)
}

func fields(info string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(info) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			found[key] = value
		}
	}
	return found
}

// port is the one at which captop reaches a node.
func (s *Stack) port(name string) string {
	options, err := redis.ParseURL(s.urls[name])
	if err != nil {
		return ""
	}
	return options.Addr[strings.LastIndex(options.Addr, ":")+1:]
}

// Command is what a person would type.
func (s *Stack) Command(part stack.Part, verb stack.Verb) (string, error) {
	note, ok := s.recall(part.Service)
	if !ok {
		return "", fmt.Errorf("%s: %w", part.Service, stack.ErrNoPart)
	}
	stop, start := "redis-cli -p "+s.port(part.Service)+" shutdown", "setsid "+strings.Join(note.Start, " ")
	switch verb {
	case stack.Stop, stack.Start, stack.Restart:
		if note.Unit != "" {
			return "", fmt.Errorf(`systemd keeps %s: give --act "%s %s=systemctl %s %s": %w`, part.Service, verb, part.Service, verb, note.Unit, stack.ErrUnsupported)
		}
	}
	switch verb {
	case stack.Stop:
		return stop, nil
	case stack.Start:
		return start, nil
	case stack.Restart:
		return stop + " && " + start, nil
	case stack.Pause:
		return fmt.Sprintf("kill -STOP %d", note.PID), nil
	case stack.Unpause:
		return fmt.Sprintf("kill -CONT %d", note.PID), nil
	}
	return "", fmt.Errorf("between processes of one host there is no link to %s: %w", verb, stack.ErrUnsupported)
}

// Do does it to the process.
func (s *Stack) Do(ctx context.Context, part stack.Part, verb stack.Verb) error {
	if _, err := s.Command(part, verb); err != nil {
		return err
	}
	note, err := s.look(ctx, part.Service)
	if err != nil {
		return fmt.Errorf("%s: %w", part.Service, err)
	}
	switch verb {
	case stack.Pause:
		err = s.signal(note, syscall.SIGSTOP)
	case stack.Unpause:
		err = s.signal(note, syscall.SIGCONT)
	case stack.Stop:
		err = s.stop(ctx, part.Service, note)
	case stack.Start:
		err = s.start(ctx, part.Service, note)
	case stack.Restart:
		if err = s.stop(ctx, part.Service, note); err == nil {
			err = s.start(ctx, part.Service, note)
		}
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", verb, part.Service, err)
	}
	return nil
}

// signal sends to the very process that was seen: its number may be another's by now.
func (s *Stack) signal(note known, signal syscall.Signal) error {
	if !note.runs() {
		return os.ErrProcessDone
	}
	return syscall.Kill(note.PID, signal)
}

// Logs writes the server's log file, the lines since then.
func (s *Stack) Logs(_ context.Context, part stack.Part, since time.Time, to io.Writer) error {
	note, ok := s.recall(part.Service)
	switch {
	case !ok:
		return fmt.Errorf("%s: %w", part.Service, stack.ErrNoPart)
	case note.Log == "":
		return fmt.Errorf("%s logs to its standard output only: %w", part.Service, stack.ErrUnsupported)
	}
	file, err := os.Open(note.Log)
	if err != nil {
		return fmt.Errorf("reading the log of %s: %w", part.Service, err)
	}
	defer file.Close()
	if err := copySince(to, file, since); err != nil {
		return fmt.Errorf("reading the log of %s: %w", part.Service, err)
	}
	return nil
}
