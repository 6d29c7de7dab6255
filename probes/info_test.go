package probes

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service/node/nodetest"
)

// TestLastSaveIsASave: the start of a node is not taken for a snapshot.
func TestLastSaveIsASave(t *testing.T) {
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Addr: nodetest.Start(t).Addr(), Protocol: 2})
	t.Cleanup(func() { _ = client.Close() })
	lastSave := func() time.Time {
		t.Helper()
		info, err := parseInfo(client.Info(ctx).Val())
		if err != nil {
			t.Fatal(err)
		}
		return info.Persistence.LastSave
	}
	if at := lastSave(); !at.IsZero() {
		t.Errorf("a node that has saved nothing has saved at %s", at)
	}
	if err := client.Save(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	if lastSave().IsZero() {
		t.Error("what was saved is not known")
	}
}
