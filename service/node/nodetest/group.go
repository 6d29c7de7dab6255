package nodetest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// groupTimeout bounds how long a group may take until it has elected, attached or moved what it should.
const groupTimeout = 60 * time.Second

// downAfter is how long a primary of these groups may be silent until a replica takes its place, milliseconds.
const downAfter = "700"

// Alone waits until no other test of this machine that has asked for the same runs, and keeps it so until this one ends: two
// pairs of groups are a dozen processes each, whose elections no machine of two processors has time for.
func Alone(t testing.TB) {
	t.Helper()
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "captop-test-groups"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Close() })
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatalf("waiting for the other tests with groups: %v", err)
	}
}

// startMember runs a redis-server that can rewrite its own configuration, as a replica that changes its primary must:
// after a restart it follows whom it followed last.
func startMember(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := &Server{t: t, addr: FreeAddr(t), dir: dataFolder(t)}
	_, port, _ := net.SplitHostPort(s.addr)
	conf := filepath.Join(s.dir, "redis.conf")
	text := append([]string{"port " + port, "bind 127.0.0.1", "dir " + s.dir, "appendonly yes", "appendfsync everysec", `save ""`,
		"logfile " + filepath.Join(s.dir, "log"), "repl-diskless-sync-delay 0", "repl-ping-replica-period 1"}, settings...)
	if err := os.WriteFile(conf, []byte(strings.Join(text, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.command = []string{conf}
	t.Cleanup(s.Kill)
	s.Restart()
	return s
}

// Ask runs one command on the server and gives its answer; nil with an error where there is none.
func (s *Server) Ask(command ...any) (any, error) {
	client := redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1, DialerRetries: 1, Protocol: 2, DialTimeout: time.Second,
		ReadTimeout: 5 * time.Second, PoolSize: 1})
	defer client.Close()
	return client.Do(context.Background(), command...).Result()
}

// Calls is how often the server ran a command, which it must have.
func (s *Server) Calls(command string) (count int) {
	s.t.Helper()
	stats, err := s.Ask("INFO", "commandstats")
	if err != nil {
		s.t.Fatalf("%s: %v", s.addr, err)
	}
	_, rest, found := strings.Cut(stats.(string), "cmdstat_"+command+":calls=")
	if _, err := fmt.Sscanf(rest, "%d,", &count); !found || err != nil {
		s.t.Fatalf("no %s among the commands of %s (%v):\n%s", command, s.addr, err, stats)
	}
	return count
}

// must runs commands whose failing fails the test.
func (s *Server) must(commands ...[]any) {
	s.t.Helper()
	for _, command := range commands {
		if _, err := s.Ask(command...); err != nil {
			s.t.Fatalf("%s: %v: %v", s.addr, command, err)
		}
	}
}

// info gives one field of INFO, "" if the server does not answer.
func (s *Server) info(field string) string {
	answer, err := s.Ask("INFO")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(answer.(string)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			return value
		}
	}
	return ""
}

// Role is master or slave, as Redis calls them; "" if the server does not answer.
func (s *Server) Role() string { return s.info("role") }

func await(t testing.TB, what string, f func() error) {
	t.Helper()
	for deadline := time.Now().Add(groupTimeout); ; time.Sleep(50 * time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s: %v", what, err)
		}
	}
}

// Sentinels is a primary with replicas, and three Sentinels that watch over them.
type Sentinels struct {
	Members   []*Server // the first is the first primary
	Sentinels []*Server
	t         testing.TB
}

// sentinelName is what the Sentinels call the set.
const sentinelName = "pair"

