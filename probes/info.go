package probes

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// errNotInfo: a text is not what Redis INFO answers.
var errNotInfo = errors.New("this is not an answer to INFO")

// fields of an INFO answer, with the first one that could not be read.
type fields struct {
	text map[string]string
	err  error
}

// parseInfo reads an answer to INFO. Fields that are absent are zero; one that is there and unreadable is an error,
// and so is a text without a run id.
func parseInfo(text string) (Info, error) {
	f := fields{text: map[string]string{}}
	keys := int64(0)
	for line := range strings.Lines(text) {
		name, value, found := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if !found || strings.HasPrefix(name, "#") {
			continue
		}
		f.text[name] = value
		if strings.HasPrefix(name, "db") && strings.HasPrefix(value, "keys=") {
			count, _, _ := strings.Cut(strings.TrimPrefix(value, "keys="), ",")
			n, err := strconv.ParseInt(count, 10, 64)
			if err != nil {
				return Info{}, fmt.Errorf("reading %s of INFO: %w", name, err)
			}
			keys += n
		}
	}
	if f.text["run_id"] == "" {
		return Info{}, fmt.Errorf("%w: it has no run_id", errNotInfo)
	}
	info := Info{
		RunID: f.text["run_id"], RedisVersion: f.text["redis_version"],
		Uptime: time.Duration(f.number("uptime_in_seconds")) * time.Second,
		Role:   f.text["role"], OpsPerSecond: float64(f.number("instantaneous_ops_per_sec")),
		UsedMemory: f.number("used_memory"), MaxMemory: f.number("maxmemory"),
		EvictionPolicy: f.text["maxmemory_policy"], EvictedKeys: f.number("evicted_keys"),
		Clients: f.number("connected_clients"), BlockedClients: f.number("blocked_clients"),
		MaxClients: f.number("maxclients"), RejectedConnections: f.number("rejected_connections"),
		Keys: keys, Loading: f.number("loading") == 1,
		Persistence: f.persistence(),
	}
	return info, f.err
}

// The fields that say whether a node can write to its disk.
const (
	aofStatus = "aof_last_write_status"
	rdbStatus = "rdb_last_bgsave_status"
)

func (f *fields) persistence() Persistence {
	p := Persistence{
		AOF: f.number("aof_enabled") == 1, AOFRewriting: f.number("aof_rewrite_in_progress") == 1,
		AOFWriteOK: f.text[aofStatus] == "ok" || f.text[aofStatus] == "" && f.text["aof_enabled"] == "0", AOFRewriteOK: f.text["aof_last_bgrewrite_status"] != "err",
		RDBSaving: f.number("rdb_bgsave_in_progress") == 1, RDBSaveOK: f.text[rdbStatus] == "ok",
		ChangesSinceRDB: f.number("rdb_changes_since_last_save"),
	}
	for _, status := range []string{aofStatus, rdbStatus} {
		if said := f.text[status]; said != "ok" && said != "err" && (status != aofStatus || f.text["aof_enabled"] != "0") {
			p.Untold = append(p.Untold, status)
		}
	}
	if at := f.number("rdb_last_save_time"); at > 0 && f.text["rdb_saves"] != "0" { // 0: then Redis gives the time of its start
		p.LastSave = time.Unix(at, 0)
	}
	return p
}

func (f *fields) number(name string) int64 {
	text, found := f.text[name]
	if !found {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("reading %s of INFO: %w", name, err)
	}
	return n
}
