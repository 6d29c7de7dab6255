package doctor

import (
	"context"
	"slices"
	"time"
)

// drillLeft is how long a drill proves anything.
const drillLeft = 30 * 24 * time.Hour

func backupChecks() []check {
	return []check{
		{Line{"backup-age", "backups", "Each node has a verified backup that is younger than the RPO of 5 minutes",
			"when both nodes are lost, what is younger than the backup is lost with them"}, lookBackups},
		{Line{"restore-drill", "backups", "A restore was exercised in the last 30 days, within the RPO of 5 and the RTO of 15 minutes",
			"a backup that was never restored is a hope"}, func(ctx context.Context, r *round, v *verdict) {
			lookDrill(ctx, r, v, "restore", "captop drill")
		}},
		{Line{"failover-drill", "backups", "A failover to the standby was exercised in the last 30 days, within the RTO of 15 minutes",
			"a standby that never took over will fail when it must"}, func(ctx context.Context, r *round, v *verdict) {
			lookDrill(ctx, r, v, "failover", "captop drill failover")
		}},
	}
}

func lookBackups(ctx context.Context, r *round, v *verdict) {
	const fix = "captop backup take --every 4m --keep 12"
	if r.eyes.Backups == nil {
		v.cannot("captop backup list", "the backups cannot be looked at: %v", ErrNoEye)
		return
	}
	backups, err := r.eyes.Backups(ctx)
	if err != nil {
		v.cannot("captop backup list", "the backups cannot be looked at: %v", err)
		return
	}
	now := r.eyes.now()
	for _, node := range nodes {
		var newest Backup
		unverified := 0
		for _, b := range backups {
			switch {
			case b.Node != node:
			case !b.Verified || b.Problem != "" || b.TakenAt.IsZero():
				unverified++
			case b.TakenAt.After(newest.TakenAt):
				newest = b
			}
		}
		age := now.Sub(newest.TakenAt)
		switch {
		case newest.Node == "":
			v.fail(fix, "%s has no verified backup (%d not verified)", node, unverified)
		case age < -time.Minute:
			v.cannot("timedatectl", "%s: the newest backup is of %s, which is to come: a clock is wrong", node, newest.TakenAt.UTC().Format(time.DateTime))
		default:
			v.expect(age <= RPO, fix, "%s: the newest verified backup is %s old", node, age.Round(time.Second))
		}
	}
}

func lookDrill(ctx context.Context, r *round, v *verdict, kind, fix string) {
	if r.eyes.Drills == nil {
		v.cannot(fix, "what drills there were cannot be looked at: %v", ErrNoEye)
		return
	}
	drills, err := r.eyes.Drills(ctx)
	if err != nil {
		v.cannot(fix, "what drills there were cannot be looked at: %v", err)
		return
	}
	drills = slices.DeleteFunc(slices.Clone(drills), func(d Drill) bool { return d.Kind != kind || d.At.IsZero() })
	if len(drills) == 0 {
		v.fail(fix, "there was never a drill of a %s", kind)
		return
	}
	last := slices.MaxFunc(drills, func(a, b Drill) int { return a.At.Compare(b.At) })
	age := r.eyes.now().Sub(last.At)
	days := int(age.Hours()) / 24
	switch {
	case age < -time.Minute:
		v.cannot("timedatectl", "the last drill is of %s, which is to come: a clock is wrong", day(last.At))
	case !last.OK:
		v.fail(fix, "the last drill, %d days ago, did not end well", days)
	case age > drillLeft:
		v.fail(fix, "the last drill was %d days ago", days)
	case last.RTO <= 0:
		v.cannot(fix, "the last drill, %d days ago, does not say how long it took", days)
	default:
		v.expect(last.RPO <= RPO, fix, "%d days ago: RPO %s reached, 5m0s wanted", days, last.RPO.Round(time.Second))
		v.expect(last.RTO <= RTO, fix, "%d days ago: RTO %s reached, 15m0s wanted", days, last.RTO.Round(time.Millisecond))
	}
}
