package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"captop/probes"
	"captop/probes/remote"
)

// firstAnswer is how long a Prometheus may take to say how often it scrapes. The dashboard starts without it.
const firstAnswer = 3 * time.Second

// usePrometheus lets probes see through a Prometheus in place of scrapes, where the settings name one. The nodes are asked
// directly only where they were named: a fleet's Redis is seldom open to this host.
func (s settings) usePrometheus(ctx context.Context, config *probes.Config) error {
	if s.Prometheus == "" {
		return nil
	}
	for _, other := range []string{"cp", "ap", "targets", "rules"} {
		if from := s.from[other]; strings.HasPrefix(from, "--") {
			return fmt.Errorf("%s does not go with --prometheus, which knows the instances and the rules itself", from)
		}
	}
	source, err := remote.New(s.Prometheus, time.Now)
	if err != nil {
		return fmt.Errorf("--prometheus: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, firstAnswer)
	defer cancel()
	config.Poll = max(config.Poll, source.Interval(ctx)) // a value cannot be younger than its scrape
	config.Collect, config.Prometheus = source.Collect, source.Name()
	config.Rules, config.RulesFile, config.RulesChanged = nil, "", nil
	config.Targets.Services = nil
	for i, name := range []string{"g1", "g2"} {
		if s.from[name] == "" {
			config.Targets.Nodes[i].URL = ""
		}
	}
	return nil
}
