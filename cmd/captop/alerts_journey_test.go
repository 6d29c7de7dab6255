package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"captop/deploy/alertmanager/alertmanagertest"
	"captop/service/node/nodetest"
	"captop/tui/tmuxtest"
)

// TestJourneyAlerts is a night on call: a node of the real pair dies, its alert fires, somebody looks at the runbook, runs
// its checks, acknowledges, silences in a real Alertmanager, finds the first deviation, and goes back in time.
func TestJourneyAlerts(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"captop", "capd"} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), "captop/cmd/"+name).CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", name, err, out)
		}
	}
	rules := filepath.Join(dir, "rules.yml")
	if err := os.WriteFile(rules, []byte(quickRules), 0o600); err != nil {
		t.Fatal(err)
	}
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	capd := filepath.Join(dir, "capd")
	manager := alertmanagertest.Start(t)
	s := tmuxtest.Start(t, 120, 40, dir, strings.Join([]string{"XDG_CONFIG_HOME=$PWD/home XDG_STATE_HOME=$PWD/home ./captop --cp", startCapd(t, capd, "cp", g1.URL(), g2.URL()),
		"--ap", startCapd(t, capd, "ap", g1.URL(), g2.URL()), "--g1", g1.URL(), "--g2", g2.URL(), "--rules", rules, "--alertmanager", manager}, " "))
	s.Wait("All is well", "read-only")
	g2.Kill()
	s.Wait("db_g2 is down", "FIRING", "NodeAway")
	s.Keys("2")
	s.Wait(" has lost db_g2", "First look") // of whom first is by their addresses
	s.Keys("x")
	s.Wait("FAIL")
	s.Keys("a")
	s.Wait("acknowledge", "reason")
	s.Keys("I look", "Enter")
	s.Wait("acked by", "I look")
	s.Keys("s")
	s.Wait("press A")
	s.Keys("A")
	s.Wait("ARMED")
	s.Keys("s")
	s.Wait("silence in Alertmanager", `alertname="NodeAway"`)
	s.Keys("we know", "Enter")
	s.Gone("silence in Alertmanager")
	s.Wait("Silenced")
	response, err := http.Get(manager + "/api/v2/silences")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var silences []struct{ Comment string }
	if err := json.NewDecoder(response.Body).Decode(&silences); err != nil || len(silences) != 1 || silences[0].Comment != "we know" {
		t.Errorf("Alertmanager holds %+v, %v", silences, err)
	}
	s.Keys("5")
	s.Wait("NodeAway fires", "looks after NodeAway: I look")
	s.Keys("g")
	s.Wait("db_g2 is down")
	s.Keys("1")
	s.Wait("db_g2 is down")
	for range 60 { // what is ten seconds back may not have been seen yet
		if s.Keys("["); strings.Contains(s.Text(), "PAST") {
			break
		}
		time.Sleep(time.Second)
	}
	s.Wait("PAST")
	s.Keys("L")
	s.Gone("PAST")
	g2.Restart()
	s.Wait("All is well")
	s.Keys(":")
	s.Keys("quit", "Enter")
	s.Wait(tmuxtest.Prompt)
}
