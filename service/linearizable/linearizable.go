// Package linearizable finds out whether what clients saw of a store could have been one register per key. Only tests
// need it.
package linearizable

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// ErrNot says that no order of the operations explains what was read, or that none was found in time.
var ErrNot = errors.New("the history is not linearizable")

// Operation is a write, or a read and what it gave.
type Operation struct {
	Write bool
	Key   string
	Value string // written, or read; "" where the key was not found. No two writes of a key have the same
}

// Forever is when an operation returns of which nobody knows whether it took effect: it may at any later time.
const Forever = int64(1) << 62

// History is what clients did. Safe for concurrent use.
type History struct {
	began      time.Time
	mu         sync.Mutex
	operations []porcupine.Operation
}

// NewHistory begins one.
func NewHistory() *History { return &History{began: time.Now()} }

// Now is the time in the history, nanoseconds.
func (h *History) Now() int64 { return int64(time.Since(h.began)) }

// Wrote notes a write. end is Forever where nobody knows whether it took effect; of one that surely never will, nothing
// is to be noted.
func (h *History) Wrote(client int, key, value string, call, end int64) {
	in := Operation{Write: true, Key: key, Value: value}
	h.add(porcupine.Operation{ClientId: client, Input: in, Output: in, Call: call, Return: end})
}

// Read notes a read that began at call and ends now.
func (h *History) Read(client int, key, value string, call int64) {
	h.add(porcupine.Operation{ClientId: client, Input: Operation{Key: key}, Output: Operation{Key: key, Value: value}, Call: call, Return: h.Now()})
}

func (h *History) add(o porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, o)
}

// Len is how many operations were noted.
func (h *History) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.operations)
}

// Take gives the operations on each key for which it is time, and forgets them.
func (h *History) Take(due func(key string) bool) map[string][]porcupine.Operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	taken, left := map[string][]porcupine.Operation{}, []porcupine.Operation(nil)
	for _, o := range h.operations {
		if key := o.Input.(Operation).Key; due(key) {
			taken[key] = append(taken[key], o)
		} else {
			left = append(left, o)
		}
	}
	h.operations = left
	return taken
}

// Keys are those that somebody has written or read.
func (h *History) Keys() map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	keys := map[string]bool{}
	for _, o := range h.operations {
		keys[o.Input.(Operation).Key] = true
	}
	return keys
}

// Check looks at the whole history, within patience.
func (h *History) Check(patience time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Check(h.operations, patience)
}

// Check gives ErrNot, with the name of a file that draws them, where operations are not linearizable.
func Check(operations []porcupine.Operation, patience time.Duration) error {
	result, info := porcupine.CheckOperationsVerbose(registers, bounded(operations), patience)
	if result == porcupine.Ok {
		return nil
	}
	file, err := os.CreateTemp("", "history-*.html")
	if err == nil {
		err = errors.Join(porcupine.Visualize(registers, info, file), file.Close())
	}
	if err != nil {
		return fmt.Errorf("%w (%s, %d operations); drawing it: %w", ErrNot, result, len(operations), err)
	}
	return fmt.Errorf("%w (%s, %d operations): see %s", ErrNot, result, len(operations), file.Name())
}

var registers = porcupine.Model{
	Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		byKey := map[string][]porcupine.Operation{}
		for _, o := range history {
			key := o.Input.(Operation).Key
			byKey[key] = append(byKey[key], o)
		}
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		if in := input.(Operation); in.Write {
			return true, in.Value
		}
		return output.(Operation).Value == state.(string), state
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// bounded ends what is open for ever: a write without an outcome that nobody read may as well have happened after
// everything else, and one that was read happened before the first read of it returned.
func bounded(operations []porcupine.Operation) (kept []porcupine.Operation) {
	type written struct{ key, value string }
	firstRead := map[written]int64{}
	for _, o := range operations {
		if out := o.Output.(Operation); !out.Write {
			w := written{out.Key, out.Value}
			if before, ok := firstRead[w]; !ok || o.Return < before {
				firstRead[w] = o.Return
			}
		}
	}
	for _, o := range operations {
		if o.Return == Forever {
			in := o.Input.(Operation)
			end, ok := firstRead[written{in.Key, in.Value}]
			if !ok {
				continue
			}
			o.Return = max(end, o.Call)
		}
		kept = append(kept, o)
	}
	return kept
}
