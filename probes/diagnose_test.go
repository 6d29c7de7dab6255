package probes

import (
	"strings"
	"testing"
	"time"

	"captop/service"
	"captop/service/api"
)

// TestVerdicts shows each situation to the diagnosis as Inputs, after two good polls, and reads its verdict.
func TestVerdicts(t *testing.T) {
	const refused, silent = "connection refused", "i/o timeout"
	info := func(s *stack, node, field, value string) { s.info[node] = field + ":" + value + "\r\n" + s.info[node] }
	replace := func(s *stack, node, before, after string) {
		s.info[node] = strings.Replace(s.info[node], before, after, 1)
	}
	out := func(node string, fault Contact, text string) func(*stack) {
		return func(s *stack) {
			s.fail(node, PartInfo, fault, text)
			s.cut(node, "app_cp", "app_ap")
		}
	}
	for _, c := range []struct {
		name      string
		change    func(*stack)
		situation string
		severity  Severity
		byDesign  bool
		sentence  string // a part of it
	}{
		{"all well", func(*stack) {}, "ok", OK, false, "app_cp and app_ap reach db_g1 and db_g2"},
		{"g2 stopped", out(service.G2, Down, refused), "g2_down", Critical, true,
			"db_g2 is down; app_cp refuses writes, answers reads at db_g1; app_ap goes on with db_g1"},
		{"g1 stopped", out(service.G1, Down, refused), "g1_down", Critical, true,
			"db_g1 is down; app_cp refuses writes, answers reads of settled keys; app_ap goes on with db_g2"},
		{"g2 paused", out(service.G2, Hung, silent), "g2_hung", Critical, true, "db_g2 hangs or is cut off"},
		{"g1 paused", out(service.G1, Hung, silent), "g1_hung", Critical, true, "db_g1 hangs or is cut off"},
		{"g2 slow", func(s *stack) { s.took[service.G2] = 300 * time.Millisecond }, "g2_slow", Warning, false, "300ms"},
		{"g1 slow", func(s *stack) { s.took[service.G1] = 300 * time.Millisecond }, "g1_slow", Warning, false, "300ms"},
		{"g2 cut from both", func(s *stack) { s.cut(service.G2, "app_cp", "app_ap") }, "g2_cut", Critical, true,
			"app_cp and app_ap cannot reach db_g2, though it answers captop"},
		{"g1 cut from cp", func(s *stack) { s.cut(service.G1, "app_cp") }, "g1_cut", Critical, true, "app_cp cannot reach db_g1"},
		{"g2 cut from ap only", func(s *stack) { s.cut(service.G2, "app_ap") }, "g2_cut", Warning, true, "app_ap goes on with db_g1"},
		{"both stopped", func(s *stack) { out(service.G1, Down, refused)(s); out(service.G2, Down, refused)(s) }, "both_out", Critical,
			true, "Both nodes are out: db_g1 is down, db_g2 is down"},
		{"g2 seen only by services", func(s *stack) { s.fail(service.G2, PartInfo, Down, refused) }, "g2_unseen", Warning, false,
			"still reachable for app_cp and app_ap"},
		{"captop's password is wrong", func(s *stack) { s.fail(service.G2, PartInfo, Denied, "WRONGPASS") }, "g2_unseen", Warning, false,
			"refuses the password"},
		{"everybody's password is wrong", out(service.G2, Denied, "WRONGPASS"), "g2_denied", Critical, true, "refuses the password"},
		{"g2 loads", out(service.G2, Loading, "LOADING"), "g2_loading", Critical, true, "loading its data"},
		{"g2 loads, as INFO says", func(s *stack) { info(s, service.G2, "loading", "1"); s.cut(service.G2, "app_cp", "app_ap") },
			"g2_loading", Critical, true, "loading its data"},
		{"g2 is no Redis", out(service.G2, Nonsense, "can't parse"), "g2_nonsense", Critical, true, "does not answer as Redis does"},
		{"g2's name unknown", func(s *stack) { s.fail(service.G2, PartInfo, Blind, "no such host") }, "g2_unknown", Unknown, false,
			"captop cannot look at db_g2"},
		{"rejoining", func(s *stack) {
			s.node("app_cp", service.G2, func(n *api.NodeBody) { n.Rejoin = api.RejoinBody{Active: true, Done: 40, Total: 100} })
		}, "g2_rejoining", Warning, true, "40 of 100 keys"},
		{"rejoin waits", func(s *stack) {
			s.node("app_cp", service.G2, func(n *api.NodeBody) { n.Rejoin = api.RejoinBody{Active: true, Waiting: "db_g1 is away"} })
		}, "g2_rejoining", Warning, true, "db_g1 is away"},
		{"emptied", func(s *stack) {
			s.node("app_cp", service.G2, func(n *api.NodeBody) { n.Rejoin = api.RejoinBody{Active: true, Waiting: service.Emptied} })
			s.node("app_ap", service.G2, func(n *api.NodeBody) { n.Rejoin = api.RejoinBody{Active: true, Done: 40, Total: 100} })
		}, "g2_emptied", Critical, false, "db_g2 was emptied while it ran, and may have forgotten what it promised: app_cp takes no writes"},
		{"stale", func(s *stack) {
			s.node("app_ap", service.G2, func(n *api.NodeBody) { n.StalenessMS = 9000 })
		}, "g2_stale", Warning, true, "9s behind, beyond the limit of 5s: app_ap marks"},
		{"breaker stuck", func(s *stack) { s.state["app_cp/db_g2"] = "OPEN" }, "cp_breaker_stuck", Critical, false,
			"holds back from a healthy node"},
		{"breaker recovers", func(s *stack) { s.state["app_cp/db_g2"], s.since = "HALF_OPEN", s.at }, "cp_breaker", Warning, false,
			"about to try it again"},
		{"cp down", func(s *stack) { s.dead("app_cp", Down, refused) }, "cp_down", Critical, false, "app_cp is down"},
		{"ap hung", func(s *stack) { s.dead("app_ap", Hung, silent) }, "ap_hung", Critical, false, "app_ap hangs"},
		{"cp draining", func(s *stack) { s.health["app_cp"].Status, s.health["app_cp"].Draining = api.StatusDraining, true },
			"cp_draining", Critical, true, "app_cp is stopping"},
		{"cp is something else", func(s *stack) { s.broken["app_cp/health"] = Input{Fault: Up, Status: 200, Body: "<html>"} },
			"cp_nonsense", Critical, false, "is not a healthy app_cp"},
		{"cp says what nobody knows", func(s *stack) { s.health["app_cp"].Status = "splendid" }, "cp_nonsense", Critical, false, "splendid"},
		{"cp is degraded unseen", func(s *stack) { s.health["app_cp"].Status = api.StatusDegraded }, "cp_degraded", Warning, false,
			"does not see why"},
		{"metrics gone", func(s *stack) { s.broken["app_ap/metrics"] = Input{Fault: Up, Status: 200, Body: "x 1\n"} }, "ap_part",
			Unknown, false, "/metrics"},
		{"token refused", func(s *stack) { s.broken["app_ap/health"] = Input{Fault: Up, Status: 401} }, "ap_denied", Unknown, false,
			"refuses captop"},
		{"captop cut off", func(s *stack) {
			s.dead("app_cp", Hung, silent)
			s.dead("app_ap", Hung, silent)
			s.fail(service.G1, PartInfo, Hung, silent)
			s.fail(service.G2, PartInfo, Hung, silent)
		}, "captop_blind", Unknown, false, "captop reaches none of its 4 targets"},
		{"everything stopped", func(s *stack) {
			s.dead("app_cp", Down, refused)
			s.dead("app_ap", Down, refused)
			s.fail(service.G1, PartInfo, Down, refused)
			s.fail(service.G2, PartInfo, Down, refused)
		}, "all_down", Critical, false, "Nothing answers: app_cp, app_ap, db_g1 and db_g2 are down"},
		{"g2 is a replica", func(s *stack) { replace(s, service.G2, "role:master", "role:slave") }, "g2_replica", Critical, false, "replica"},
		{"AOF fails", func(s *stack) { replace(s, service.G1, "aof_last_write_status:ok", "aof_last_write_status:err") },
			"g1_aof_failed", Critical, false, "append-only"},
		{"AOF is not told of", func(s *stack) { replace(s, service.G1, "aof_last_write_status:ok\r\n", "") }, "g1_disk_untold", Unknown, false,
			"no usable aof_last_write_status"},
		{"AOF switched off", func(s *stack) {
			replace(s, service.G1, "aof_enabled:1\r\naof_last_write_status:ok\r\n", "aof_enabled:0\r\n")
		}, "g1_aof_off", Warning, false, "db_g1 has had no append-only file for 5s"},
		{"memory short", func(s *stack) { replace(s, service.G1, "maxmemory:0", "maxmemory:1050") }, "g1_memory", Warning, false, "95 %"},
		{"out of memory", func(s *stack) { replace(s, service.G1, "maxmemory:0", "maxmemory:1000\r\nmaxmemory_policy:noeviction") },
			"g1_out_of_memory", Critical, false, "refuses writes (OOM)"},
		{"deletes when it is full", func(s *stack) {
			replace(s, service.G1, "maxmemory:0", "maxmemory:9000\r\nmaxmemory_policy:allkeys-lru")
		},
			"g1_evicts", Warning, false, "deletes data when memory is short (maxmemory-policy allkeys-lru), and uses 11 % of its limit."},
		{"has deleted", func(s *stack) { replace(s, service.G1, "maxmemory:0", "maxmemory:9000\r\nevicted_keys:141") }, "g1_evicted", Critical, false,
			"has deleted 141 keys for want of memory"},
		{"BGSAVE fails", func(s *stack) { replace(s, service.G2, "rdb_last_bgsave_status:ok", "rdb_last_bgsave_status:err") },
			"g2_rdb_failed", Warning, false, "MISCONF"},
		{"AOF rewrite fails", func(s *stack) {
			replace(s, service.G2, "aof_last_write_status:ok", "aof_last_write_status:ok\r\naof_last_bgrewrite_status:err")
		}, "g2_aof_rewrite_failed", Warning, false, "goes on growing"},
		{"clients at the limit", func(s *stack) { info(s, service.G2, "connected_clients", "95\r\nmaxclients:100") }, "g2_clients", Warning,
			false, "95 of 100 clients"},
		{"clients beyond the limit", func(s *stack) { info(s, service.G2, "connected_clients", "8\r\nmaxclients:5") }, "g2_clients", Critical,
			false, "has 8 of 5 clients, and takes no more"},
		{"no more clients", out(service.G2, Nonsense, "ERR max number of clients reached"), "g2_nonsense", Critical, true,
			"takes no more clients (maxclients)"},
		{"busy with a script", out(service.G2, Hung, "BUSY Redis is busy running a script."), "g2_hung", Critical, true,
			"db_g2 is busy with a script that does not end, and serves nobody; app_cp refuses writes"},
		{"refuses both", func(s *stack) {
			s.node("app_cp", service.G1, func(n *api.NodeBody) { n.Refusal = "NOREPLICAS Not enough good replicas to write" })
			s.node("app_ap", service.G1, func(n *api.NodeBody) { n.Refusal, n.StalenessMS = "NOREPLICAS Not enough good replicas to write", 9000 })
		}, "g1_refuses", Critical, false, "db_g1 answers, and refuses commands of app_cp and app_ap: NOREPLICAS Not enough good replicas to write."},
		{"refuses app_ap", func(s *stack) {
			s.node("app_ap", service.G1, func(n *api.NodeBody) { n.Refusal = "NOPERM User ap has no permissions to run the 'evalsha' command" })
		}, "g1_refuses", Warning, false, "refuses commands of app_ap: NOPERM User ap"},
		{"refuses at a key", func(s *stack) {
			s.node("app_cp", service.G1, func(n *api.NodeBody) { n.Refusal = "WRONGTYPE Operation against a key holding the wrong kind of value" })
		}, "g1_refuses", Warning, false, "db_g1 holds something else in the place of a key of app_cp (WRONGTYPE)."},
		{"refuses as its INFO tells", func(s *stack) {
			replace(s, service.G1, "maxmemory:0", "maxmemory:1000\r\nmaxmemory_policy:noeviction")
			s.node("app_cp", service.G1, func(n *api.NodeBody) { n.Refusal = "OOM command not allowed when used memory > 'maxmemory'" })
		}, "g1_out_of_memory", Critical, false, "refuses writes (OOM)"},
		{"ap's clock is ahead", func(s *stack) { s.skew["app_ap"] = 5 * time.Second }, "ap_clock", Warning, false, "5s ahead of captop's"},
		{"ap says that its clock is ahead", func(s *stack) {
			s.skew["app_ap"], s.health["app_ap"].Status = time.Hour, api.StatusDegraded
			s.health["app_ap"].WritesRefused = "this instance's clock is 1h0m0s ahead of db_g1; 500ms are allowed"
		}, "ap_clock", Critical, false, "app_ap refuses every write, and answers reads: its clock is 1h0m0s ahead of db_g1"},
		{"cp's clock is behind", func(s *stack) { s.skew["app_cp"] = -time.Minute }, "cp_clock", Warning, false, "59s behind captop's"},
		{"captop's clock is off", func(s *stack) { s.skew["app_cp"], s.skew["app_ap"] = time.Hour, time.Hour }, "captop_clock", Warning, false,
			"The clock of this host"},
		{"errors", func(s *stack) { s.growing["app_cp"] = [2]int{30, 20} }, "cp_errors", Critical, false, "app_cp answered 40 %"},
		{"errors, for what a node refuses", func(s *stack) {
			s.growing["app_ap"] = [2]int{30, 20}
			s.node("app_ap", service.G1, func(n *api.NodeBody) { n.Refusal = "NOPERM User ap has no permissions to run the 'evalsha' command" })
		}, "g1_refuses", Critical, false, "db_g1 answers, and refuses commands of app_ap"},
		{"few errors", func(s *stack) { s.growing["app_cp"] = [2]int{98, 2} }, "cp_errors", Warning, false, "2.0 %"},
		{"errors are over", func(s *stack) {
			s.total["app_cp"] = [2]int{200, 100} // in one poll, and none after it
		}, "cp_recovering", Warning, false, "app_cp recovers: no error for 5"},
		{"one Redis for both", func(s *stack) { s.info[service.G2] = s.info[service.G1] }, "same_redis", Critical, false, "no second copy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, state := newStack(), newState(t, targets(), tick, epoch)
			if before := s.watch(t, state, 2); before.Severity != OK {
				t.Fatalf("before the change: %+v", before.Verdict)
			}
			c.change(s)
			snap := s.watch(t, state, 6)
			v := snap.Verdict
			if v.Situation != c.situation || v.Severity != c.severity || v.ByDesign != c.byDesign || !strings.Contains(v.Sentence, c.sentence) {
				t.Errorf("got %+v\nwant %s %s by design %t, with %q", v, c.situation, c.severity, c.byDesign, c.sentence)
			}
			if v.NextStep == "" || strings.Contains(v.Sentence+v.NextStep, "secret") {
				t.Errorf("no next step, or a password: %+v", v)
			}
		})
	}
}

