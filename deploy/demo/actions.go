package demo

import (
	"context"
	"fmt"
	"io"
	"time"

	"captop/deploy/stack"
	"captop/service"
)

var _ stack.Stack = (*Stack)(nil)

// part is one node as something to act on.
type part struct {
	since  time.Time // when it last changed
	paused bool
}

// Parts are the two nodes.
func (s *Stack) Parts(context.Context) ([]stack.Part, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var parts []stack.Part
	for i, name := range []string{service.G1, service.G2} {
		p := stack.Part{Service: name, Instance: name, State: stack.Running, Since: s.parts[i].since, Cut: s.links[i].Cutting()}
		switch {
		case !s.nodes[i].alive():
			p.State = stack.Stopped
		case s.parts[i].paused:
			p.State = stack.Paused
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// Command is what a person would type. For a cut that is what it would be between hosts: the demo has a link of its own.
func (s *Stack) Command(of stack.Part, verb stack.Verb) (string, error) {
	i, err := index(of)
	if err != nil {
		return "", err
	}
	switch verb {
	case stack.Cut:
		return "iptables -A OUTPUT -p tcp --dport <" + of.Service + "> -j DROP (here: the demo's own link)", nil
	case stack.Heal:
		return "iptables -D OUTPUT -p tcp --dport <" + of.Service + "> -j DROP (here: the demo's own link)", nil
	}
	return s.nodes[i].command(verb), nil
}

func index(of stack.Part) (int, error) {
	switch of.Instance {
	case service.G1:
		return 0, nil
	case service.G2:
		return 1, nil
	}
	return 0, fmt.Errorf("%s: %w", of.Instance, stack.ErrNoPart)
}

// Do does it to a node. A cut silences the link between the node and both services; whoever looks past the link still
// reaches it.
func (s *Stack) Do(_ context.Context, of stack.Part, verb stack.Verb) error {
	i, err := index(of)
	if err != nil {
		return err
	}
	// The link without waiting for anybody: a restart that is under way may be waiting for it.
	switch verb {
	case stack.Cut:
		s.links[i].Cut()
		return nil
	case stack.Heal:
		return s.links[i].Heal()
	}
	s.acting.Lock()
	defer s.acting.Unlock()
	if err := s.act(i, verb); err != nil {
		return fmt.Errorf("%s %s: %w", verb, of.Service, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts[i] = part{since: time.Now(), paused: verb == stack.Pause}
	return nil
}

func (s *Stack) act(i int, verb stack.Verb) error {
	switch n := s.nodes[i]; verb {
	case stack.Pause:
		return n.pause()
	case stack.Unpause:
		return n.resume()
	case stack.Stop:
		return n.stop()
	case stack.Start:
		return n.start()
	case stack.Restart:
		if err := n.stop(); err != nil {
			return err
		}
		return n.start()
	}
	return stack.ErrUnsupported
}

// Logs has nothing to say of the nodes: the services' log is a file, Log.
func (s *Stack) Logs(context.Context, stack.Part, time.Time, io.Writer) error {
	return fmt.Errorf("the demo keeps one log for both services: %s: %w", s.Log(), stack.ErrUnsupported)
}

// Data is nobody's business: it is gone with the demo.
func (s *Stack) Data(stack.Part) (stack.Data, error) { return nil, stack.ErrUnsupported }
