package node

import (
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"captop/service"
)

// refusalLasts is how long a node counts as refusing after it did: what is carried to it is tried again every second.
const refusalLasts = 5 * time.Second

// health keeps the books on one node: contacts, failures, the breaker's changes; and logs them.
type health struct {
	config Config

	mu           sync.Mutex
	reachable    bool
	since        time.Time
	lastError    string
	lastLogged   time.Time
	attempts     uint64
	failures     uint64
	row          uint32 // failures since the last success
	refusal      string // the last error reply that refuses what others may do
	refusedAt    time.Time
	breakerSince time.Time
	breakerOff   bool // it is not CLOSED
}

func newHealth(config Config) *health {
	now := config.Now()
	return &health{config: config, since: now, breakerSince: now, lastError: "not contacted yet"}
}

// contacted books one contact and logs what it changes.
func (h *health) contacted(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.attempts++
	if saysNothing(err) {
		return
	}
	if !isFailure(err) {
		if refusal := refusalOf(err); refusal != "" {
			h.refusal, h.refusedAt = refusal, h.config.Now()
		}
		if !h.reachable {
			now := h.config.Now()
			h.config.Logger.Info("PARTITION_END", "node", h.config.Name, "seconds", now.Sub(h.since).Seconds())
			h.reachable, h.since, h.lastError = true, now, ""
		}
		h.row = 0
		return
	}
	now := h.config.Now()
	h.failures++
	h.row++
	h.lastError = err.Error()
	// One line a second tells as much as a thousand.
	if now.Sub(h.lastLogged) >= time.Second {
		h.lastLogged = now
		h.config.Logger.Error("DB_CONNECT_FAILURE", "node", h.config.Name, "error", h.lastError, "failures", h.failures)
	}
	if h.reachable {
		h.reachable, h.since = false, now
		h.config.Logger.Error("PARTITION_BEGIN", "node", h.config.Name, "error", h.lastError)
	}
}

// breakerChanged books and logs a change of state. gobreaker calls it with its own lock held.
func (h *health) breakerChanged(name string, from, to gobreaker.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.breakerSince, h.breakerOff = h.config.Now(), to != gobreaker.StateClosed
	h.config.Logger.Warn("BREAKER", "node", name, "from", breakerState(from).String(), "to", breakerState(to).String())
}

func (h *health) state() service.NodeState {
	h.mu.Lock()
	defer h.mu.Unlock()
	state := service.NodeState{Name: h.config.Name, Reachable: h.reachable, Since: h.since, LastError: h.lastError,
		Attempts: h.attempts, Failures: h.failures}
	if h.config.Now().Sub(h.refusedAt) < refusalLasts {
		state.Refusal = h.refusal
	}
	return state
}

func (h *health) standing() Standing {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Standing{Reachable: h.reachable, Closed: !h.breakerOff}
}

func (h *health) breaker(state gobreaker.State) service.Breaker {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := service.Breaker{Node: h.config.Name, State: breakerState(state), Since: h.breakerSince, Failures: h.row}
	if state == gobreaker.StateOpen {
		b.NextProbe = h.breakerSince.Add(h.config.BreakerOpenFor)
	}
	return b
}

// breakerState maps gobreaker's states, which are numbered alike, on ours.
func breakerState(s gobreaker.State) service.BreakerState { return service.BreakerState(s) }