// TestKeyOfSomethingElse shows what is advised about what is no key of theirs: the node's restart puts the peer's in its place,
// but for what db_g2 holds while db_g1 waits for it.
func TestKeyOfSomethingElse(t *testing.T) {
	const reply = "WRONGTYPE Operation against a key holding the wrong kind of value"
	for _, is := range []struct{ at, waits, situation, act string }{
		{service.G1, "", "g1_refuses", "restart db_g1"},
		{service.G2, "", "g2_refuses", "restart db_g2"},
		{service.G1, service.G2, "g2_rejoining", "restart db_g1"},
		{service.G2, service.G1, "g1_rejoining", ""},
	} {
		s, state := newStack(), newState(t, targets(), tick, epoch)
		s.watch(t, state, 2)
		s.node("app_cp", is.at, func(n *api.NodeBody) { n.Refusal = reply })
		s.node("app_cp", is.waits, func(n *api.NodeBody) {
			n.Rejoin = api.RejoinBody{Active: true, Waiting: "asking " + is.at + ": cp:{1}:k:x: " + reply}
		})
		v := s.watch(t, state, 2).Verdict
		if v.Situation != is.situation || v.Act != is.act || v.Severity != Warning || v.ByDesign || len(v.Also) > 0 {
			t.Errorf("%+v: %+v", is, v)
		}
		if deleted := strings.Contains(v.NextStep, "delete it (DEL)"); deleted != (is.act == "") {
			t.Errorf("%+v: the next step is %q", is, v.NextStep)
		}
	}
}

