package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"captop/deploy/backup"
	"captop/deploy/dbnode"
	"captop/service"
	"captop/service/node/nodetest"
)

// stack is two real nodes with some keys of both services on them.
func stack(t *testing.T, keys int) map[string]*nodetest.Server {
	t.Helper()
	servers := map[string]*nodetest.Server{service.G1: nodetest.Start(t), service.G2: nodetest.Start(t)}
	stores, closeAll, err := open(urls(servers))
	defer closeAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, store := range stores {
		if err := settled(t.Context(), store); err != nil {
			t.Fatal(err)
		}
		for i := range keys {
			if _, err := store.Write(t.Context(), fmt.Sprint("key ", i), []byte("value")); err != nil {
				t.Fatal(err)
			}
		}
		for i := range keys { // wherever it was written
			for _, at := range []string{service.G1, service.G2} {
				for {
					if _, err := store.Read(t.Context(), fmt.Sprint("key ", i), service.ReadOptions{Node: at}); err == nil {
						break
					}
					time.Sleep(time.Millisecond)
				}
			}
		}
	}
	return servers
}

func urls(servers map[string]*nodetest.Server) map[string]string {
	all := map[string]string{}
	for name, s := range servers {
		all[name] = s.URL()
	}
	return all
}

func driller(t *testing.T) *Driller {
	return &Driller{Dir: t.TempDir(), Now: time.Now, Tell: func(text string) { t.Log(text) }}
}

