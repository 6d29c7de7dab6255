package doctor

import (
	"context"
	"strings"
	"testing"
)

func TestJudgeZones(t *testing.T) {
	apart := []Task{{"app_cp", "1", "anna", "a"}, {"app_cp", "2", "berta", "b"}, {"app_ap", "2", "berta", "b"}, {"app_ap", "3", "carla", "c"}}
	g1, g2 := Task{"db_g1", "1", "anna", "a"}, Task{"db_g2", "2", "berta", "b"}
	for name, c := range map[string]struct {
		tasks     []Task
		outcome   Outcome
		says, fix string
	}{
		"apart":                   {append(apart, g1, g2), Pass, "db_g1 runs on anna (zone a), db_g2 on berta (zone b)", ""},
		"instances in some zones": {append(apart, g1, g2, Task{"app_cp", "4", "doris", ""}), Pass, "app_cp runs in the zones a, b", ""},
		"other services together": {append(apart, g1, g2, Task{"haproxy", "4", "doris", ""}), Pass, "", ""},
		"one host":                {append(apart, g1, Task{"db_g2", "1", "anna", "a"}), Fail, "both run on anna (zone a)", "ZONE_G2=OTHER docker stack deploy -c deploy/swarm/stack.yml shop"},
		"one host without a zone": {append(apart, Task{"db_g1", "4", "doris", ""}, Task{"db_g2", "4", "doris", ""}), Fail, "both run on doris (no label zone)", "--label-add"},
		"one zone":                {append(apart, g1, Task{"db_g2", "5", "erika", "a"}), Fail, "db_g1 runs on anna (zone a), db_g2 on erika (zone a)", "--label-add"},
		"two of one name":         {append(apart, g1, Task{"db_g2", "5", "anna", "b"}), Pass, "", ""},
		"one that moves":          {append(apart, g1, g2, Task{"db_g2", "1", "anna", "a"}), Fail, "both run on anna", "--label-add"},
		"db_g1 has no zone":       {append(apart, Task{"db_g1", "4", "doris", ""}, g2), CannotTell, "db_g1 runs on doris, which has no label zone", "docker node update --label-add zone=ZONE doris"},
		"db_g2 has no zone":       {append(apart, g1, Task{"db_g2", "4", "doris", ""}), CannotTell, "db_g2 runs on doris, which has no label zone", "docker node update --label-add zone=ZONE doris"},
		"db_g2 does not run":      {append(apart, g1), CannotTell, "of db_g2 no task runs", "docker service ps --no-trunc shop_db_g2"},
		"db_g2 is nowhere":        {append(apart, g1, Task{"db_g2", "", "", "b"}), CannotTell, "of db_g2 no task runs on a host that the swarm knows", "docker service ps --no-trunc shop_db_g2"},
		"app_ap in one zone":      {append(apart[:2:2], g1, g2, apart[2], apart[2]), Fail, "of app_ap 2 instances run, all in the zone b", "docker service update --force shop_app_ap"},
		"app_ap has no zone":      {append(apart[:2:2], g1, g2, apart[2], Task{"app_ap", "4", "doris", ""}), CannotTell, "app_ap runs on doris, without", "--label-add zone=ZONE doris"},
	} {
		t.Run(name, func(t *testing.T) {
			v := &verdict{}
			judgeZones(Swarm{Stack: "shop", Tasks: c.tasks}, v)
			if v.outcome() != c.outcome || !strings.Contains(strings.Join(v.seen(), "; "), c.says) || !strings.Contains(v.fix(), c.fix) {
				t.Errorf("%s %q, fix %q; wanted %s %q, fix %q", v.outcome(), v.seen(), v.fix(), c.outcome, c.says, c.fix)
			}
		})
	}
}

// TestZonesWithoutAManager: a worker of a swarm fails what it sees on itself, and sends to a manager for the rest.
func TestZonesWithoutAManager(t *testing.T) {
	eyes := goodEyes(t)
	eyes.Swarm = func(context.Context) (Swarm, error) { return Swarm{}, ErrNoManager }
	if r := runOne(t, "zones", eyes); r.Outcome != Fail || !strings.Contains(r.Seen[0], "both nodes run on this host") {
		t.Errorf("both nodes on one worker: %s %q", r.Outcome, r.Seen)
	}
	with(&eyes, "db_g2", func(u *Unit) { u.Local = false })
	if r := runOne(t, "zones", eyes); r.Outcome != CannotTell || !strings.Contains(r.Seen[0], ErrNoManager.Error()) || !strings.Contains(r.Fix, "on a manager of the swarm") {
		t.Errorf("on a worker: %s %q, fix %q", r.Outcome, r.Seen, r.Fix)
	}
}
