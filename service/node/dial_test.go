package node_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sync/errgroup"

	"captop/service"
	"captop/service/node"
	"captop/service/node/nodetest"
)

// names says whether the name server answers that all these tests ask: that every name is 127.0.0.1.
var names atomic.Bool

func TestMain(m *testing.M) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	names.Store(true)
	go serveNames(conn)
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	os.Exit(m.Run())
}

func serveNames(conn net.PacketConn) {
	for buffer := make([]byte, 512); ; {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		var message dnsmessage.Message
		if !names.Load() || message.Unpack(buffer[:n]) != nil {
			continue
		}
		message.Response, message.Authoritative, message.Additionals = true, true, nil
		if asked := message.Questions[0]; asked.Type == dnsmessage.TypeA {
			message.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: asked.Name, Type: asked.Type, Class: asked.Class},
				Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}}}
		}
		if answer, err := message.Pack(); err == nil {
			_, _ = conn.WriteTo(answer, from)
		}
	}
}

// opened is a node, its incarnation, and a context that passes its breaker for a minute.
func opened(t *testing.T, url string) (context.Context, *node.Node, *node.Incarnation) {
	t.Helper()
	config := node.DefaultConfig(service.G1, url)
	config.Logger = slog.New(slog.DiscardHandler)
	n, err := node.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	ctx, cancel := context.WithTimeout(node.Insist(context.Background()), time.Minute)
	t.Cleanup(cancel)
	inc, err := n.Current(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return ctx, n, inc
}

// A name server that hangs takes no node away that answers, nor hides that another process has come in its place.
func TestNameServerHangs(t *testing.T) {
	server := nodetest.Start(t)
	_, port, _ := net.SplitHostPort(server.Addr())
	ctx, n, inc := opened(t, "redis://db-g1.test:"+port)
	names.Store(false)
	defer names.Store(true)
	var callers errgroup.Group
	for range 5 { // at once: each needs a connection of its own
		callers.Go(func() error {
			return inc.Do(ctx, func(client *redis.Client) error {
				if err := client.BLPop(ctx, time.Second, "nothing").Err(); !errors.Is(err, redis.Nil) {
					return err
				}
				return nil
			})
		})
	}
	if err := callers.Wait(); err != nil {
		t.Errorf("while the name server hangs: %v", err)
	}
	server.Restart()
	if err := inc.Do(ctx, func(client *redis.Client) error { return client.Ping(ctx).Err() }); err == nil {
		t.Error("another run of the process has answered")
	}
	names.Store(true)
	for next, err := n.Current(ctx); err != nil || next.RunID == inc.RunID; next, err = n.Current(ctx) {
		if ctx.Err() != nil {
			t.Fatalf("it is not found again once the name server answers: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A node that refused any number of connections is used at the first try once it is back.
func TestManyFailedDialsDoNotOutliveTheFault(t *testing.T) {
	server := nodetest.Start(t)
	link := nodetest.NewLink(t, server.Addr())
	ctx, _, inc := opened(t, link.URL())
	ping := func(client *redis.Client) error { return client.Ping(ctx).Err() }
	link.Reset()
	for range 300 {
		if err := inc.Do(ctx, ping); err == nil {
			t.Fatal("a refused connection answered")
		}
	}
	if err := inc.Do(ctx, ping); node.Sent(err) {
		t.Errorf("a refused dial counts as sent: %v", err)
	}
	link.Heal()
	if err := inc.Do(ctx, ping); err != nil {
		t.Errorf("the first contact after the fault: %v", err)
	}
}

// A node that is busy with a script answers new connections with an error, and go-redis tells that to the caller of a pipeline
// alone.
func TestRefusedConnectionIsEveryCommandsError(t *testing.T) {
	server := nodetest.Start(t, "--lua-time-limit", "10")
	inc := current(t, open(t, server.URL()), "")
	busy := redis.NewClient(&redis.Options{Addr: server.Addr(), ReadTimeout: -1})
	defer busy.Close()
	go busy.Eval(context.Background(), "while true do end", nil)
	eventually(t, "the node is busy", func() bool {
		_, err := server.Ask("PING")
		return redis.HasErrorPrefix(err, "BUSY")
	})
	for range 10 {
		var commands []redis.Cmder
		err := inc.Do(node.Insist(within(t)), func(client *redis.Client) (err error) {
			for range 4 { // more than there are connections
				kept := client.Conn()
				defer kept.Close()
				kept.Ping(within(t))
			}
			commands, err = client.Pipelined(within(t), func(pipe redis.Pipeliner) error {
				pipe.Time(within(t))
				pipe.HMGet(within(t), "key", "field")
				return nil
			})
			return err
		})
		if err == nil || node.Sent(err) {
			t.Fatalf("a busy node: %v", err)
		}
		for _, command := range commands {
			if command.Err() == nil {
				t.Fatalf("the pipeline ends with %q, and %s without an error", err, command.Name())
			}
		}
	}
}