// TestEvicted: a node gets back what it has deleted by a restart, which is not advised while it would delete it again.
func TestEvicted(t *testing.T) {
	for policy, act := range map[string]string{"allkeys-lru": "", "noeviction": "restart db_g1"} {
		for situation, waiting := range map[string]string{"g1_evicted": "", "g1_emptied": service.Emptied} {
			s, state := newStack(), newState(t, targets(), tick, epoch)
			s.watch(t, state, 2)
			s.info[service.G1] = strings.Replace(s.info[service.G1], "maxmemory:0", "maxmemory:9000\r\nevicted_keys:141\r\nmaxmemory_policy:"+policy, 1)
			s.node("app_cp", service.G1, func(n *api.NodeBody) { n.Rejoin = api.RejoinBody{Active: waiting != "", Waiting: waiting} })
			v := s.watch(t, state, 2).Verdict
			if told := strings.Contains(v.NextStep, "maxmemory-policy"); v.Situation != situation || v.Act != act || told != (act == "") {
				t.Errorf("%s: %+v", policy, v)
			}
			if told := strings.Count(v.Sentence+strings.Join(v.Also, " "), "has deleted 141 keys for want of memory"); told != 1 {
				t.Errorf("%s: what it has deleted is told %d times: %+v", policy, told, v)
			}
		}
	}
}

