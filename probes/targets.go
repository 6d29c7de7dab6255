package probes

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"captop/service"
)

// errTargets: an Input of targets is none.
var errTargets = errors.New("this is no list of targets")

// found is what an Input of targets says: the instances that there are now. It holds no tokens.
type found struct {
	Services []foundService `json:"services"`
}

type foundService struct {
	Name string       `json:"name"`
	Mode service.Mode `json:"mode"`
	URL  string       `json:"url"`

	Labels map[string]string `json:"labels,omitempty"`
}

func (f foundService) target() ServiceTarget {
	return ServiceTarget{Name: f.Name, Mode: f.Mode, URL: f.URL, Labels: f.Labels}
}

// targetsInput tells that discovery has found other instances than before, or why it cannot look.
func (e *Engine) targetsInput() (in Input, news bool) {
	if e.config.Discover == nil {
		return in, false
	}
	services, changed, err := e.config.Discover()
	in = Input{At: e.now(), Target: recorder, Part: PartTargets, Fault: Up}
	if err != nil {
		in.Fault, in.Error = Blind, strings.ReplaceAll(err.Error(), "\n", "; ") // of several names: a verdict is a sentence
	}
	told := e.targetsTold
	e.targetsTold = in.Error
	if !changed {
		return in, in.Error != told
	}
	in.Body = TargetsInput(services).Body
	e.watchServices(services)
	return in, true
}

// TargetsInput is the Input that has a State watch these instances from now on, without their tokens. The time is left to
// the caller.
func TargetsInput(services []ServiceTarget) Input {
	body := found{Services: []foundService{}}
	for _, target := range services {
		body.Services = append(body.Services, foundService{target.Name, target.Mode, bare(target.URL), target.Labels})
	}
	in := Input{Target: recorder, Part: PartTargets, Fault: Up}
	text, err := json.Marshal(body)
	if err != nil {
		in.Fault, in.Error = Blind, err.Error()
	}
	in.Body = string(text)
	return in
}

// With gives the targets after an Input of discovery; ok is false where an Input changes nothing of them.
func (t Targets) With(in Input) (after Targets, ok bool) {
	var now found
	if in.Part != PartTargets || in.Body == "" || json.Unmarshal([]byte(in.Body), &now) != nil {
		return t, false
	}
	after = t
	after.Services = nil
	for _, target := range now.Services {
		after.Services = append(after.Services, target.target())
	}
	return after, true
}

// retarget watches the instances that an Input names: those that were watched before go on, those that are not named
// are forgotten.
func (s *State) retarget(in Input) {
	if in.Error != "" && in.Error != s.lookup {
		s.note(Event{At: in.At, Severity: Warning, Kind: "targets", Target: recorder, Text: "not all instances can be looked up: " + in.Error})
	}
	s.lookup = in.Error
	if in.Body == "" {
		return // those that were found last are still watched
	}
	var now found
	if err := json.Unmarshal([]byte(in.Body), &now); err != nil {
		s.lookup = fmt.Errorf("%w: %w", errTargets, err).Error()
		return
	}
	known := map[string]*serviceState{}
	for _, svc := range s.services {
		known[svc.view.Name] = svc
	}
	s.services = nil
	var came, went []string
	for _, target := range now.Services {
		svc, old := known[target.Name]
		delete(known, target.Name)
		if old && (svc.view.URL != target.URL || !maps.Equal(svc.view.Labels, target.Labels)) { // another instance under the same name
			svc.alerts.Forget(svc.labels, in.At)
			old = false
		}
		if !old {
			svc = newServiceState(target.target(), s.alerts)
			came = append(came, target.Name)
		}
		s.services = append(s.services, svc)
	}
	for name, svc := range known {
		svc.alerts.Forget(svc.labels, in.At)
		went = append(went, name)
	}
	sortServices(s.services)
	s.index()
	s.noteTargets(in, came, went)
}

func sortServices(services []*serviceState) {
	slices.SortStableFunc(services, func(a, b *serviceState) int {
		return cmp.Or(cmp.Compare(b.view.Mode, a.view.Mode), cmp.Compare(a.view.Name, b.view.Name)) // cp before ap
	})
}

func (s *State) noteTargets(in Input, came, went []string) {
	slices.Sort(went)
	for _, change := range []struct {
		names []string
		what  string
	}{{came, "now among the targets"}, {went, "not among the targets any more"}} {
		if len(change.names) > 0 {
			s.note(Event{At: in.At, Severity: OK, Kind: "targets", Target: recorder, Text: and(change.names) + " " + change.what})
		}
	}
}

// shorten keeps a list readable in one line.
func shorten(list []string) []string {
	const most = 4
	if len(list) <= most {
		return list
	}
	return append(slices.Clone(list[:most]), fmt.Sprintf("%d more", len(list)-most))
}
