package probes

import (
	"fmt"
	"time"
)

// recorder is the target of the Inputs that say how the recording fares. They are recorded like all others, so that a
// replay shows where something is missing.
const recorder = "captop"

// Recording says how a recorder fares.
type Recording struct {
	Problem string // why polls are being lost; "" while none are
	Lost    uint64 // polls lost since it began
}

// recorded hands one poll to the recorder. What it says of itself is an Input of the next poll.
func (e *Engine) recorded(at time.Time, inputs []Input) {
	if e.config.Record != nil {
		e.recording = e.config.Record(at, inputs)
	}
}

// recorderInput tells of the recording where that has changed: it stopped, or it goes on with polls missing from it.
func (e *Engine) recorderInput() (in Input, news bool) {
	before, now := e.told, e.recording
	in = Input{At: e.now(), Target: recorder, Part: PartRecorder}
	switch {
	case now.Problem != "" && before.Problem == "":
		in.Fault, in.Error = Blind, now.Problem
		e.told.Problem = now.Problem
		return in, true
	case now.Problem == "" && (before.Problem != "" || now.Lost > before.Lost):
		in.Fault, in.Body = Up, fmt.Sprintf("%d polls are missing from it", now.Lost-before.Lost)
		e.told = now
		return in, true
	}
	return in, false
}

// noteRecorder makes an event of what the recorder said.
func (s *State) noteRecorder(in Input) {
	event := Event{At: in.At, Severity: OK, Kind: "recording", Target: recorder, Text: "the recording goes on: " + in.Body}
	if in.Fault != Up {
		event.Severity, event.Text = Warning, "nothing is recorded: "+in.Error
	}
	s.note(event)
}