// TestNoAOF: a node that never had an AOF has lost none, and what one has to tell is not missed; one that has it again is well.
func TestNoAOF(t *testing.T) {
	const on, off = "aof_enabled:1\r\naof_last_write_status:ok\r\n", "aof_enabled:0\r\n"
	s, state := newStack(), newState(t, targets(), tick, epoch)
	for _, step := range []struct{ old, new, situation string }{{on, off, "ok"}, {off, on, "ok"}, {on, off, "g1_aof_off"}, {off, on, "ok"}} {
		s.info[service.G1] = strings.Replace(s.info[service.G1], step.old, step.new, 1)
		if v := s.watch(t, state, 2).Verdict; v.Situation != step.situation {
			t.Errorf("%q: %+v", step.new, v)
		}
	}
}

// TestHeldByPeer: what db_g2 cannot be told by a db_g1 that has evicted keys comes with the restart of db_g1.
func TestHeldByPeer(t *testing.T) {
	s, state := newStack(), newState(t, targets(), tick, epoch)
	s.watch(t, state, 2)
	s.node("app_cp", service.G2, func(n *api.NodeBody) { n.Rejoin = api.RejoinBody{Active: true, Waiting: "db_g1 " + service.Evicted} })
	if v := s.watch(t, state, 2).Verdict; v.Situation != "g2_rejoining" || v.Act != "restart db_g1" || v.ByDesign {
		t.Errorf("%+v", v)
	}
}

