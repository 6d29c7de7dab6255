// Package probes measures the pair: it scrapes the services, asks the nodes, keeps history, and says what is wrong.
//
// An Engine polls the targets and hands out Snapshots. Everything that it concludes comes from recorded Inputs and a
// clock that is handed in, so the same Inputs replayed give the same Snapshots.
package probes

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"captop/probes/alerts"
	"captop/service"
)

// Freshness says how far a value can still be believed.
type Freshness int

// The zero value is unknown, so that what nobody filled in is never shown as good.
const (
	FreshnessUnknown Freshness = iota // never had, or older than five polls
	Late                              // older than two polls: show it marked
	Fresh
)

// String gives unknown, late or fresh.
func (f Freshness) String() string { return [...]string{"unknown", "late", "fresh"}[f] }

// Reading is a value with the time at which it was true.
type Reading[T any] struct {
	Value T
	At    time.Time // by captop's clock
	Known bool      // false: Value means nothing
}

// Read makes a known Reading.
func Read[T any](value T, at time.Time) Reading[T] {
	return Reading[T]{Value: value, At: at, Known: true}
}

// Age is the time since the value was true; it means nothing where the value is not known.
func (r Reading[T]) Age(now time.Time) time.Duration { return now.Sub(r.At) }

// Freshness tells how far the value can be believed at now, when it should come anew every poll.
func (r Reading[T]) Freshness(now time.Time, poll time.Duration) Freshness {
	switch age := now.Sub(r.At); {
	case !r.Known || age > 5*poll:
		return FreshnessUnknown
	case age > 2*poll:
		return Late
	}
	return Fresh
}

// MarshalJSON gives {"value":…,"at":…}, with a null value where it is not known.
func (r Reading[T]) MarshalJSON() ([]byte, error) {
	body := struct {
		Value any        `json:"value"`
		At    *time.Time `json:"at,omitempty"`
	}{}
	if r.Known {
		body.Value, body.At = r.Value, &r.At
	}
	return json.Marshal(body)
}

// Severity orders what is wrong. Its zero value is unknown.
type Severity int

// The severities, as exit codes and screens show them.
const (
	Unknown  Severity = iota // captop cannot tell
	OK                       // nothing is wrong
	Warning                  // redundancy or freshness is lost; the promises are kept
	Critical                 // requests are being refused or nobody answers
)

// String gives unknown, ok, warning or critical.
func (s Severity) String() string { return [...]string{"unknown", "ok", "warning", "critical"}[s] }

// MarshalText gives the same words.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// ExitCode is what captop --once ends with: 0 ok, 1 warning, 2 critical, 3 unknown.
func (s Severity) ExitCode() int { return [...]int{3, 0, 1, 2}[s] }

// Contact is what became of the last attempts to ask a target.
type Contact int

// The contacts. Only Up is good.
const (
	NotAsked Contact = iota // no attempt has ended yet
	Up                      // it answered as it should
	Down                    // nobody listens at its address, or the connection breaks
	Hung                    // no answer within the timeout
	Nonsense                // it answers, but not as this kind of target does
	Denied                  // it refuses captop: the password or the token is wrong
	Loading                 // Redis is reading its data from disk
	Blind                   // captop could not look: no route, no DNS, no free sockets. It says nothing about the target
)

// String gives one word or two for a screen.
func (c Contact) String() string {
	return [...]string{"not asked", "up", "down", "hung", "nonsense", "denied", "loading", "blind"}[c]
}

// MarshalText gives the same words.
func (c Contact) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the same words, from a recording.
func (c *Contact) UnmarshalText(text []byte) error {
	for known := NotAsked; known <= Blind; known++ {
		if known.String() == string(text) {
			*c = known
			return nil
		}
	}
	return fmt.Errorf("%q is no contact", text)
}

// Reach is how a target answers captop.
type Reach struct {
	Contact Contact       `json:"contact"`
	Since   time.Time     `json:"since"`           // when Contact began
	At      time.Time     `json:"at"`              // when the last attempt ended
	Took    time.Duration `json:"took_ns"`         // how long it took
	Error   string        `json:"error,omitempty"` // of the last attempt; "" while up
	LastUp  time.Time     `json:"last_up"`         // the last good answer; zero if there was none
}

