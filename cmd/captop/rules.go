package main

import (
	"fmt"
	"os"
	"time"

	"captop/deploy/prometheus"
	"captop/probes"
)

// useRules gives probes the alerting rules: those of a file, which is read anew when it changes, or captop's own.
func (s settings) useRules(config *probes.Config) error {
	if s.Rules == "" {
		config.Rules = prometheus.Rules
		return nil
	}
	file := rulesFile{path: s.Rules}
	text, _, err := file.changed()
	if err != nil {
		return err
	}
	config.Rules, config.RulesFile, config.RulesChanged = text, s.Rules, file.changed
	return nil
}

// rulesFile is a file that is looked at again and again.
type rulesFile struct {
	path string
	at   time.Time // of the last change that was read
	size int64
}

// changed gives the file's text if it is not the one that was read last.
func (f *rulesFile) changed() (text []byte, changed bool, err error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, false, fmt.Errorf("reading the rules: %w", err)
	}
	if info.ModTime().Equal(f.at) && info.Size() == f.size {
		return nil, false, nil
	}
	if text, err = os.ReadFile(f.path); err != nil {
		return nil, false, fmt.Errorf("reading the rules: %w", err)
	}
	f.at, f.size = info.ModTime(), info.Size()
	return text, true, nil
}
