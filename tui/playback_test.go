package tui

import (
	"fmt"
	"testing"
)

// TestPlayback: a recording is paused and sped up with its keys, says so in the header, and cannot be acted on.
func TestPlayback(t *testing.T) {
	speed, paused := 1.0, false
	options := demoOptions()
	options.Actions, options.Write, options.Remedy = nil, nil, nil
	options.Playback = &Playback{
		Pause: func() { paused = !paused },
		Scale: func(factor float64) { speed *= factor },
		State: func() string {
			if paused {
				return "paused"
			}
			return fmt.Sprintf("%gx", speed)
		},
	}
	u := at80x24(t, options)
	u.press(">")
	u.press(">")
	u.sees(" 4x ")
	u.press("<")
	u.sees(" 2x ", "space pause")
	u.press(" ")
	u.sees(" paused ")
	u.press(" ")
	u.sees(" 2x ")
	u.press("A")
	u.sees("This is a recording: nothing can be acted on.")
}
