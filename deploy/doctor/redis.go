package doctor

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

func redisChecks() []check {
	return []check{
		{Line{"redis-aof", "data", "The nodes keep an append-only file, and the last write to it went well",
			"without it a restart brings back the last dump, minutes or hours old"}, lookAOF},
		{Line{"redis-snapshots", "data", "The nodes take no snapshots of their own accord",
			"beside an append-only file nothing reads them, and while one is taken requests wait, on few processors for seconds"}, lookSnapshots},
		{Line{"redis-oom", "data", "Where memory runs out during a save, the save ends and not the node",
			"a save takes up to the node's memory again, and by default the kernel ends the bigger process: a backup under load may cost the node"}, lookOOM},
		{Line{"redis-flush", "data", "Nobody can empty a node that runs",
			"FLUSHALL takes what was promised to a write away under the same run id: app_cp takes no writes until the node has been restarted"}, lookFlush},
		{Line{"data-volume", "data", "The nodes' data is on a volume",
			"what is in the container goes with the container"}, lookVolume},
		{Line{"disk-space", "data", "The nodes' disks have room for the data twice over, and a fifth is free",
			"a node that cannot write its append-only file refuses every write"}, lookDisk},
	}
}

func lookAOF(ctx context.Context, r *round, v *verdict) {
	for _, node := range nodes {
		info, ok := r.info(ctx, v, node)
		if !ok {
			continue
		}
		fsync, ok := r.config(ctx, v, node, "appendfsync")
		if !ok {
			continue
		}
		on, write, rewrite := info.number(v, "aof_enabled"), info.text(v, "aof_last_write_status"), info.text(v, "aof_last_bgrewrite_status")
		const freed = "df -h, make room on the node's disk, then redis-cli bgrewriteaof"
		switch {
		case on == 0:
			v.fail("redis-cli config set appendonly yes, and --appendonly yes in the Compose file", "%s keeps no append-only file", node)
		case on < 0 || write == "" || rewrite == "":
		case write != "ok":
			v.fail(freed, "%s: the last write to its append-only file was %q", node, write)
		case rewrite != "ok":
			v.fail(freed, "%s: the last rewrite of its append-only file was %q", node, rewrite)
		case fsync != "everysec" && fsync != "always":
			v.fail("redis-cli config set appendfsync everysec, and --appendfsync in the Compose file", "%s: appendfsync is %q", node, fsync)
		default:
			v.pass("%s: appended, fsync %s, the last write and rewrite were ok", node, fsync)
		}
	}
}

func lookSnapshots(ctx context.Context, r *round, v *verdict) {
	for _, node := range nodes {
		if points, ok := r.config(ctx, v, node, "save"); ok {
			v.expect(points == "", `redis-cli config set save "", and save "" in redis.conf`, "%s: save is %q", node, points)
		}
	}
}

func lookOOM(ctx context.Context, r *round, v *verdict) {
	for _, node := range nodes {
		if mode, ok := r.config(ctx, v, node, "oom-score-adj"); ok {
			v.expect(mode != "no", "redis-cli config set oom-score-adj relative, and oom-score-adj relative in redis.conf", "%s: oom-score-adj is %q", node, mode)
		}
	}
}

// lookFlush looks at the user of the configured URL: its password is the one that people have at hand, too.
func lookFlush(ctx context.Context, r *round, v *verdict) {
	for _, node := range nodes {
		user, may, err := r.mayEmpty(ctx, node)
		switch {
		case err != nil:
			v.cannot("redis-cli acl list", "%s does not tell who may empty it, as Redis 7 does: %v", node, err)
		case len(may) > 0:
			v.fail(fmt.Sprintf("redis-cli acl setuser %s -flushall -flushdb, and the user's line in redis.conf", user),
				"%s: the user %s may %s", node, user, strings.Join(may, " and "))
		default:
			v.pass("%s: the user %s may not empty it", node, user)
		}
	}
}

// mayEmpty gives our user of a node, and by which commands it may empty that.
func (r *round) mayEmpty(ctx context.Context, node string) (user string, may []string, err error) {
	ask := func(command ...string) (string, error) {
		return r.redis(ctx, node, Auth{Configured: true}, append([]string{"ACL"}, command...)...)
	}
	if user, err = ask("WHOAMI"); err != nil {
		return "", nil, err
	}
	for _, command := range []string{"flushall", "flushdb"} {
		switch answer, err := ask("DRYRUN", user, command); {
		case err != nil && strings.Contains(err.Error(), "not found"): // rename-command has taken it away
		case err != nil:
			return "", nil, err
		case answer == "OK":
			may = append(may, command)
		case !strings.Contains(answer, "no permissions"):
			return "", nil, fmt.Errorf("it answered %.60q", answer)
		}
	}
	return user, may, nil
}