// StartSentinels runs a set with that many replicas until the test ends, and waits until it is whole.
func StartSentinels(t testing.TB, replicas int) *Sentinels {
	t.Helper()
	s := &Sentinels{t: t, Members: []*Server{startMember(t)}}
	host, port, _ := net.SplitHostPort(s.Members[0].addr)
	for range replicas {
		s.Members = append(s.Members, startMember(t, "replicaof "+host+" "+port))
	}
	for range 3 {
		conf := filepath.Join(dataFolder(t), "sentinel.conf")
		text := fmt.Sprintf("sentinel monitor %s %s %s 2\nsentinel down-after-milliseconds %[1]s %[4]s\nsentinel failover-timeout %[1]s 3000\nsentinel parallel-syncs %[1]s 2\n",
			sentinelName, host, port, downAfter)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		sentinel := startSentinel(t, conf)
		// A member that comes back as a primary is corrected after four periods of 2 s: tests have no time for that.
		sentinel.must([]any{"SENTINEL", "DEBUG", "INFO-PERIOD", 500, "PUBLISH-PERIOD", 300})
		s.Sentinels = append(s.Sentinels, sentinel)
	}
	s.AwaitWhole()
	return s
}

// URL leads to the set by way of its Sentinels.
func (s *Sentinels) URL() string {
	var addrs []string
	for _, sentinel := range s.Sentinels {
		addrs = append(addrs, sentinel.addr)
	}
	return s.urlBy(addrs)
}

// LinkedURL leads to the set by way of links to its Sentinels: who is cut off from them does not learn of a failover.
func (s *Sentinels) LinkedURL() (string, []*Link) {
	var addrs []string
	var links []*Link
	for _, sentinel := range s.Sentinels {
		links = append(links, NewLink(s.t, sentinel.addr))
		addrs = append(addrs, links[len(links)-1].Addr())
	}
	return s.urlBy(addrs), links
}

func (s *Sentinels) urlBy(addrs []string) string {
	url := fmt.Sprintf("redis://%s/0?master_name=%s&replicas=%d", addrs[0], sentinelName, len(s.Members)-1)
	for _, addr := range addrs[1:] {
		url += "&addr=" + addr
	}
	return url
}

// Primary is the member that most Sentinels call the primary.
func (s *Sentinels) Primary() *Server {
	s.t.Helper()
	votes := map[string]int{}
	for _, sentinel := range s.Sentinels {
		if answer, err := sentinel.Ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", sentinelName); err == nil {
			pair, _ := answer.([]any)
			addr := fmt.Sprintf("%v:%v", pair[0], pair[1])
			if votes[addr]++; 2*votes[addr] > len(s.Sentinels) {
				return s.member(addr)
			}
		}
	}
	s.t.Fatalf("the Sentinels do not agree on a primary: %v", votes)
	return nil
}

func (s *Sentinels) member(addr string) *Server {
	for _, member := range s.Members {
		if member.addr == addr {
			return member
		}
	}
	s.t.Fatalf("%s is none of the set", addr)
	return nil
}

// AwaitFailover waits until another member than before is the primary.
func (s *Sentinels) AwaitFailover(before *Server) {
	s.t.Helper()
	await(s.t, "a failover from "+before.addr, func() error {
		if now := s.Primary(); now == before || now.Role() != "master" {
			return fmt.Errorf("%s is the primary", now.addr)
		}
		return nil
	})
}

// AwaitWhole waits until every other member is a replica of the primary, in step with it, and every Sentinel knows all.
func (s *Sentinels) AwaitWhole() {
	s.t.Helper()
	await(s.t, "a whole set", func() error {
		primary := s.Primary()
		for _, member := range s.Members {
			if err := attached(member, primary); err != nil {
				return err
			}
		}
		for _, sentinel := range s.Sentinels {
			if _, err := sentinel.Ask("SENTINEL", "CKQUORUM", sentinelName); err != nil {
				return err
			}
			known, err := sentinel.Ask("SENTINEL", "REPLICAS", sentinelName)
			if list, _ := known.([]any); err != nil || len(list) != len(s.Members)-1 {
				return fmt.Errorf("a Sentinel knows %d replicas, %v", len(list), err)
			}
		}
		return nil
	})
}

// attached gives no error if a member is the primary itself or follows it.
func attached(member, primary *Server) error {
	role, link := member.Role(), member.info("master_link_status")
	host, port, _ := net.SplitHostPort(primary.addr)
	switch {
	case member == primary && role == "master":
		return nil
	case role == "slave" && link == "up" && member.info("master_host") == host && member.info("master_port") == port:
		return nil
	}
	return fmt.Errorf("%s is %q, its link is %q; the primary is %s", member.addr, role, link, primary.addr)
}
