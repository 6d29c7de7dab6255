package doctor

import (
	"context"
	"slices"
	"strconv"
	"strings"
)

func limitChecks() []check {
	return []check{
		{Line{"memory-limit", "limits", "Every container has a memory limit",
			"one that leaks takes the memory of its neighbours, and the kernel picks whom to kill"}, lookMemory},
		{Line{"cpu-limit", "limits", "Every container has a CPU limit",
			"one that spins slows the nodes down, and breakers open"}, lookCPU},
		{Line{"pids-limit", "limits", "Every container has a limit of processes",
			"a bomb of processes takes the host down"}, lookPIDs},
		{Line{"redis-maxclients", "limits", "The nodes have room for every connection",
			"a node that is full refuses the services, and it looks like a partition"}, lookMaxClients},
		{Line{"redis-maxmemory", "limits", "The nodes have maxmemory, below their container's limit, and evict nothing",
			"without it the kernel kills a node; with eviction acknowledged writes vanish"}, lookMaxMemory},
	}
}

func lookMemory(ctx context.Context, r *round, v *verdict) {
	r.each(ctx, v, nil, func(u Unit) {
		known(v, u, "its memory limit", u.Memory, func(bytes int64) {
			v.expect(bytes > 0, r.inCompose(u, "mem_limit: 256m"), "%s: %s", u.Name, orNone(bytes > 0, mebibytes(bytes)))
		})
	})
}

func lookCPU(ctx context.Context, r *round, v *verdict) {
	r.each(ctx, v, nil, func(u Unit) {
		known(v, u, "its CPU limit", u.CPUs, func(cpus float64) {
			v.expect(cpus > 0, r.inCompose(u, "cpus: 1"), "%s: %s", u.Name, orNone(cpus > 0, strconv.FormatFloat(cpus, 'g', 3, 64)+" CPUs"))
		})
	})
}

func lookPIDs(ctx context.Context, r *round, v *verdict) {
	r.each(ctx, v, nil, func(u Unit) {
		known(v, u, "its limit of processes", u.PIDs, func(pids int64) {
			v.expect(pids > 0, r.inCompose(u, "pids_limit: 128"), "%s: %s", u.Name, orNone(pids > 0, strconv.FormatInt(pids, 10)+" processes"))
		})
	})
}

func orNone(limited bool, limit string) string {
	if !limited {
		return "no limit"
	}
	return limit
}

func mebibytes(bytes int64) string { return strconv.FormatInt(bytes>>20, 10) + " MiB" }

// howToAsk makes the nodes answer.
const howToAsk = "captop doctor redis --g1 redis://:PASSWORD@HOST:6379 --g2 redis://:PASSWORD@HOST:6379, from where the nodes can be reached"

// perInstance is how many connections an instance of a service may open to a node, and spare is for people and probes.
const (
	perInstance = 64
	spare       = 32
)

func lookMaxClients(ctx context.Context, r *round, v *verdict) {
	instances := 0
	r.each(ctx, v, services, func(Unit) { instances++ })
	least := int64(instances*perInstance + spare)
	for _, node := range nodes {
		info, ok := r.info(ctx, v, node)
		if !ok {
			continue
		}
		limit, used := info.number(v, "maxclients"), info.number(v, "connected_clients")
		rejected := info.number(v, "rejected_connections")
		if limit < 0 || used < 0 || rejected < 0 {
			continue
		}
		fix := "redis-cli config set maxclients " + strconv.FormatInt(max(least, 2000), 10) + ", and --maxclients in the Compose file"
		switch {
		case limit < least:
			v.fail(fix, "%s allows %d connections; %d instances may open %d", node, limit, instances, least)
		case used*5 > limit*4:
			v.fail(fix, "%s has %d connections of %d", node, used, limit)
		case rejected > 0:
			v.fail(fix+"; then redis-cli config resetstat", "%s has refused %d connections", node, rejected)
		default:
			v.pass("%s has %d connections of %d, and has refused none", node, used, limit)
		}
	}
}

func lookMaxMemory(ctx context.Context, r *round, v *verdict) {
	for _, node := range nodes {
		info, ok := r.info(ctx, v, node)
		if !ok {
			continue
		}
		limit, policy := info.number(v, "maxmemory"), info.text(v, "maxmemory_policy")
		if limit < 0 || policy == "" {
			continue
		}
		v.expect(limit > 0, "redis-cli config set maxmemory 384mb, and --maxmemory in the Compose file", "%s: maxmemory is %s", node, orNone(limit > 0, mebibytes(limit)))
		v.expect(policy == "noeviction", "redis-cli config set maxmemory-policy noeviction, and --maxmemory-policy in the Compose file", "%s: the policy is %s", node, policy)
		r.each(ctx, v, []string{node}, func(u Unit) {
			known(v, u, "its memory limit", u.Memory, func(bytes int64) {
				if bytes > 0 && limit > 0 {
					v.expect(limit*5 <= bytes*4, "redis-cli config set maxmemory "+strconv.FormatInt(bytes*3/4, 10), "%s: maxmemory is %s of the container's %s; a save needs the rest", node, mebibytes(limit), mebibytes(bytes))
				}
			})
		})
	}
}

// nodeInfo is a node's answer to INFO.
type nodeInfo struct {
	node   string
	fields map[string]string
}

// info asks a node. An answer without the run id is none.
func (r *round) info(ctx context.Context, v *verdict, node string) (nodeInfo, bool) {
	text, err := r.redis(ctx, node, Auth{Configured: true}, "INFO")
	if err != nil {
		v.cannot(howToAsk, "%s cannot be asked: %v", node, err)
		return nodeInfo{}, false
	}
	i := nodeInfo{node: node, fields: map[string]string{}}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			i.fields[name] = value
		}
	}
	if len(i.fields["run_id"]) != 40 {
		v.cannot(howToAsk, "%s gives an answer to INFO that is none", node)
		return nodeInfo{}, false
	}
	return i, true
}

// number gives a field, or -1 after saying that it cannot be told.
func (i nodeInfo) number(v *verdict, name string) int64 {
	n, err := strconv.ParseInt(i.fields[name], 10, 64)
	if err != nil || n < 0 {
		v.cannot("redis-cli info", "%s does not tell %s", i.node, name)
		return -1
	}
	return n
}

// text gives a field, or "" after saying that it cannot be told.
func (i nodeInfo) text(v *verdict, name string) string {
	value := i.fields[name]
	if value == "" {
		v.cannot("redis-cli info", "%s does not tell %s", i.node, name)
	}
	return value
}

// config asks for one of a node's own settings.
func (r *round) config(ctx context.Context, v *verdict, node, name string) (string, bool) {
	text, err := r.redis(ctx, node, Auth{Configured: true}, "CONFIG", "GET", name)
	if err != nil {
		v.cannot(howToAsk, "%s does not tell %s: %v", node, name, err)
		return "", false
	}
	lines := strings.Split(text, "\n")
	at := slices.Index(lines, name)
	if at != 0 || len(lines) < 2 {
		v.cannot(howToAsk, "%s does not know the setting %s", node, name)
		return "", false
	}
	return lines[1], true
}