func take(t *testing.T, d *Driller, servers map[string]*nodetest.Server, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := (backup.Store{Dir: d.Dir, Now: d.Now}).Take(t.Context(), name, servers[name].URL(), func(string) {}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRestoreDrill(t *testing.T) {
	servers, d := stack(t, 150), driller(t)
	if _, err := d.Restore(t.Context()); !errors.Is(err, errNoBackup) {
		t.Errorf("without a backup: %v", err)
	}
	if last, found, err := Last(d.Dir, Restore); err != nil || !found || last.OK || !strings.Contains(last.Problem, "no backup") {
		t.Errorf("a drill that failed is not remembered: %+v, %v", last, err)
	}
	take(t, d, servers, service.G1, service.G2)
	got, err := d.Restore(t.Context())
	if err != nil || !got.OK || got.Read != 200 || got.RTO <= 0 || got.RPO <= 0 || got.RPO > RPOTarget {
		t.Errorf("%+v, %v", got, err)
	}
	for _, n := range got.Nodes {
		if n.CP != 150 || n.AP != 150 || n.Backup == "" {
			t.Errorf("%+v", n)
		}
	}
	if last, found, err := Last(d.Dir, Restore); err != nil || !found || last.RTO != got.RTO || !last.OK {
		t.Errorf("remembered is %+v, %v", last, err)
	}
	later := *d
	later.Now = func() time.Time { return time.Now().Add(6 * time.Minute) }
	if got, err := later.Restore(t.Context()); err != nil || got.OK || !strings.Contains(got.Problem, "RPO 6m") {
		t.Errorf("a backup that is too old: %+v, %v", got, err)
	}
	dumps, err := filepath.Glob(filepath.Join(d.Dir, "db_g2-*.rdb"))
	if err != nil || len(dumps) != 1 {
		t.Fatal(dumps, err)
	}
	whole, err := os.ReadFile(dumps[0])
	if err != nil {
		t.Fatal(err)
	}
	whole[len(whole)/2] ^= 1
	if err := os.WriteFile(dumps[0], whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Restore(t.Context()); err == nil || got.OK {
		t.Errorf("a damaged backup passes: %+v", got)
	}
}

// TestOneBackupIsEnough: a node without a backup takes all from the other.
func TestOneBackupIsEnough(t *testing.T) {
	servers := stack(t, 20)
	for _, name := range []string{service.G1, service.G2} {
		d := driller(t)
		take(t, d, servers, name)
		if got, err := d.Restore(t.Context()); err != nil || !got.OK || got.Nodes[0].CP != 20 || got.Nodes[1].AP != 20 {
			t.Errorf("%s only: %+v, %v", name, got, err)
		}
	}
}

func standbys(t *testing.T, primaries map[string]*nodetest.Server) map[string]*nodetest.Server {
	t.Helper()
	all := map[string]*nodetest.Server{}
	for name, primary := range primaries {
		host, port, err := net.SplitHostPort(primary.Addr())
		if err != nil {
			t.Fatal(err)
		}
		all[name] = nodetest.Start(t, "--replicaof", host, port, "--repl-diskless-sync-delay", "0", "--appendonly", "no")
	}
	for _, s := range all {
		awaitLink(t, s)
	}
	return all
}

func awaitLink(t *testing.T, s *nodetest.Server) {
	t.Helper()
	var last dbnode.Standing
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); time.Sleep(20 * time.Millisecond) {
		if last, _ = dbnode.AskAt(t.Context(), s.URL()); last.Role == "slave" && last.LinkUp {
			return
		}
	}
	t.Fatalf("it follows nobody: %+v", last)
}

func TestFailoverDrill(t *testing.T) {
	primaries := stack(t, 50)
	spare, d := standbys(t, primaries), driller(t)
	before, err := dbnode.AskAt(t.Context(), primaries[service.G1].URL())
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Failover(t.Context(), urls(primaries), urls(spare), false)
	if err != nil || !got.OK || got.Read != 100 || got.RTO <= 0 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, s := range spare {
		awaitLink(t, s)
	}
	after, err := dbnode.AskAt(t.Context(), primaries[service.G1].URL())
	if err != nil || after.Keys != before.Keys || after.RunID != before.RunID {
		t.Errorf("the drill touched the primary: %+v, before %+v, %v", after, before, err)
	}
	if standby, err := dbnode.AskAt(t.Context(), spare[service.G1].URL()); err != nil || standby.Keys != after.Keys {
		t.Errorf("the drill's own writes are left: %d keys, %d at the primary, %v", standby.Keys, after.Keys, err)
	}
	if _, promoted, err := Promoted(d.Dir); promoted || err != nil {
		t.Errorf("it counts as promoted: %v", err)
	}
	if err := d.Back(t.Context(), urls(spare)); !errors.Is(err, ErrNotPromoted) {
		t.Errorf("back from nowhere: %v", err)
	}
	if last, found, err := Last(d.Dir, Failover); !found || err != nil || last.RTO != got.RTO {
		t.Errorf("remembered is %+v, %v", last, err)
	}
}

// TestFailoverOnTheDay: the primaries are gone, the standbys stay promoted, and one day follow again.
func TestFailoverOnTheDay(t *testing.T) {
	primaries := stack(t, 20)
	spare, d := standbys(t, primaries), driller(t)
	for _, s := range primaries {
		s.Kill()
	}
	if _, err := d.Failover(t.Context(), urls(primaries), urls(spare), false); err == nil || !strings.Contains(err.Error(), "its primary") {
		t.Errorf("an exercise without primaries: %v", err)
	}
	got, err := d.Failover(t.Context(), urls(primaries), urls(spare), true)
	if err != nil || got.Nodes[0].CP < 20 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := d.Failover(t.Context(), urls(primaries), urls(spare), false); !errors.Is(err, ErrPromoted) {
		t.Errorf("an exercise on the promoted pair: %v", err)
	}
	for _, s := range primaries {
		s.Restart()
	}
	if err := d.Back(t.Context(), urls(spare)); err != nil {
		t.Error(err)
	}
	for _, s := range spare {
		awaitLink(t, s)
	}
}

// TestFailoverInterrupted: a drill that is stopped in the middle puts the standbys back; one that was killed leaves a note.
func TestFailoverInterrupted(t *testing.T) {
	primaries := stack(t, 20)
	spare, d := standbys(t, primaries), driller(t)
	ctx, cancel := context.WithCancel(t.Context())
	d.Tell = func(text string) {
		if strings.HasPrefix(text, "starting app_cp") {
			cancel()
		}
	}
	if _, err := d.Failover(ctx, urls(primaries), urls(spare), false); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	for _, s := range spare {
		awaitLink(t, s)
	}
	follows := map[string]string{service.G1: primaries[service.G1].Addr(), service.G2: primaries[service.G2].Addr()}
	if err := (Promotion{At: d.Now(), Primaries: follows}).save(d.Dir); err != nil { // as one that was killed right then
		t.Fatal(err)
	}
	if _, err := d.Failover(t.Context(), urls(primaries), urls(spare), false); !errors.Is(err, ErrPromoted) || !strings.Contains(err.Error(), "--back") {
		t.Errorf("%v", err)
	}
	if err := d.Back(t.Context(), urls(spare)); err != nil {
		t.Error(err)
	}
}

func TestNoStandby(t *testing.T) {
	primaries := stack(t, 1)
	d := driller(t)
	if _, err := d.Failover(t.Context(), urls(primaries), urls(primaries), false); !errors.Is(err, ErrNoStandby) {
		t.Errorf("%v", err)
	}
}
