package probes

import (
	"maps"
	"time"

	"captop/service"
)

// Part is one thing that is asked of a target.
type Part string

// The parts. A service has the first three, a node the last.
const (
	PartHealth   Part = "health"
	PartBreakers Part = "breakers"
	PartMetrics  Part = "metrics"
	PartInfo     Part = "info"
	PartRecorder Part = "recorder" // of captop itself: how the recording fares

	PartTargets     Part = "targets"      // of captop itself: the instances that discovery has found
	PartAcks        Part = "acks"         // of captop itself: the text of a changed file of acknowledgements
	PartHeld        Part = "held"         // of Alertmanager: alerts and silences
	PartSource      Part = "source"       // of a Prometheus that is seen through: how it fares
	PartRemoteRules Part = "remote_rules" // of the same: its rules and alerts, as /api/v1/rules gives them
	PartRulesFile   Part = "rules_file"   // of captop itself: the text of a changed file of rules
)

// Input is one attempt to ask one part of one target, with its answer as it came. Inputs are what a recording keeps.
type Input struct {
	At     time.Time     `json:"at"` // when the attempt ended
	Took   time.Duration `json:"took_ns"`
	Target string        `json:"target"` // the name of the service or node
	Part   Part          `json:"part"`
	// Fault is Up where an answer came, whatever it says; else why none did.
	Fault  Contact `json:"fault"`
	Error  string  `json:"error,omitempty"`
	Status int     `json:"status,omitempty"` // of HTTP answers
	Body   string  `json:"body,omitempty"`
}

// ServiceTarget is a service to watch.
type ServiceTarget struct {
	Name  string
	Mode  service.Mode
	URL   string // http:// or https://
	Token string // bearer token, "" for none
	// Labels are those of a target file. As in Prometheus they are on every series, and their job and instance win over
	// captop's own.
	Labels map[string]string `json:",omitempty"`
}

// Same says whether two targets differ in nothing.
func (t ServiceTarget) Same(other ServiceTarget) bool {
	return t.Name == other.Name && t.Mode == other.Mode && t.URL == other.URL && t.Token == other.Token && maps.Equal(t.Labels, other.Labels)
}

// NodeTarget is a node to watch.
type NodeTarget struct {
	Name string // service.G1 or service.G2
	URL  string // redis://, rediss://, or either with ?master_name= for Sentinel; "" is not asked
}

// Targets is everything to watch.
type Targets struct {
	Services     []ServiceTarget
	Nodes        []NodeTarget
	Alertmanager string // its URL; "" is none
}

// Bare gives the same targets without tokens and passwords, for what is written down.
func (t Targets) Bare() Targets {
	var out Targets
	if t.Alertmanager != "" {
		out.Alertmanager = bare(t.Alertmanager)
	}
	for _, target := range t.Services {
		target.URL, target.Token = bare(target.URL), ""
		out.Services = append(out.Services, target)
	}
	for _, target := range t.Nodes {
		target.URL = bare(target.URL)
		out.Nodes = append(out.Nodes, target)
	}
	return out
}
