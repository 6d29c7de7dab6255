package api

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"
)

// storeShare is the part of a request's time that a shared store may take: it is a convenience beside the request.
const storeShare = 8

// SharedStore is Redis as sessions and rate limits use it: with a short patience, and a breaker of its own, so that a
// Redis that hangs costs a few requests an eighth of their time and the others nothing.
type SharedStore struct {
	client  redis.UniversalClient
	breaker *gobreaker.CircuitBreaker[any]
}

// NewSharedStore gives a store on client, which is the caller's to close and should not retry. Changes between working
// and not are logged as SHARED_STORE under name.
func NewSharedStore(name string, client redis.UniversalClient, logger *slog.Logger) *SharedStore {
	return &SharedStore{client: client, breaker: gobreaker.NewCircuitBreaker[any](gobreaker.Settings{
		Name:        name,
		MaxRequests: 1,
		Timeout:     time.Second,
		ReadyToTrip: func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= 2 },
		OnStateChange: func(name string, _, to gobreaker.State) {
			if to != gobreaker.StateHalfOpen {
				logger.Warn("SHARED_STORE", "store", name, "usable", to == gobreaker.StateClosed,
					"for", "sessions and rate limits")
			}
		},
	})}
}

// run calls f with a context that leaves most of the request's time to the request.
func (s *SharedStore) run(ctx context.Context, f func(context.Context, redis.UniversalClient) (any, error)) (any, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return nil, errors.New("a shared store needs a deadline")
	}
	return s.breaker.Execute(func() (any, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Until(deadline)/storeShare)
		defer cancel()
		reply, err := f(ctx, s.client)
		if errors.Is(err, redis.Nil) {
			return nil, nil
		}
		return reply, err
	})
}
