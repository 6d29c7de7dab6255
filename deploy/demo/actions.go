package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/api"
)

// g2 is the node that the demo acts on.
const g2 = 1

// RestartCommand is what a person would type for Restart.
func (s *Stack) RestartCommand() string { return s.nodes[g2].command() }

// Restart stops db_g2, starts it on its data, and waits until both services have settled it. It names each step to
// progress; the proof is a fact a line.
func (s *Stack) Restart(ctx context.Context, progress func(string)) (proof string, err error) {
	s.acting.Lock()
	defer s.acting.Unlock()
	if s.IsPaused() {
		return "", errPaused
	}
	if s.IsCut() {
		return "", ErrCut
	}
	began := time.Now()
	progress("asking db_g2 for its run id")
	before, err := runID(ctx, s.nodes[g2])
	if err != nil { // it crashed, most likely: all the more reason to start it
		progress("db_g2 does not answer: " + err.Error())
		before = "none"
	}
	progress("stopping db_g2")
	if err := s.nodes[g2].stop(); err != nil {
		return "", err
	}
	progress("starting db_g2 on its data")
	if err := s.nodes[g2].start(); err != nil {
		return "", err
	}
	after, err := runID(ctx, s.nodes[g2])
	if err != nil {
		return "", fmt.Errorf("after the restart: %w", err)
	}
	if after == before {
		return "", fmt.Errorf("db_g2 still has the run id %s: it did not restart", before)
	}
	progress("waiting until app_cp and app_ap have settled db_g2")
	if err := s.awaitSettled(ctx, after); err != nil {
		return "", err
	}
	return fmt.Sprintf("db_g2 answers PING under a new run id: %.8s, before %.8s\napp_cp and app_ap have settled it with db_g1 and use it\n"+
		"all of it took %s", after, before, time.Since(began).Round(10*time.Millisecond)), nil
}

// runID asks a node, past the link, which run of it answers.
func runID(ctx context.Context, n redisNode) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*requestTime)
	defer cancel()
	client := redis.NewClient(&redis.Options{Addr: n.addr(), Protocol: 2, MaxRetries: -1, DialerRetries: 1,
		DisableIdentity: true, ContextTimeoutEnabled: true})
	defer client.Close()
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return "", fmt.Errorf("asking the node for its run id: %w", err)
	}
	for line := range strings.Lines(info) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "run_id:"); ok {
			return id, nil
		}
	}
	return "", errors.New("the node names no run id")
}

// awaitSettled waits until both services know this run of a node, reach both nodes and have settled them.
func (s *Stack) awaitSettled(ctx context.Context, run string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		waiting := ""
		for _, i := range s.services {
			if why := unsettled(ctx, i.client(), run); why != "" {
				waiting = fmt.Sprintf("app_%s: %s", i.mode, why)
			}
		}
		if waiting == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the nodes run, but are not settled yet (%s): %w", waiting, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// unsettled says why a service is not well with this run of a node yet, "" if it is.
func unsettled(ctx context.Context, client *api.Client, run string) string {
	health, err := client.Health(ctx)
	if err != nil {
		return err.Error()
	}
	known := false
	for _, n := range health.Nodes {
		switch {
		case !n.Reachable:
			return "cannot reach " + n.Name
		case n.RunID != "" && strings.HasPrefix(run, n.RunID):
			known = true
		}
		switch {
		case n.Rejoin.Active:
			return fmt.Sprintf("has settled %d of %d keys of %s", n.Rejoin.Done, n.Rejoin.Total, n.Name)
		case n.Breaker != service.BreakerClosed.String():
			return "its breaker before " + n.Name + " is " + n.Breaker
		}
	}
	if !known {
		return "still knows the former run only"
	}
	return ""
}

// Pause makes db_g2 hang: it keeps its connections and answers nobody.
func (s *Stack) Pause() error {
	s.acting.Lock()
	defer s.acting.Unlock()
	if s.IsPaused() {
		return errPaused
	}
	if err := s.nodes[g2].pause(); err != nil {
		return fmt.Errorf("pausing db_g2: %w", err)
	}
	s.setPaused(true)
	return nil
}

// Cut silences the link between db_g2 and both services; whoever looks past the link still reaches it.
func (s *Stack) Cut() {
	s.links[g2].Cut()
}

// Heal ends Cut and Pause.
func (s *Stack) Heal() error {
	// The link first: a restart that is under way may be waiting for it.
	if err := s.links[g2].Heal(); err != nil {
		return err
	}
	s.acting.Lock()
	defer s.acting.Unlock()
	if s.IsPaused() {
		if err := s.nodes[g2].resume(); err != nil {
			return fmt.Errorf("resuming db_g2: %w", err)
		}
		s.setPaused(false)
	}
	return nil
}

// IsPaused reports whether db_g2 hangs by Pause.
func (s *Stack) IsPaused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paused
}

func (s *Stack) setPaused(paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = paused
}

// IsCut reports whether the link to db_g2 is silenced by Cut.
func (s *Stack) IsCut() bool { return s.links[g2].Cutting() }
