package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"captop/service"
	"captop/service/api"
	"captop/service/linearizable"
)

// ledger writes growing numbers under keys of its own, through HAProxy, and knows of each key what was acknowledged last and
// what was tried last: what a node holds at the end has to lie between them. Readers note what they see of CP's keys
// meanwhile, so that its history can be checked.
type ledger struct {
	mode    service.Mode
	clients []*api.Client
	history *linearizable.History
	run     string // of the test
	stop    context.CancelFunc
	workers sync.WaitGroup

	acked, tried []int64 // by client
	refused      atomic.Int64
	answered     atomic.Int64 // when the last write was acknowledged, Unix milliseconds
}

func startLedger(t *testing.T, s *stack, mode service.Mode) *ledger {
	t.Helper()
	const writers = 3
	ctx, cancel := context.WithCancel(context.Background())
	l := &ledger{mode: mode, history: linearizable.NewHistory(), run: t.Name(), stop: cancel, acked: make([]int64, writers), tried: make([]int64, writers)}
	for n := range writers {
		client := s.client(t, mode)
		l.clients = append(l.clients, client)
		l.workers.Go(func() {
			for value := int64(1); ctx.Err() == nil; value++ {
				l.write(context.WithoutCancel(ctx), client, n, value)
				time.Sleep(5 * time.Millisecond)
			}
		})
		if mode == service.ModeAP {
			continue // whose history is none of one register
		}
		l.workers.Go(func() {
			for at := n; ctx.Err() == nil; at++ {
				l.read(context.WithoutCancel(ctx), client, at%writers, []string{"", service.G1, service.G2}[at%3])
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	t.Cleanup(func() { cancel(); l.workers.Wait() })
	return l
}

func (l *ledger) write(ctx context.Context, client *api.Client, n int, value int64) {
	l.tried[n] = value
	call, end := l.history.Now(), linearizable.Forever
	if _, err := client.Write(ctx, l.key(n), strconv.AppendInt(nil, value, 10)); err != nil {
		l.refused.Add(1)
	} else {
		end = l.history.Now()
		l.acked[n] = value
		l.answered.Store(time.Now().UnixMilli())
	}
	l.history.Wrote(n, l.key(n), strconv.FormatInt(value, 10), call, end)
}

func (l *ledger) read(ctx context.Context, client *api.Client, n int, at string) {
	call := l.history.Now()
	if read, err := client.Read(ctx, l.key(n), service.ReadOptions{Node: at}); err == nil {
		l.history.Read(100+n, l.key(n), read.Value.Value, call)
	}
}

// key is new to each ledger: a history begins with a key that is not there.
func (l *ledger) key(n int) string { return fmt.Sprintf("ledger %d of %s", n, l.run) }

// check ends the writing and compares what both nodes hold with what was acknowledged. It gives what was acknowledged and
// refused.
func (l *ledger) check(t *testing.T) (acked, refused int64) {
	t.Helper()
	l.stop()
	l.workers.Wait()
	for n, client := range l.clients {
		for _, node := range []string{service.G1, service.G2} {
			read, err := client.Read(t.Context(), l.key(n), service.ReadOptions{Node: node})
			if err != nil {
				t.Errorf("%s: reading %s at %s: %v", l.mode, l.key(n), node, err)
				continue
			}
			if value, err := strconv.ParseInt(read.Value.Value, 10, 64); err != nil || value < l.acked[n] || value > l.tried[n] {
				t.Errorf("%s: %s is %q at %s; %d was acknowledged, %d tried", l.mode, l.key(n), read.Value.Value, node, l.acked[n], l.tried[n])
			}
		}
		acked += l.acked[n]
	}
	if l.mode == service.ModeCP {
		if err := l.history.Check(time.Minute); err != nil {
			t.Errorf("CP: %v", err)
		}
		t.Logf("CP: %d operations checked", l.history.Len())
	}
	return acked, l.refused.Load()
}

// outOfMemory has a node ask for more memory than it may have, four times: the engine starts it again each time. The memory
// that it has already cannot be taken from it, so the limit leaves it that.
const outOfMemory = `docker update --memory 96m --memory-swap 96m {db_g2}
	for i in 1 2 3 4; do
		docker exec {db_g2} redis-cli --no-auth-warning -a {password} setrange captop-hog 300000000 x && exit 1
		sleep 1
	done
	[ "$(docker inspect -f '{{.RestartCount}}' {db_g2})" -gt 0 ]`

// saveOutOfMemory has a node overwrite a hundred megabytes, in few words to its AOF, while a save keeps what was there before,
// and half of that is there. The save ends, and the node's process is the same.
const saveOutOfMemory = `ask() { docker exec {db_g2} redis-cli --no-auth-warning -a {password} "$@"; }
	ask eval "for i = 1, 100 do redis.call('setrange', 'captop-hog-' .. i, 1048575, 'x') end" 0
	ask config set rdb-key-save-delay 1000000
	docker update --memory 200m --memory-swap 200m {db_g2}
	ask bgsave
	ask eval "for i = 1, 100 do redis.call('bitop', 'not', 'captop-hog-' .. i, 'captop-hog-' .. i) end" 0
	sleep 1
	ask info persistence | grep rdb_last_bgsave_status:err
	[ "$(docker inspect -f '{{.State.Pid}}' {db_g2})" = {pid} ]`

const saveHealed = `ask() { docker exec {db_g2} redis-cli --no-auth-warning -a {password} "$@"; }
	docker update --memory 512m --memory-swap 512m {db_g2}
	ask config set rdb-key-save-delay 0
	ask eval "for i = 1, 100 do redis.call('del', 'captop-hog-' .. i) end" 0
	ask bgsave`

// fault is something that happens to a part of the stack, and what a person or the engine does about it.
type fault struct {
	name         string
	strike, heal string // lines of shell; {db_g2} is its container, {pid} the process in it
	hold         time.Duration
	verdict      string // a pattern of what captop has to say meanwhile; "" asks it nothing
	around       bool   // HAProxy leads all requests around what was struck
}

var faults = []fault{
	{"docker kill db_g2", "docker kill {db_g2}", "docker start {db_g2}", 5 * time.Second, "", false},
	{"docker kill db_g1", "docker kill {db_g1}", "docker start {db_g1}", 5 * time.Second, "", false},
	{"docker pause db_g2", "docker pause {db_g2}", "docker unpause {db_g2}", 5 * time.Second, "", false},
	{"docker network disconnect db_g2", "docker network disconnect {data} {db_g2}", "docker network connect --alias db_g2 {data} {db_g2}", 5 * time.Second, "", false},
	{"disk of db_g2 full", "head -c 512M /dev/zero >/proc/{pid}/root/data/full || true", "rm /proc/{pid}/root/data/full", 5 * time.Second, "", false},
	{"db_g2 out of memory (the kernel kills it)", outOfMemory, "docker update --memory 512m --memory-swap 512m {db_g2}", 3 * time.Second, "", false},
	{"a save of db_g2 out of memory", saveOutOfMemory, saveHealed, 0, "", false},
	{"docker kill one of two app_cp", "docker kill {app_cp}", "docker start {app_cp}", 3 * time.Second, "", true},
	{"docker pause one of two app_ap", "docker pause {app_ap}", "docker unpause {app_ap}", 5 * time.Second, "", true},
	{"docker restart haproxy", "docker kill {haproxy}", "docker start {haproxy}", 2 * time.Second, "", false},
	{"clock of one of two app_cp an hour ahead", "docker kill -s USR1 {app_cp}", "docker kill -s USR2 {app_cp}", 5 * time.Second, "clock is .* ahead", true},
	{"clock of one of two app_cp an hour back", "docker kill -s USR2 {app_cp}", "docker kill -s USR1 {app_cp}", 5 * time.Second, "clock is .* behind", true},
	{"clock of one of two app_ap an hour ahead", "docker kill -s USR1 {app_ap}", "docker kill -s USR2 {app_ap}", 5 * time.Second, "clock is .* ahead", true},
	{"clock of one of two app_ap an hour back", "docker kill -s USR2 {app_ap}", "docker kill -s USR1 {app_ap}", 5 * time.Second, "clock is .* behind", true},
	{"clocks of both app_ap an hour ahead", "docker kill -s USR1 {app_ap} {app_ap 2}", "docker kill -s USR2 {app_ap} {app_ap 2}", 5 * time.Second, "clock is .* ahead", false},
}

// TestFaultsOfContainers strikes the stack with one fault after the other while both services are written to. Nothing that
// was acknowledged is lost, and the stack gets well by itself once the fault is over; how long that takes is told.
func TestFaultsOfContainers(t *testing.T) {
	s := newStack(t, "captopfaults")
	s.withStepping(t)
	// A disk that can be filled, and is not by what is written here: each write leaves a quarter of a kilobyte in an AOF.
	small := filepath.Join(t.TempDir(), "small.yml")
	text := `{version: "3.8", volumes: {db_g2: {driver_opts: {type: tmpfs, device: tmpfs, o: "size=256m,uid=999,gid=999,mode=700"}}}}`
	if err := os.WriteFile(small, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.environ = append(s.environ, "COMPOSE_FILE=docker-compose.yml:"+small)
	s.sh(t, "docker-compose up -d --scale app_cp=2 --scale app_ap=2")
	s.spread(t, service.ModeCP, 2)
	s.spread(t, service.ModeAP, 2)
	var table bytes.Buffer
	rows := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(rows, "fault\theld\tCP acknowledged\tCP refused\tAP acknowledged\tAP refused\tlost\twell after")
	for _, f := range faults {
		ok := t.Run(f.name, func(t *testing.T) {
			cp, ap := startLedger(t, s, service.ModeCP), startLedger(t, s, service.ModeAP)
			cp.goesOn(t)
			ap.goesOn(t)
			s.sh(t, s.filled(t, f.strike))
			time.Sleep(f.hold) // that is the fault
			if f.verdict != "" {
				s.says(t, f.verdict)
			}
			if f.around {
				cp.unrefused(t)
				ap.unrefused(t)
			}
			s.sh(t, s.filled(t, f.heal))
			healed := time.Now()
			s.converged(t)
			cp.goesOn(t)
			ap.goesOn(t)
			well := time.Since(healed)
			acked, refused := cp.check(t)
			ackedAP, refusedAP := ap.check(t)
			fmt.Fprintf(rows, "%s\t%s\t%d\t%d\t%d\t%d\t0\t%.1f s\n", f.name, f.hold, acked, refused, ackedAP, refusedAP, well.Seconds())
		})
		if !ok {
			fmt.Fprintf(rows, "%s\tFAILED\n", f.name)
		}
	}
	_ = rows.Flush()
	t.Logf("\n%s", table.String())
}

// says wants a pattern in what captop says of the stack.
func (s *stack) says(t *testing.T, pattern string) {
	t.Helper()
	if text := s.sh(t, "docker-compose run --rm -T captop --once || true"); !regexp.MustCompile(pattern).MatchString(text) {
		t.Errorf("captop does not say %q:\n%s", pattern, text)
	}
}

// TestBackupKilledInAContainer: the container that takes a backup is killed in the middle of it. The folder holds no backup
// that is not one, and the next one is taken as if nothing had been.
func TestBackupKilledInAContainer(t *testing.T) {
	s := newStack(t, "captopkilled")
	s.sh(t, "docker-compose up -d db_g1 db_g2")
	ask := s.filled(t, "docker exec {db_g2} redis-cli --no-auth-warning -a {password} ")
	s.sh(t, "for i in $(seq 50); do "+ask+"ping && break; sleep 0.2; done")
	if out := s.sh(t, ask+"config get save"); strings.TrimSpace(out) != "save" {
		t.Errorf("db_g2 takes snapshots of its own accord:\n%s", out)
	}
	s.sh(t, ask+`eval "for i=1,200 do redis.call('set', 'key'..i, i) end" 0`)
	s.sh(t, ask+"config set rdb-key-save-delay 50000") // ten seconds for the dump
	s.sh(t, "docker-compose run -d --name "+s.project+"_taker captop backup take db_g2")
	s.sh(t, "for i in $(seq 100); do "+ask+"info persistence | grep rdb_bgsave_in_progress:1 && exit; sleep 0.1; done; docker logs "+s.project+"_taker; exit 1")
	s.sh(t, "docker kill "+s.project+"_taker && docker rm "+s.project+"_taker")
	if out := s.sh(t, "docker-compose run --rm -T captop backup list"); strings.Contains(out, ".rdb") {
		t.Errorf("a backup that was killed is listed:\n%s", out)
	}
	s.sh(t, ask+"config set rdb-key-save-delay 0")
	s.sh(t, "docker-compose run --rm -T captop backup take db_g2")
	s.sh(t, "docker-compose run --rm -T captop backup verify")
	if out := s.sh(t, "ls $(docker volume inspect -f '{{.Mountpoint}}' "+s.project+"_backups)"); strings.Contains(out, "partial") || strings.Count(out, ".rdb\n") != 1 {
		t.Errorf("the folder holds\n%s", out)
	}
}

// goesOn waits until a write that begins now is acknowledged.
func (l *ledger) goesOn(t *testing.T) {
	t.Helper()
	began := time.Now()
	for since := began.UnixMilli(); l.answered.Load() <= since+100; time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 2*time.Minute {
			t.Fatalf("%s acknowledges nothing", l.mode)
		}
	}
}

// unrefused waits for a second in which every write is acknowledged.
func (l *ledger) unrefused(t *testing.T) {
	t.Helper()
	began := time.Now()
	for refused, since := l.refused.Load(), began; time.Since(since) < time.Second; time.Sleep(20 * time.Millisecond) {
		if now := l.refused.Load(); now != refused {
			refused, since = now, time.Now()
		}
		if time.Since(began) > 2*time.Minute {
			t.Fatalf("%s still refuses writes, although an instance could take them", l.mode)
		}
	}
	l.goesOn(t)
}

// filled puts the names of the stack into a line of shell.
func (s *stack) filled(t *testing.T, line string) string {
	t.Helper()
	for _, name := range []string{"db_g1", "db_g2", "app_cp", "app_ap", "haproxy"} {
		line = strings.ReplaceAll(line, "{"+name+"}", s.project+"_"+name+"_1")
		line = strings.ReplaceAll(line, "{"+name+" 2}", s.project+"_"+name+"_2")
	}
	if strings.Contains(line, "{pid}") {
		pid, err := exec.Command("docker", "inspect", "-f", "{{.State.Pid}}", s.project+"_db_g2_1").Output()
		if err != nil {
			t.Fatal(err)
		}
		line = strings.ReplaceAll(line, "{pid}", strings.TrimSpace(string(pid)))
		if os.Getuid() != 0 {
			t.Skip("only root reaches into a container's disk from outside")
		}
	}
	line = strings.ReplaceAll(line, "{password}", redisPassword(t))
	return strings.ReplaceAll(line, "{data}", s.project+"_data")
}