// TestActs shows that what a verdict names to be done is done to the part that the verdict is about.
func TestActs(t *testing.T) {
	for act, change := range map[string]func(*stack){
		"heal db_g1": func(s *stack) {
			s.fail(service.G1, PartInfo, Hung, "i/o timeout")
			s.cut(service.G1, "app_cp", "app_ap")
		},
		"heal db_g2": func(s *stack) { s.cut(service.G2, "app_cp", "app_ap") },
		"restart db_g1": func(s *stack) {
			s.node("app_cp", service.G1, func(n *api.NodeBody) { n.Rejoin = api.RejoinBody{Active: true, Waiting: service.Emptied} })
		},
		"start app_ap": func(s *stack) { s.dead("app_ap", Down, "connection refused") },
		"heal app_cp":  func(s *stack) { s.dead("app_cp", Hung, "i/o timeout") },
		"": func(s *stack) {
			s.fail(service.G1, PartInfo, Denied, "WRONGPASS")
			s.cut(service.G1, "app_cp", "app_ap")
		},
	} {
		s, state := newStack(), newState(t, targets(), tick, epoch)
		s.watch(t, state, 2)
		change(s)
		if v := s.watch(t, state, 6).Verdict; v.Act != act || v.Situation == "ok" {
			t.Errorf("want the act %q of %+v", act, v)
		}
	}
}

// TestServicesNoticeFirst: that a node answers captop is said of answers that it gave since the services cannot reach it. One that
// hangs is given up by a service before captop has waited long enough.
func TestServicesNoticeFirst(t *testing.T) {
	for _, then := range []struct {
		change    func(*stack)
		situation string
	}{
		{func(*stack) {}, "g2_cut"},
		{func(s *stack) { s.fail(service.G2, PartInfo, Hung, "i/o timeout") }, "g2_hung"},
	} {
		s, state := newStack(), newState(t, targets(), tick, epoch)
		s.watch(t, state, 2)
		s.cut(service.G2, "app_cp", "app_ap")
		if v := s.watchBut(t, state, service.G2).Verdict; v.Situation != "g2_unreached" || v.Severity != Critical || v.Act != "" ||
			!strings.Contains(v.Sentence, "has not answered captop since") {
			t.Errorf("before captop knows: %+v", v)
		}
		then.change(s)
		if v := s.watch(t, state, 1).Verdict; v.Situation != then.situation {
			t.Errorf("a poll later: %+v, want %s", v, then.situation)
		}
	}
}

