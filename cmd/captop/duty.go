package main

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"captop/deploy/acks"
	"captop/deploy/alertmanager"
	"captop/probes"
	"captop/probes/record"
	"captop/tui"
)

// useAcks lets probes follow the acknowledgements of this host, and the dashboard make them. Where this system has no
// place for them there are none.
func useAcks(config *probes.Config, screen *tui.Options) {
	state := record.Dir(os.Getenv)
	if state == "" {
		return
	}
	file := acks.File{Path: filepath.Join(state, "acks.json"), Now: time.Now}
	watched := watchedFile{path: file.Path, what: "the acknowledgements"}
	config.AcksChanged = func() ([]byte, bool, error) {
		text, changed, err := watched.changed()
		if errors.Is(err, fs.ErrNotExist) {
			return nil, false, nil // nobody has made any yet
		}
		return text, changed, err
	}
	screen.Acknowledge = func(_ context.Context, ack probes.Ack) error {
		ack.By = orUser(ack.By)
		return file.Put(acks.Ack(ack))
	}
	screen.Unacknowledge = func(_ context.Context, ack probes.Ack) error { return file.Remove(ack.Labels) }
}

// orUser is who somebody is to this system, where he has not said it.
func orUser(name string) string {
	if name != "" {
		return name
	}
	if found, err := user.Current(); err == nil {
		return found.Username
	}
	return "somebody"
}

// useAlertmanager lets probes read an Alertmanager, and the dashboard silence there.
func (s settings) useAlertmanager(config *probes.Config, screen *tui.Options) error {
	if s.Alertmanager == "" {
		return nil
	}
	client, err := alertmanager.New(s.Alertmanager, &http.Client{Timeout: 10 * time.Second})
	if err != nil {
		return err
	}
	config.Targets.Alertmanager = s.Alertmanager
	screen.Silence = func(ctx context.Context, silence probes.Silence) (string, error) {
		made := alertmanager.Silence{StartsAt: silence.StartsAt, EndsAt: silence.EndsAt, CreatedBy: orUser(silence.CreatedBy), Comment: silence.Comment}
		for _, matcher := range silence.Matchers {
			made.Matchers = append(made.Matchers, alertmanager.Matcher(matcher))
		}
		return client.Silence(ctx, made)
	}
	screen.Unsilence = client.Expire
	return nil
}