// Snapshot is everything captop knows at one moment. It is never changed after it is handed out; share it freely.
type Snapshot struct {
	At       time.Time     `json:"at"`
	Started  time.Time     `json:"started"` // when watching began
	Poll     time.Duration `json:"poll_ns"` // the time between two polls, for Freshness
	Severity Severity      `json:"severity"`
	Verdict  Verdict       `json:"verdict"`
	Source   Source        `json:"source"`
	// TargetsError says why not all instances can be looked up; what was found last is still watched. "" where they can.
	TargetsError string    `json:"targets_error,omitempty"`
	Groups       []Group   `json:"groups"`   // one for each mode that has instances, CP first
	Services     []Service `json:"services"` // CP first, as configured
	Nodes        []Node    `json:"nodes"`    // db_g1, db_g2
	Events       []Event   `json:"events"`   // the last 200, oldest first

	Rules        []alerts.Rule `json:"rules"`                  // firing first, then pending, then as in the file
	RulesFile    string        `json:"rules_file"`             // where they come from; "" is captop's own file
	RulesError   string        `json:"rules_error,omitempty"`  // why the newest file is not used; the last good one is
	Edges        []alerts.Edge `json:"edges"`                  // of alerts: the last 500, oldest first
	Alertmanager *Alertmanager `json:"alertmanager,omitempty"` // nil where none is configured
	Acks         []Ack         `json:"acks,omitempty"`         // that have not ended, oldest first
}

// Ack says that somebody looks after an alert. It is local to this host and no silence: pagers go on. It holds for the
// alert with exactly these labels, until it ends or the alert is resolved.
type Ack struct {
	Labels map[string]string `json:"labels"` // of the alert, with alertname
	Reason string            `json:"reason"`
	By     string            `json:"by"`
	At     time.Time         `json:"at"`
	Until  time.Time         `json:"until"`
}

// SourceKind says where what is shown comes from.
type SourceKind string

// The kinds of source.
const (
	SourceScrapes    SourceKind = "scrapes"    // captop's own
	SourcePrometheus SourceKind = "prometheus" // a Prometheus, or what speaks its API
	SourceRecording  SourceKind = "recording"  // a flight recorder's file
)

// Source is where what is shown comes from.
type Source struct {
	Kind  SourceKind `json:"kind"`
	Name  string     `json:"name,omitempty"` // the Prometheus' URL without credentials, or the recording's file
	Reach Reach      `json:"reach,omitzero"` // of the Prometheus
}

// Group is all instances of one mode together.
type Group struct {
	Name       string           `json:"name"` // app_cp or app_ap
	Mode       service.Mode     `json:"mode"`
	Instances  []string         `json:"instances"` // names of Services, the worst first
	Up         int              `json:"up"`        // how many answer well
	Rate       Reading[float64] `json:"rate"`      // requests per second, summed
	ErrorRatio Reading[float64] `json:"error_ratio"`
	Latency    Reading[Latency] `json:"latency"` // from the summed buckets

	LatencyHistory Series `json:"latency_history"` // p99, milliseconds
	RateHistory    Series `json:"rate_history"`    // requests per second
	// The last hour in less detail: a point for every 10 s, the largest of them.
	LatencyHour Series `json:"latency_hour"`
	RateHour    Series `json:"rate_hour"`
}

// Alertmanager is what the configured Alertmanager holds.
type Alertmanager struct {
	URL      string      `json:"url"` // without credentials
	Reach    Reach       `json:"reach"`
	At       time.Time   `json:"at,omitzero"` // when it last answered well
	Alerts   []HeldAlert `json:"alerts"`
	Silences []Silence   `json:"silences"` // active and pending ones
}

// HeldAlert is one alert in Alertmanager.
type HeldAlert struct {
	Labels     map[string]string `json:"labels"`
	State      string            `json:"state"` // active, suppressed, unprocessed
	StartsAt   time.Time         `json:"starts_at"`
	SilencedBy []string          `json:"silenced_by,omitempty"` // ids of silences
	Receivers  []string          `json:"receivers,omitempty"`
}

// Silence is one silence in Alertmanager.
type Silence struct {
	ID        string    `json:"id"`
	Matchers  []Matcher `json:"matchers"`
	StartsAt  time.Time `json:"starts_at"`
	EndsAt    time.Time `json:"ends_at"`
	CreatedBy string    `json:"created_by"`
	Comment   string    `json:"comment"`
	State     string    `json:"state"` // active, pending, expired
}

// Matcher is one condition of a silence.
type Matcher struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	IsRegex bool   `json:"isRegex"`
	IsEqual bool   `json:"isEqual"`
}

