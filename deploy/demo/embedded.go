package demo

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	redisserver "github.com/alicebob/miniredis/v2/server"

	"captop/deploy/stack"
)

// embedded is a node where there is no redis-server: miniredis in this process. Its data lives as long as the demo.
type embedded struct {
	mini *miniredis.Miniredis

	mu      sync.Mutex
	running sync.Locker // held while paused: every command waits for it
	runID   string
	started time.Time
}

func newEmbedded() *embedded {
	return &embedded{mini: miniredis.NewMiniRedis(), running: &sync.Mutex{}}
}

func (e *embedded) addr() string { return e.mini.Addr() }

func (e *embedded) command(verb stack.Verb) string {
	return string(verb) + " of the embedded Redis (there is no redis-server here)"
}

func (e *embedded) alive() bool { return e.mini.Server() != nil }

func (e *embedded) start() error {
	if e.mini.Server() == nil {
		if err := e.mini.Start(); err != nil {
			return fmt.Errorf("starting miniredis: %w", err)
		}
	} else if err := e.mini.Restart(); err != nil {
		return fmt.Errorf("restarting miniredis: %w", err)
	}
	id := make([]byte, 20)
	_, _ = rand.Read(id) // never fails
	e.mu.Lock()
	e.runID, e.started = hex.EncodeToString(id), time.Now()
	e.mu.Unlock()
	server := e.mini.Server()
	server.SetPreHook(func(c *redisserver.Peer, command string, args ...string) bool {
		return e.before(server, c, command, args)
	})
	return nil
}

func (e *embedded) stop() error {
	e.mini.Close()
	return nil
}

func (e *embedded) pause() error {
	e.running.Lock()
	return nil
}

func (e *embedded) resume() error {
	e.running.Unlock()
	return nil
}

func (e *embedded) end() {
	if e.mini.Server() != nil {
		e.mini.Close()
	}
}

// before answers what miniredis does not know, and holds every command back while the node is paused.
func (e *embedded) before(server *redisserver.Server, c *redisserver.Peer, command string, args []string) bool {
	e.running.Lock()
	//lint:ignore SA2001 the lock is only waited for
	e.running.Unlock()
	if !strings.EqualFold(command, "INFO") {
		return false
	}
	const stats = "# Stats\r\ninstantaneous_ops_per_sec:0\r\nevicted_keys:0\r\n"
	if len(args) == 1 && strings.EqualFold(args[0], "stats") { // from within a script, which nobody may count keys beside
		c.WriteBulk(stats)
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c.WriteBulk(fmt.Sprintf("# Server\r\nredis_version:7.0.0-miniredis\r\nredis_mode:standalone\r\nrun_id:%s\r\nuptime_in_seconds:%d\r\n"+
		"# Clients\r\nconnected_clients:%d\r\nblocked_clients:0\r\n# Memory\r\nused_memory:0\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n"+
		"# Persistence\r\nloading:0\r\naof_enabled:0\r\nrdb_bgsave_in_progress:0\r\nrdb_last_bgsave_status:ok\r\naof_last_write_status:ok\r\naof_last_bgrewrite_status:ok\r\n"+
		stats+"# Replication\r\nrole:master\r\n# Keyspace\r\ndb0:keys=%d,expires=0,avg_ttl=0\r\n",
		e.runID, int(time.Since(e.started).Seconds()), server.ClientsLen(), len(e.mini.Keys())))
	return true
}
