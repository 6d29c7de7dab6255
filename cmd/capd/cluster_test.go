package main

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"captop/service"
	"captop/service/api"
	"captop/service/node/nodetest"
)

// TestAClusterAndAGroup: settings lead to a store over a Redis Cluster and a set under Sentinels, in either mode, and what
// is shared between instances goes there too.
func TestAClusterAndAGroup(t *testing.T) {
	cluster, set := nodetest.StartCluster(t, 1), nodetest.StartSentinels(t, 1)
	logger := slog.New(slog.DiscardHandler)
	for _, mode := range []string{"cp", "ap"} {
		s, err := load(map[string]string{"MODE": mode, "DB_G1_URL": cluster.URL(), "DB_G2_URL": set.URL(), "SESSION_STORE": "redis"})
		if err != nil {
			t.Fatal(err)
		}
		store, closeStore, err := s.openStore(logger)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"a", "b", "c", "d", "e"} {
			until(t, mode+" writes "+key, func(ctx context.Context) error {
				_, err := store.Write(ctx, key, []byte(mode))
				return err
			})
			for _, at := range []string{service.G1, service.G2} {
				until(t, mode+" reads "+key+" at "+at, func(ctx context.Context) error {
					_, err := store.Read(ctx, key, service.ReadOptions{Node: at})
					return err
				})
			}
		}
		until(t, "both nodes are well", func(context.Context) error {
			for _, state := range store.Nodes() {
				if !state.Reachable || state.Rejoin.Active || state.Attempts == 0 {
					return &service.Error{Code: service.CodeRejoining, Message: state.Name + ": " + state.LastError}
				}
			}
			return nil
		})
		options, closeShared, err := s.options(logger)
		if err != nil {
			t.Fatal(err)
		}
		if options.Sessions == (*api.Sessions)(nil) {
			t.Error("no sessions")
		}
		closeShared()
		if err := closeStore(); err != nil {
			t.Error(err)
		}
	}
}

func until(t *testing.T, what string, f func(context.Context) error) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		err := f(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s: %v", what, err)
		}
	}
}
