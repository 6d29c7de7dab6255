package main

import (
	"captop/deploy/prometheus"
	"captop/probes"
)

// useRules gives probes the alerting rules: those of a file, which is read anew when it changes, or captop's own.
func (s settings) useRules(config *probes.Config) error {
	if s.Rules == "" {
		config.Rules = prometheus.Rules
		return nil
	}
	file := watchedFile{path: s.Rules, what: "the rules"}
	text, _, err := file.changed()
	if err != nil {
		return err
	}
	config.Rules, config.RulesFile, config.RulesChanged = text, s.Rules, file.changed
	return nil
}
