// Package api speaks HTTP for a service.Store: the server, the client, and the JSON bodies between them.
package api

import (
	"time"

	"captop/service"
)

// Header and cookie names of a session.
const (
	SessionHeader = "X-Session-Token"
	SessionCookie = "captop_session"
)

// ReadBody answers GET /read/{key}.
type ReadBody struct {
	service.Value
	// ReadYourWrites is there when the request carried a session: true if the value is no older than the session's own
	// write of the key, false if that could not be had or could not be known.
	ReadYourWrites *bool `json:"read_your_writes,omitempty"`
}

// ErrorBody answers every refusal.
type ErrorBody struct {
	Error    ErrorDetail  `json:"error"`
	Mode     service.Mode `json:"mode"`
	Instance string       `json:"instance"`
	// ReadYourWrites is there, and false, when a key is not found that the request's session has written.
	ReadYourWrites *bool `json:"read_your_writes,omitempty"`
}

// ErrorDetail is a service.Error on the wire.
type ErrorDetail struct {
	Code    service.Code    `json:"code"`
	Message string          `json:"message"`
	Outcome service.Outcome `json:"outcome,omitempty"` // absent on reads
	Node    string          `json:"node,omitempty"`    // the node at fault, if one is
}

// Status is the summary of a health body.
type Status string

// The states of an instance.
const (
	StatusOK          Status = "ok"
	StatusDegraded    Status = "degraded"    // 200: a node is out, held back by its breaker, rejoining, of another time, or refuses commands
	StatusUnavailable Status = "unavailable" // 503: no node can be reached
	StatusDraining    Status = "draining"    // 503: the instance is stopping
)

// HealthBody answers GET /health, with 200 or 503.
type HealthBody struct {
	Status         Status       `json:"status"`
	Mode           service.Mode `json:"mode"`
	Instance       string       `json:"instance"`
	Version        string       `json:"version"` // of the build
	Time           time.Time    `json:"time"`    // the instance's clock when it answered
	UptimeSeconds  float64      `json:"uptime_seconds"`
	Draining       bool         `json:"draining"`
	MaxStalenessMS int64        `json:"max_staleness_ms"`
	// WritesRefused says why the instance refuses every write although it reaches a node: its clock is off. HAProxy sends
	// its requests to the others as long as it is there.
	WritesRefused string     `json:"writes_refused,omitempty"`
	Nodes         []NodeBody `json:"nodes"`
}

// NodeBody is one node as one instance sees it.
type NodeBody struct {
	Name        string     `json:"name"`
	Reachable   bool       `json:"reachable"`
	Since       time.Time  `json:"since,omitzero"` // when Reachable last changed
	Error       string     `json:"error,omitempty"`
	Refusal     string     `json:"refusal,omitempty"` // the error reply to commands that it does not let the instance run
	RunID       string     `json:"run_id"`
	Breaker     string     `json:"breaker"` // CLOSED, HALF_OPEN or OPEN
	Rejoin      RejoinBody `json:"rejoin"`
	StalenessMS int64      `json:"staleness_ms"`
	QueueDepth  int64      `json:"queue_depth"`
}

// RejoinBody is the progress of a node that is being settled with its peer.
type RejoinBody struct {
	Active  bool      `json:"active"`
	Since   time.Time `json:"since,omitzero"`
	Done    int64     `json:"done"`
	Total   int64     `json:"total"` // 0 while unknown
	Waiting string    `json:"waiting,omitempty"`
}

// BreakersBody answers GET /circuit-breaker.
type BreakersBody struct {
	Mode     service.Mode  `json:"mode"`
	Instance string        `json:"instance"`
	Breakers []BreakerBody `json:"breakers"`
}

// BreakerBody is the circuit breaker before one node.
type BreakerBody struct {
	Node      string    `json:"node"`
	State     string    `json:"state"` // CLOSED, HALF_OPEN or OPEN
	Since     time.Time `json:"since,omitzero"`
	Failures  uint32    `json:"failures"`            // consecutive
	NextProbe time.Time `json:"next_probe,omitzero"` // when an OPEN breaker lets the next call through
}

func nodeBody(state service.NodeState) NodeBody {
	return NodeBody{
		Name:      state.Name,
		Reachable: state.Reachable,
		Since:     state.Since,
		Error:     state.LastError,
		Refusal:   state.Refusal,
		RunID:     state.RunID,
		Breaker:   state.Breaker.State.String(),
		Rejoin: RejoinBody{
			Active:  state.Rejoin.Active,
			Since:   state.Rejoin.Since,
			Done:    state.Rejoin.Done,
			Total:   state.Rejoin.Total,
			Waiting: state.Rejoin.Waiting,
		},
		StalenessMS: state.Staleness.Milliseconds(),
		QueueDepth:  state.QueueDepth,
	}
}
