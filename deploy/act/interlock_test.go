package act

import (
	"errors"
	"strings"
	"testing"

	"captop/deploy/stack"
	"captop/service"
)

// The parts of a stack of one instance of each service, all well.
func wellParts() map[string]stack.Part {
	parts := map[string]stack.Part{}
	for _, name := range []string{"db_g1", "db_g2", "app_cp", "app_ap", "haproxy"} {
		parts[name] = stack.Part{Service: name, Instance: "shop_" + name + "_1", State: stack.Running, Health: "healthy"}
	}
	return parts
}

func TestInterlock(t *testing.T) {
	up := Node{Known: true, Up: true}
	down := Node{Known: true, Why: "connection refused"}
	emptied := Node{Known: true, Up: true, Emptied: true}
	evicted := Node{Known: true, Up: true, Evicted: true}
	held := Node{Known: true, Up: true}
	held.Rejoins("db_g2", "app_cp", service.Rejoin{Active: true, Done: 3, Total: 9, Waiting: "db_g1 " + service.Evicted})
	type parts = map[string]stack.Part
	set := func(name string, change func(*stack.Part)) func(parts) {
		return func(p parts) { part := p[name]; change(&part); p[name] = part }
	}
	state := func(name string, to stack.State) func(parts) {
		return set(name, func(p *stack.Part) { p.State = to })
	}
	cut := func(name string) func(parts) { return set(name, func(p *stack.Part) { p.Cut = true }) }
	second := func(health string) func(parts) {
		return func(p parts) {
			p["second"] = stack.Part{Service: "app_cp", Instance: "shop_app_cp_2", State: stack.Running, Health: health}
		}
	}
	for _, c := range []struct {
		name   string
		verb   stack.Verb
		part   string
		change func(parts)
		g1, g2 Node
		want   string // in the refusal; "" allows
	}{
		{"all well", stack.Restart, "db_g2", nil, up, up, ""},
		{"all well, the other one", stack.Stop, "db_g1", nil, up, up, ""},
		{"peer down", stack.Restart, "db_g2", nil, down, up, "db_g1 is down (connection refused)"},
		{"peer down, stop", stack.Stop, "db_g2", nil, down, up, "without db_g2 too, nothing would answer"},
		{"peer down, pause", stack.Pause, "db_g2", nil, down, up, "db_g1 is down"},
		{"peer down, cut", stack.Cut, "db_g2", nil, down, up, "db_g1 is down"},
		{"peer down, the other way round", stack.Cut, "db_g1", nil, up, down, "db_g2 is down"},
		{"peer stopped", stack.Restart, "db_g1", state("db_g2", stack.Stopped), up, down, "captop start shop_db_g2_1"},
		{"peer paused", stack.Restart, "db_g2", state("db_g1", stack.Paused), up, up, "captop heal shop_db_g1_1"},
		{"peer cut off", stack.Stop, "db_g2", cut("db_g1"), up, up, "db_g1 is running and cut off"},
		{"nobody knows the peer", stack.Restart, "db_g2", nil, Node{}, up, "nobody can tell whether db_g1 is well"},
		{"peer is being settled", stack.Restart, "db_g2", nil, Node{Known: true, Up: true, Settling: "app_cp has settled 3 of 9 keys of db_g1"}, up, "3 of 9"},
		{"it is being settled", stack.Stop, "db_g2", nil, up, Node{Known: true, Up: true, Settling: "app_ap has settled 1 of 2 keys of db_g2"}, "wait until"},
		{"it was emptied", stack.Restart, "db_g2", nil, up, emptied, ""},
		{"it was emptied, as its peer", stack.Restart, "db_g2", nil, emptied, emptied, ""},
		{"it was emptied, its peer is down", stack.Restart, "db_g2", nil, down, emptied, "db_g1 is down"},
		{"peer was emptied", stack.Restart, "db_g2", nil, emptied, up, "first restart db_g1"},
		{"peer waits for its restart", stack.Restart, "db_g1", nil, up, held, ""},
		{"peer waits for its restart, not for its stop", stack.Stop, "db_g1", nil, up, held, "3 of 9"},
		{"it waits for its peer's restart", stack.Restart, "db_g2", nil, up, held, "wait until"},
		{"peer has evicted keys", stack.Restart, "db_g2", nil, evicted, up, "only db_g2 has them; first restart db_g1"},
		{"it has evicted keys", stack.Restart, "db_g1", nil, evicted, up, ""},
		{"it has, and its peer waits for its restart", stack.Restart, "db_g1", nil, evicted, held, ""},
		{"both have evicted keys", stack.Restart, "db_g2", nil, evicted, evicted, ""},
		{"it saves", stack.Restart, "db_g2", nil, up, Node{Known: true, Up: true, Saving: "BGSAVE"}, "BGSAVE"},
		{"it rewrites", stack.Stop, "db_g2", nil, up, Node{Known: true, Up: true, Saving: "AOF rewrite"}, "AOF rewrite"},
		{"a cut hurts no BGSAVE", stack.Cut, "db_g2", nil, up, Node{Known: true, Up: true, Saving: "BGSAVE"}, ""},
		{"it is down itself, with its peer", stack.Restart, "db_g2", nil, down, down, ""},
		{"both are stopped", stack.Restart, "db_g2", func(p parts) { state("db_g1", stack.Stopped)(p); state("db_g2", stack.Stopped)(p) }, down, down, ""},
		{"start is always right", stack.Start, "db_g2", state("db_g2", stack.Stopped), down, down, ""},
		{"start of what runs", stack.Start, "db_g2", nil, up, up, "runs already"},
		{"restart of what is paused", stack.Restart, "db_g2", state("db_g2", stack.Paused), up, down, "heal it first"},
		{"restart of what is cut", stack.Restart, "db_g2", cut("db_g2"), up, down, "heal it first"},
		{"cut twice", stack.Cut, "db_g2", cut("db_g2"), up, down, "cut off already"},
		{"pause twice", stack.Pause, "db_g2", state("db_g2", stack.Paused), up, down, "paused already"},
		{"pause of what is stopped", stack.Pause, "db_g2", state("db_g2", stack.Stopped), up, down, "is stopped"},
		{"heal of what is well", stack.Heal, "db_g2", nil, up, up, "neither cut off nor paused"},
		{"heal of a pause", stack.Heal, "db_g2", state("db_g2", stack.Paused), up, down, ""},
		{"heal of a cut", stack.Heal, "db_g2", cut("db_g2"), down, down, ""},
		{"unpause of what runs", stack.Unpause, "db_g2", nil, up, up, "not paused"},
		{"unpause with the peer down", stack.Unpause, "db_g2", state("db_g2", stack.Paused), down, down, ""},
		{"the only instance is restarted", stack.Restart, "app_cp", nil, up, up, ""},
		{"the only instance is stopped", stack.Stop, "app_cp", nil, up, up, "--scale app_cp=2"},
		{"the only instance is cut off", stack.Cut, "app_ap", nil, up, up, "only instance of app_ap"},
		{"one of two", stack.Stop, "app_cp", second("healthy"), up, up, ""},
		{"one of two, the other one sick", stack.Restart, "app_cp", second("unhealthy"), up, up, "first bring shop_app_cp_2 back"},
		{"the sick one of two", stack.Restart, "second", second("unhealthy"), up, up, ""},
		{"other parts", stack.Stop, "haproxy", nil, up, up, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := wellParts()
			if c.change != nil {
				c.change(all)
			}
			var list []stack.Part
			for _, part := range all {
				list = append(list, part)
			}
			err := Interlock(list, Sight{Nodes: map[string]Node{"db_g1": c.g1, "db_g2": c.g2}}, c.verb, all[c.part])
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// named is a stack that only has words.
type named struct{ stack.Stack }

func (named) Command(part stack.Part, verb stack.Verb) (string, error) {
	return string(verb) + " " + part.Instance, nil
}

func TestPlan(t *testing.T) {
	e := &Engine{Stack: named{}}
	up := Node{Known: true, Up: true}
	sight := Sight{Nodes: map[string]Node{"db_g1": up, "db_g2": up}}
	parts := []stack.Part{{Service: "app_cp", Instance: "shop_app_cp_1", State: stack.Running}, {Service: "app_cp", Instance: "shop_app_cp_2", State: stack.Stopped},
		{Service: "app_cp", Instance: "shop_app_cp_3", State: stack.Running}, {Service: "db_g1", Instance: "shop_db_g1_1", State: stack.Running},
		{Service: "db_g2", Instance: "shop_db_g2_1", State: stack.Paused, Cut: true}}
	for _, c := range []struct {
		verb  stack.Verb
		name  string
		want  string // the commands, or the error
		typed string
	}{
		{stack.Restart, "app_cp", "restart shop_app_cp_1, restart shop_app_cp_2, restart shop_app_cp_3", ""},
		{stack.Start, "app_cp", "start shop_app_cp_2", ""},
		{stack.Stop, "app_cp", "name one of them", ""},
		{stack.Stop, "shop_app_cp_3", "stop shop_app_cp_3", ""},
		{stack.Stop, "db_g1", "stop shop_db_g1_1", "db_g1"},
		{stack.Heal, "db_g2", "unpause shop_db_g2_1 && heal shop_db_g2_1", ""},
		{stack.Heal, "nobody", "it has app_cp, db_g1, db_g2, shop_app_cp_1, shop_app_cp_2, shop_app_cp_3", ""},
	} {
		plans, err := e.Plan(parts, sight, c.verb, c.name)
		var got []string
		for _, p := range plans {
			got = append(got, p.Command)
			if p.Typed != c.typed {
				t.Errorf("%s %s: type %q, want %q", c.verb, c.name, p.Typed, c.typed)
			}
		}
		text := strings.Join(got, ", ")
		if err != nil {
			text = err.Error()
		}
		if !strings.Contains(text, c.want) {
			t.Errorf("%s %s: %q, want %q", c.verb, c.name, text, c.want)
		}
	}
}

func TestGerund(t *testing.T) {
	for verb, want := range map[stack.Verb]string{stack.Stop: "stopping", stack.Cut: "cutting", stack.Pause: "pausing", stack.Restart: "restarting", stack.Heal: "healing"} {
		if got := gerund(verb); got != want {
			t.Errorf("%s: %s", verb, got)
		}
	}
}

// TestRemedy: what a stack knows of a part decides what helps it, whatever it looks like from outside.
func TestRemedy(t *testing.T) {
	for _, c := range []struct {
		part   stack.Part
		verb   stack.Verb
		better stack.Verb
		fact   string
	}{
		{stack.Part{State: stack.Running}, stack.Heal, "", ""},
		{stack.Part{State: stack.Running}, stack.Restart, stack.Restart, ""},
		{stack.Part{State: stack.Running, Cut: true}, stack.Heal, stack.Heal, "app_cp_2 is running and cut off"},
		{stack.Part{State: stack.Paused}, stack.Restart, stack.Heal, "app_cp_2 is paused"},
		{stack.Part{State: stack.Stopped}, stack.Heal, stack.Start, "app_cp_2 is stopped"},
		{stack.Part{State: stack.Stopped}, stack.Restart, stack.Restart, ""},
		{stack.Part{State: stack.Stopped}, stack.Start, stack.Start, ""},
		{stack.Part{}, stack.Heal, stack.Heal, ""}, // a stack of commands cannot tell
	} {
		c.part.Service, c.part.Instance = "app_cp", "app_cp_2"
		parts := []stack.Part{{Service: "app_cp", Instance: "app_cp_1", State: stack.Running}, c.part, {Service: "db_g1", Instance: "db_g1", State: stack.Stopped}}
		if better, fact := Remedy(parts, c.verb, "app_cp"); better != c.better || fact != c.fact {
			t.Errorf("%+v, %s proposed: %q %q, want %q %q", c.part, c.verb, better, fact, c.better, c.fact)
		}
	}
}