// Verdict is the diagnosis in words for a tired person.
type Verdict struct {
	Situation string    `json:"situation"` // a stable name for programs, such as g2_down
	Severity  Severity  `json:"severity"`
	Sentence  string    `json:"sentence"`       // what is cut, and what each service does about it
	Since     time.Time `json:"since,omitzero"` // when it began; zero where that is not known
	ByDesign  bool      `json:"by_design"`      // the services do what their modes promise; the cause is elsewhere
	NextStep  string    `json:"next_step"`      // what to do, in words that stand without the act
	Act       string    `json:"act,omitempty"`  // what does it where the stack allows, verb and object: "restart db_g2"
	Also      []string  `json:"also,omitempty"` // further findings, worst first
	// First is what deviated before what Sentence says, and when: the cause is often there. "" where Sentence was first.
	First   string    `json:"first,omitempty"`
	FirstAt time.Time `json:"first_at,omitzero"`
}

// Service is one instance of app_cp or app_ap. Mode is as configured until its health body says otherwise.
type Service struct {
	Name string       `json:"name"` // app_cp, app_ap; app_cp-2 and so on where there are several
	Mode service.Mode `json:"mode"`
	URL  string       `json:"url"` // without credentials
	// Labels are those that a target file gives it.
	Labels   map[string]string `json:"labels,omitempty"`
	Reach    Reach             `json:"reach"`
	Status   string            `json:"status"` // of the health body: ok, degraded, unavailable, draining; "" while not known
	Draining bool              `json:"draining"`
	// WritesRefused is the service's own word on why it refuses every write though it reaches a node; "" if it does not.
	WritesRefused string `json:"writes_refused,omitempty"`
	Instance      string `json:"instance,omitempty"`
	Version       string `json:"version,omitempty"`

	HealthAt   time.Time `json:"health_at,omitzero"`   // when each part last answered well
	BreakersAt time.Time `json:"breakers_at,omitzero"` //
	MetricsAt  time.Time `json:"metrics_at,omitzero"`  //
	// Why the last attempt brought no good answer, "" where it did. Reach says it for the health part.
	BreakersError string                 `json:"breakers_error,omitempty"`
	MetricsError  string                 `json:"metrics_error,omitempty"`
	Uptime        Reading[time.Duration] `json:"uptime_ns"`
	ClockSkew     Reading[time.Duration] `json:"clock_skew_ns"` // its clock minus captop's
	Limit         Reading[time.Duration] `json:"staleness_limit_ns"`

	// Over the window of Window seconds that ends at the last scrape. Latency is not known while nobody asks.
	Window     time.Duration    `json:"window_ns"`
	Rate       Reading[float64] `json:"rate"`               // requests per second
	ErrorRatio Reading[float64] `json:"error_ratio"`        // answers of 500 and above, of all; 0 to 1
	FailedAt   time.Time        `json:"failed_at,omitzero"` // the last scrape that counted such an answer; zero if none did
	Latency    Reading[Latency] `json:"latency"`
	Links      []Link           `json:"links"` // db_g1, db_g2

	LatencyHistory Series `json:"latency_history"` // p99, milliseconds
	RateHistory    Series `json:"rate_history"`    // requests per second
	// The last hour in less detail: a point for every 10 s, the largest of them.
	LatencyHour Series `json:"latency_hour"`
	RateHour    Series `json:"rate_hour"`
}

// Latency is estimated from the histogram's buckets, as Prometheus' histogram_quantile does. A quantile in the last
// bucket is given as that bucket's lower bound.
type Latency struct {
	P50 time.Duration `json:"p50_ns"`
	P95 time.Duration `json:"p95_ns"`
	P99 time.Duration `json:"p99_ns"`
}

// Link is what one service sees of one node. Times are by captop's clock.
type Link struct {
	Node        string                   `json:"node"`
	Seen        Reading[NodeView]        `json:"seen"`
	Breaker     Reading[service.Breaker] `json:"breaker"`
	FailureRate Reading[float64]         `json:"failure_rate"` // failed connections and commands per second
}

// NodeView is a node as a service's health body gives it.
type NodeView struct {
	Reachable  bool           `json:"reachable"`
	Since      time.Time      `json:"since"` // when Reachable last changed
	Error      string         `json:"error,omitempty"`
	Refusal    string         `json:"refusal,omitempty"` // the error reply to commands that it does not let the service run
	RunID      string         `json:"run_id"`
	Rejoin     service.Rejoin `json:"rejoin"`
	Staleness  time.Duration  `json:"staleness_ns"`
	QueueDepth int64          `json:"queue_depth"`
}

