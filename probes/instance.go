package probes

import "captop/service"

// Instances gives the instance of a mode that is best asked now; ok is false where there is none.
type Instances func(service.Mode) (target ServiceTarget, ok bool)

// First gives the first instance of each mode.
func (t Targets) First(mode service.Mode) (ServiceTarget, bool) {
	for _, target := range t.Services {
		if target.Mode == mode {
			return target, true
		}
	}
	return ServiceTarget{}, false
}

// Instance gives the instance of a mode that is best asked now: the first that serves; where none does, the first that
// answers; where none does, the first. It is safe to call while Watch runs.
func (e *Engine) Instance(mode service.Mode) (ServiceTarget, bool) {
	target, ok := (*e.chosen.Load())[mode]
	return target, ok
}

// choose looks for the instances that are best asked, by what was seen last; nil where nothing was.
func (e *Engine) choose(snap *Snapshot) {
	seen := map[string]int{}
	if snap != nil {
		for i := range snap.Services {
			seen[snap.Services[i].Name] = use(&snap.Services[i])
		}
	}
	chosen := map[service.Mode]ServiceTarget{}
	for _, target := range e.targets {
		if best, any := chosen[target.Mode]; !any || seen[target.Name] > seen[best.Name] {
			chosen[target.Mode] = target
		}
	}
	e.chosen.Store(&chosen)
}

// use ranks how much use it is to ask a service.
func use(svc *Service) int {
	switch {
	case svc.Reach.Contact != Up:
		return 0
	case svc.Draining, svc.Status == "draining", svc.Status == "unavailable", svc.WritesRefused != "":
		return 1
	}
	return 2
}