// TestBothLostFirst: it is the same where the services lose both.
func TestBothLostFirst(t *testing.T) {
	s, state := newStack(), newState(t, targets(), tick, epoch)
	s.watch(t, state, 2)
	s.cut(service.G1, "app_cp", "app_ap")
	s.cut(service.G2, "app_cp", "app_ap")
	if v := s.watchBut(t, state, service.G2).Verdict; !strings.Contains(v.Sentence, "db_g1 is cut off from the services, db_g2 cannot be reached by the services") {
		t.Errorf("with an answer of db_g1 only: %+v", v)
	}
}

// TestRestart tells the story of a node that stops, comes back, is taken up again and settled: each step has its words,
// and what the services' breakers do meanwhile is told once.
func TestRestart(t *testing.T) {
	s, state := newStack(), newState(t, targets(), tick, epoch)
	s.watch(t, state, 2)
	s.fail(service.G2, PartInfo, Down, "connection refused")
	s.cut(service.G2, "app_cp", "app_ap")
	began := s.at
	v := s.watch(t, state, 6).Verdict
	if v.Situation != "g2_down" || v.Act != "restart db_g2" || !v.Since.Equal(began) {
		t.Errorf("while it is down: %+v; since %s", v, began)
	}
	for i := range 20 { // the breakers try
		s.state["app_cp/db_g2"] = []string{"HALF_OPEN", "OPEN"}[i%2]
		s.watch(t, state, 1)
	}
	delete(s.broken, service.G2+"/"+string(PartInfo))
	s.info[service.G2] = strings.Replace(s.info[service.G2], "run_id:run", "run_id:new", 1)
	if v = s.watch(t, state, 2).Verdict; v.Situation != "g2_returning" || v.Severity != Critical {
		t.Errorf("once it is back: %+v", v)
	}
	for _, svc := range s.names {
		s.health[svc].Status, s.state[svc+"/"+service.G2] = api.StatusOK, "CLOSED"
		s.node(svc, service.G2, func(n *api.NodeBody) {
			n.Reachable, n.RunID, n.Since, n.Rejoin = true, "newdb_g2", s.at, api.RejoinBody{Active: true, Since: s.at, Done: 1, Total: 2}
		})
	}
	if v = s.watch(t, state, 2).Verdict; v.Situation != "g2_rejoining" || v.Severity != Warning {
		t.Errorf("while it rejoins: %+v", v)
	}
	for _, svc := range s.names {
		s.node(svc, service.G2, func(n *api.NodeBody) { n.Rejoin = api.RejoinBody{} })
	}
	snap := s.watch(t, state, 2)
	kinds := map[string]int{}
	for _, e := range snap.Events {
		kinds[e.Kind]++
	}
	if snap.Severity != OK || kinds["breaker"] != 4 || kinds["restart"] != 1 || kinds["rejoin"] != 2 || kinds["target"] != 2 {
		t.Errorf("at the end %s with events %v", snap.Severity, kinds)
	}
}

// TestRefusalBesideAnotherInstance: who refuses alone is worse than who has somebody beside it.
func TestRefusalBesideAnotherInstance(t *testing.T) {
	s := newStack()
	s.join("app_ap-2", service.ModeAP)
	s.names = append(s.names, "app_ap-2")
	all := targets()
	all.Services = append(all.Services, ServiceTarget{Name: "app_ap-2", Mode: service.ModeAP, URL: "http://ap2:5002"})
	state := newState(t, all, tick, epoch)
	for refusing, want := range []Severity{OK, Warning, Critical} {
		for _, svc := range []string{"app_ap", "app_ap-2"}[:refusing] {
			s.health[svc].Status, s.health[svc].WritesRefused = api.StatusDegraded, "this instance's clock is off"
		}
		if v := s.watch(t, state, 3).Verdict; v.Severity != want {
			t.Errorf("with %d of two refusing: %+v", refusing, v)
		}
	}
}