// Node is one Redis node as captop sees it itself, beside the worst that the services say of it.
type Node struct {
	Name  string                 `json:"name"`
	URL   string                 `json:"url"` // without credentials
	Reach Reach                  `json:"reach"`
	Info  Reading[Info]          `json:"info"`
	RTT   Reading[time.Duration] `json:"rtt_ns"`

	Staleness  Reading[Staleness] `json:"staleness"`   // the worst over the services
	QueueDepth Reading[int64]     `json:"queue_depth"` // the largest over the services
	Rejoin     Reading[Rejoining] `json:"rejoin"`      // the one furthest from its end, where one is active

	StalenessHistory Series `json:"staleness_history"` // milliseconds
	OpsHistory       Series `json:"ops_history"`
	// The last hour in less detail: a point for every 10 s, the largest of them.
	StalenessHour Series `json:"staleness_hour"`
	OpsHour       Series `json:"ops_hour"`
}

// Staleness is how far a node is behind, as the service By reports it.
type Staleness struct {
	Value time.Duration `json:"value_ns"`
	Limit time.Duration `json:"limit_ns"` // MAX_STALENESS_MS of that service
	By    string        `json:"by"`
}

// Rejoining is the progress of a node that is being settled with its peer, as the service By reports it.
type Rejoining struct {
	service.Rejoin
	By string `json:"by"`
}

// Info is what captop takes from Redis INFO.
type Info struct {
	RunID          string        `json:"run_id"`
	RedisVersion   string        `json:"redis_version"`
	Uptime         time.Duration `json:"uptime_ns"`
	Role           string        `json:"role"` // master or slave, in Redis' own words
	OpsPerSecond   float64       `json:"ops_per_second"`
	UsedMemory     int64         `json:"used_memory"` // bytes
	MaxMemory      int64         `json:"max_memory"`  // bytes; 0 means no limit
	EvictionPolicy string        `json:"eviction_policy"`
	EvictedKeys    int64         `json:"evicted_keys"`
	Clients        int64         `json:"clients"`
	BlockedClients int64         `json:"blocked_clients"`
	MaxClients     int64         `json:"max_clients"`
	// RejectedConnections counts those that maxclients refused, since the server started.
	RejectedConnections int64       `json:"rejected_connections"`
	Keys                int64       `json:"keys"` // over all databases
	Loading             bool        `json:"loading"`
	Persistence         Persistence `json:"persistence"`
}

// Persistence is the state of AOF and RDB.
type Persistence struct {
	AOF             bool      `json:"aof"`
	AOFOffSince     time.Time `json:"aof_off_since,omitzero"` // zero: there is one, or there was none before
	AOFRewriting    bool      `json:"aof_rewriting"`
	AOFWriteOK      bool      `json:"aof_write_ok"`
	AOFRewriteOK    bool      `json:"aof_rewrite_ok"`
	RDBSaving       bool      `json:"rdb_saving"`
	RDBSaveOK       bool      `json:"rdb_save_ok"`
	LastSave        time.Time `json:"last_save"` // zero: none since its start (as Redis 7 tells it; an older one gives its start)
	ChangesSinceRDB int64     `json:"changes_since_rdb"`
	// Untold are the fields of INFO that should say whether writing to disk works, and do not: AOFWriteOK or RDBSaveOK
	// is false then, and means nothing.
	Untold []string `json:"untold,omitempty"`
}

// Event is something that changed.
type Event struct {
	Seq      uint64    `json:"seq"` // counts up from 1
	At       time.Time `json:"at"`
	Severity Severity  `json:"severity"` // OK for a recovery
	Kind     string    `json:"kind"`     // target, breaker, restart, rejoin, staleness, alert, rules, targets, recording, severity
	Target   string    `json:"target"`   // a service, a node, or captop
	Text     string    `json:"text"`
}

// Series is one line of a chart, oldest point first. A point whose Value is NaN is a gap: nothing is known there.
type Series []Point

// Point is one sample.
type Point struct {
	At    time.Time
	Value float64
}

// MarshalJSON gives a gap as null.
func (p Point) MarshalJSON() ([]byte, error) {
	body := struct {
		At    time.Time `json:"at"`
		Value *float64  `json:"value"`
	}{At: p.At}
	if !math.IsNaN(p.Value) {
		body.Value = &p.Value
	}
	return json.Marshal(body)
}
