package main

import (
	"context"
	"os"
	"runtime/debug"
	"time"

	"captop/probes"
	"captop/probes/record"
)

// recorder keeps what an engine sees, and looks back into it.
type recorder struct {
	writer  *record.Writer // nil where nothing is recorded
	history *record.History
}

// record prepares the flight recorder and hooks it into what will be an engine. Nothing is recorded where the settings
// say so, and where this system has no place for it. Close it after the engine.
func (s settings) record(config *probes.Config) recorder {
	dir := s.recordings()
	if !s.Record || dir == "" {
		return recorder{}
	}
	config.Started = time.Now().Round(0)
	rules := record.Rules{File: config.RulesFile, Text: string(config.Rules)}
	writer := record.NewWriter(dir, record.Limits{MaxBytes: s.RecordSize, MaxAge: s.RecordAge},
		record.Header{Captop: version(), Poll: config.Poll, Started: config.Started, Targets: config.Targets, Rules: rules,
			Prometheus: config.Prometheus})
	config.Record = writer.Record
	return recorder{writer: writer, history: record.NewHistory(dir, writer.Run(), nil)}
}

// recordings is where recordings lie; "" where there is no such place.
func (s settings) recordings() string {
	if s.RecordDir != "" {
		return s.RecordDir
	}
	return record.Dir(os.Getenv)
}

// lookBack gives what the dashboard goes back in time with; nil where nothing is recorded.
func (r recorder) lookBack() func(context.Context, time.Time, time.Duration) (*probes.Snapshot, error) {
	if r.history == nil {
		return nil
	}
	return r.history.At
}

// watch passes Snapshots on, and keeps them for steps back over the last minutes.
func (r recorder) watch(ctx context.Context, snapshots <-chan *probes.Snapshot) <-chan *probes.Snapshot {
	if r.history == nil {
		return snapshots
	}
	out := make(chan *probes.Snapshot)
	go func() {
		defer close(out)
		for snapshot := range snapshots {
			r.history.Saw(snapshot)
			select {
			case out <- snapshot:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// Close writes what waits. What goes wrong then is lost with the last seconds: there is no screen any more to say so.
func (r recorder) Close() {
	if r.writer != nil {
		_ = r.writer.Close()
	}
}

// version is this program's, as the build knows it.
func version() string {
	if build, ok := debug.ReadBuildInfo(); ok {
		return build.Main.Version
	}
	return "unknown"
}
