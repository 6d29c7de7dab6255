// Package dbnode asks a Redis node about itself, for whoever is about to do something to it.
package dbnode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Standing is what a node says of itself at one moment.
type Standing struct {
	RunID, Version string
	Role           string // master or slave, in Redis' own words
	Offset         int64  // its place in the stream of writes
	Loading        bool
	Saving         bool // BGSAVE or a rewrite of the AOF runs, or is about to
	AOF            bool
	Cluster        bool
	Keys           int64         // in all databases
	Bytes          int64         // that its AOF takes on disk; where it has none, its keys and values in memory; 0 where it does not tell
	Loaded         int64         // keys in the dump that it began with, those included that had expired; -1 where it does not tell (before Redis 7)
	Primary        string        // of a replica: host:port
	LinkUp         bool          // of a replica: it follows its primary
	Silence        time.Duration // of a replica: since the last word from its primary
}

// Options reads a node's URL. Nothing is tried twice. Its errors never hold the URL, which may hold a password.
func Options(address string) (*redis.Options, error) {
	o, err := redis.ParseURL(address)
	var quoted *url.Error
	if errors.As(err, &quoted) {
		err = quoted.Err
	}
	if err != nil {
		return nil, fmt.Errorf("reading the node's URL: %w", err)
	}
	o.MaxRetries, o.DialerRetries, o.Protocol, o.DisableIdentity, o.ContextTimeoutEnabled = -1, 1, 2, true, true
	return o, nil
}

// Connect gives a client of a node, which it does not contact yet. Close it.
func Connect(address string) (*redis.Client, error) {
	o, err := Options(address)
	if err != nil {
		return nil, err
	}
	return redis.NewClient(o), nil
}

// AskAt asks the node at a URL.
func AskAt(ctx context.Context, address string) (Standing, error) {
	client, err := Connect(address)
	if err != nil {
		return Standing{}, err
	}
	defer client.Close()
	return Ask(ctx, client)
}

// Ask asks a node.
func Ask(ctx context.Context, client *redis.Client) (Standing, error) {
	info, err := client.Info(ctx).Result()
	if err != nil {
		return Standing{}, fmt.Errorf("asking the node about itself: %w", err)
	}
	return read(info)
}

// read takes an answer to INFO apart.
func read(info string) (Standing, error) {
	fields := map[string]string{}
	for line := range strings.Lines(info) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			fields[name] = value
		}
	}
	on := func(name string) bool { return fields[name] == "1" }
	s := Standing{RunID: fields["run_id"], Version: fields["redis_version"], Role: fields["role"], Loading: on("loading"),
		Saving: on("rdb_bgsave_in_progress") || on("aof_rewrite_in_progress") || on("aof_rewrite_scheduled"),
		AOF:    on("aof_enabled"), Cluster: on("cluster_enabled"), LinkUp: fields["master_link_status"] == "up", Loaded: -1}
	if s.RunID == "" {
		return s, errors.New("INFO names no run_id; is this Redis?")
	}
	if host := fields["master_host"]; host != "" {
		s.Primary = net.JoinHostPort(host, fields["master_port"])
		for _, since := range []string{"master_last_io_seconds_ago", "master_link_down_since_seconds"} {
			if seconds, err := strconv.Atoi(fields[since]); err == nil {
				s.Silence = max(s.Silence, time.Duration(seconds)*time.Second)
			}
		}
	}
	var err error
	if s.Offset, err = number(fields, "master_repl_offset"); err != nil {
		return s, err
	}
	if fields["rdb_last_load_keys_loaded"] != "" {
		loaded, err1 := number(fields, "rdb_last_load_keys_loaded")
		expired, err2 := number(fields, "rdb_last_load_keys_expired")
		if err := errors.Join(err1, err2); err != nil {
			return s, err
		}
		s.Loaded = loaded + expired
	}
	size := "used_memory_dataset"
	if s.AOF {
		size = "aof_current_size"
	}
	s.Bytes, _ = strconv.ParseInt(fields[size], 10, 64)
	s.Keys, err = countKeys(fields)
	return s, err
}

func number(fields map[string]string, name string) (int64, error) {
	n, err := strconv.ParseInt(fields[name], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading %s of INFO: %w", name, err)
	}
	return n, nil
}

// countKeys sums the keys of all databases up.
func countKeys(fields map[string]string) (sum int64, err error) {
	for name, value := range fields {
		count, isDB := strings.CutPrefix(value, "keys=")
		if !isDB || !strings.HasPrefix(name, "db") {
			continue
		}
		count, _, _ = strings.Cut(count, ",")
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading %s of INFO: %w", name, err)
		}
		sum += n
	}
	return sum, nil
}
