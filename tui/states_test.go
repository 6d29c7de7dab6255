package tui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"captop/probes"
)

// TestGoldenStates: what the overview looks like after some keys, and where the snapshot is none of now.
func TestGoldenStates(t *testing.T) {
	for name, c := range map[string]struct {
		snapshot func() *probes.Snapshot
		keys     []string
		change   func(*Options)
	}{
		"past":     {g2Down, []string{"{", "{"}, nil},
		"replay":   {replayed, nil, func(o *Options) { o.Actions, o.Write, o.Remedy = nil, nil, nil }},
		"source":   {fromPrometheus, nil, nil},
		"cursor":   {fuses, []string{"left", "shift+left"}, nil},
		"window":   {fuses, []string{":", "window 15m", "enter"}, nil},
		"relative": {fuses, []string{"T"}, nil},
		"focused":  {several, []string{"tab"}, nil},
		"instance": {several, []string{"tab", "enter"}, nil},
		"next":     {several, []string{"tab", "enter", "down"}, nil},
		"ascii":    {fuses, nil, func(o *Options) { o.ASCII = true }},
		"stale":    {fuses, nil, func(o *Options) { o.Now = func() time.Time { return noon.Add(7 * time.Second) } }},
		"readonly": {g2Down, nil, func(o *Options) { o.Armed = false }},
		"command":  {g2Down, []string{":", "th", "tab", "tab"}, nil},
	} {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s_%dx%d", name, size[0], size[1]), func(t *testing.T) {
				options := demoOptions()
				options.History = recorded(new([]time.Time))
				if c.change != nil {
					c.change(&options)
				}
				u := &user{t: t, m: start(t, options, c.snapshot(), size[0], size[1])}
				u.press(c.keys...)
				checkFrame(t, u.m.View(), size[0], size[1])
				golden(t, fmt.Sprintf("state_%s_%dx%d.txt", name, size[0], size[1]), u.m.View())
			})
		}
	}
}

// TestLostAOF: a node that had an AOF is not called well for its RDB alone.
func TestLostAOF(t *testing.T) {
	for _, size := range sizes {
		s := healthy()
		saved := &s.Nodes[0].Info.Value.Persistence
		saved.AOF, saved.AOFOffSince = false, noon
		u := &user{t: t, m: start(t, demoOptions(), s, size[0], size[1])}
		if frame := u.m.View(); !strings.Contains(frame, "no AOF") || strings.Contains(frame, "RDB ok") {
			t.Errorf("at %dx%d:\n%s", size[0], size[1], frame)
		}
		checkFrame(t, u.m.View(), size[0], size[1])
	}
}

// replayed is a snapshot from a file.
func replayed() *probes.Snapshot {
	s := fuses()
	s.Source = probes.Source{Kind: probes.SourceRecording, Name: "/var/tmp/incident.rec"}
	return s
}

// fromPrometheus is a snapshot whose source does not answer.
func fromPrometheus() *probes.Snapshot {
	s := healthy()
	s.Source = probes.Source{Kind: probes.SourcePrometheus, Name: "http://prometheus.example:9090/prom",
		Reach: probes.Reach{Contact: probes.Hung, Since: noon.Add(-5 * time.Second), At: noon}}
	return s
}

// TestNothingIsHealthierThanItIs: a group with an instance down is no healthy group, and one that nobody has seen for
// a while is unknown.
func TestNothingIsHealthierThanItIs(t *testing.T) {
	u := &user{t: t, m: start(t, demoOptions(), several(), 80, 24)}
	u.sees("app_cp ×3 ▲ 2/3 serve", "app_ap ×2 ● ok")
	s := several()
	for i := range s.Services {
		s.Services[i].Reach.Contact = probes.Down
	}
	u = &user{t: t, m: start(t, demoOptions(), s, 80, 24)}
	u.sees("app_cp ×3 ■ down", "app_ap ×2 ■ down")
	s = several()
	for i := range s.Services {
		s.Services[i].Reach.At = noon.Add(-time.Minute)
	}
	u = &user{t: t, m: start(t, demoOptions(), s, 80, 24)}
	u.sees("app_cp ×3 ? unseen", "app_ap ×2 ? unseen")
}

func TestReadingTheCharts(t *testing.T) {
	u := &user{t: t, m: start(t, demoOptions(), g2Down(), 120, 40)}
	u.sees("db_g2 42s")
	u.press("left", "left", "left", "left", "left", "left") // of 5.8 s each
	u.sees("db_g2 7s", "11:59:25")
	u.press("shift+left")
	u.sees("11:58:28")
	u.press("esc")
	u.sees("db_g2 42s")
	u.press("home")
	u.sees("11:55:1")
	u.press("end")
	u.sees("db_g2 42s")
}
