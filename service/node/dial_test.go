package node_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/node"
	"captop/service/node/nodetest"
)

// A node that refused any number of connections is used at the first try once it is back.
func TestManyFailedDialsDoNotOutliveTheFault(t *testing.T) {
	server := nodetest.Start(t)
	link := nodetest.NewLink(t, server.Addr())
	config := node.DefaultConfig(service.G1, link.URL())
	config.Logger = slog.New(slog.DiscardHandler)
	n, err := node.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	ctx, cancel := context.WithTimeout(node.Insist(context.Background()), time.Minute)
	defer cancel()
	inc, err := n.Current(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ping := func(client *redis.Client) error { return client.Ping(ctx).Err() }
	link.Reset()
	for range 300 {
		if err := inc.Do(ctx, ping); err == nil {
			t.Fatal("a refused connection answered")
		}
	}
	if err := inc.Do(ctx, ping); node.Sent(err) {
		t.Errorf("a refused dial counts as sent: %v", err)
	}
	link.Heal()
	if err := inc.Do(ctx, ping); err != nil {
		t.Errorf("the first contact after the fault: %v", err)
	}
}