func lookVolume(ctx context.Context, r *round, v *verdict) {
	for _, node := range nodes {
		dir, ok := r.config(ctx, v, node, "dir")
		if !ok {
			continue
		}
		r.each(ctx, v, []string{node}, func(u Unit) {
			known(v, u, "its mounts", u.Mounts, func(mounts []Mount) { r.judgeVolume(v, u, mounts, dir) })
		})
	}
}

// anonymous is the length of the name that Docker gives to a volume without one.
const anonymous = 64

func (r *round) judgeVolume(v *verdict, u Unit, mounts []Mount, dir string) {
	mount, found := mountOf(mounts, dir)
	fix := r.inCompose(u, `volumes: ["`+u.Service+`:`+dir+`"]`)
	if !u.Container {
		fix = "dir /var/lib/redis in redis.conf, then move the data there"
	}
	switch {
	case mount.Kind == "tmpfs":
		v.fail(fix, "%s keeps its data in memory: %s is a tmpfs", u.Name, dir)
	case !u.Container:
		v.pass("%s keeps its data in %s", u.Name, dir)
	case !found:
		v.fail(fix, "%s keeps its data in the container: %s is on no volume", u.Name, dir)
	case mount.Kind == "volume" && len(mount.Name) == anonymous:
		v.fail(fix, "%s keeps its data on a volume without a name, which goes with the container", u.Name)
	case mount.Kind == "volume" || mount.Kind == "bind":
		v.pass("%s keeps its data on the %s %s", u.Name, mount.Kind, orText(mount.Name, mount.Source))
	default:
		v.cannot("docker inspect "+u.Name, "%s keeps its data on a %.40q", u.Name, mount.Kind)
	}
}

func orText(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func lookDisk(ctx context.Context, r *round, v *verdict) {
	for _, node := range nodes {
		info, ok := r.info(ctx, v, node)
		if !ok {
			continue
		}
		dir, ok := r.config(ctx, v, node, "dir")
		used := info.number(v, "used_memory")
		if !ok || used < 0 {
			continue
		}
		r.each(ctx, v, []string{node}, func(u Unit) {
			if r.eyes.Room == nil {
				v.cannot("df -h "+dir, "%s: the room on its disk cannot be seen: %v", u.Name, ErrNoEye)
				return
			}
			room, err := r.eyes.Room(ctx, u, dir)
			if err != nil || room.Total == 0 || room.Free > room.Total {
				v.cannot("df -h "+dir+", on the host of "+node, "%s: the room on its disk cannot be seen: %v", u.Name, err)
				return
			}
			percent := room.Free * 100 / room.Total
			enough := percent >= 20 && room.Free >= 2*uint64(used)
			v.expect(enough, "make room, or grow the disk: docker system df; df -h "+dir, "%s: %d GiB free of %d (%d %%), with %s of data", u.Name, room.Free>>30, room.Total>>30, percent, mebibytes(used))
		})
	}
}

// serverTime asks a node for its clock, and gives it minus ours, with how long asking took: of three times the quickest,
// which tells best.
func (r *round) serverTime(ctx context.Context, node string) (skew, took time.Duration, err error) {
	for try := range 3 {
		before := r.eyes.now()
		text, err := r.redis(ctx, node, Auth{Configured: true}, "TIME")
		passed := r.eyes.now().Sub(before)
		if err != nil {
			return 0, 0, err
		}
		at, err := parseTime(text)
		if err != nil {
			return 0, 0, err
		}
		if try == 0 || passed < took {
			skew, took = at.Sub(before.Add(passed/2)), passed
		}
	}
	return skew, took, nil
}

// parseTime reads the answer to TIME: seconds and microseconds on two lines.
func parseTime(text string) (time.Time, error) {
	var parts [2]int64
	lines := splitLines(text)
	if len(lines) != 2 {
		return time.Time{}, errNoTime
	}
	for i, line := range lines {
		n, err := strconv.ParseInt(line, 10, 64)
		if err != nil || n < 0 {
			return time.Time{}, errNoTime
		}
		parts[i] = n
	}
	return time.Unix(parts[0], parts[1]*1000), nil
}
