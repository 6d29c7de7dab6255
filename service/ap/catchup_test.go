package ap

import (
	"context"
	"net"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service/layout"
	"captop/service/node"
	"captop/service/node/nodetest"
)

const (
	catchUpFill  = 500 // writes in one round trip that makes the queue
	catchUpEvery = 2 * time.Millisecond
	catchUpCalm  = 3 * time.Second
)

// noRewrite keeps nodes from rewriting the append-only file meanwhile: a queue of a million makes it grow so much that
// whether one is under way, and of which node, would be what is measured.
var noRewrite = []string{"--auto-aof-rewrite-percentage", "0"}

// BenchmarkCatchUp queues b.N keys at db_g1 while db_g2 hangs, lets db_g2 come back, and measures how fast they are
// carried: -benchtime 1000000x is a million. Beside it, in the same run, what redis-benchmark reaches for the script that
// the peer runs, pipelined; the latency of a writer that writes all the time at a steady rate, before and meanwhile; and
// the memory of the instance (and of the benchmark, which is the same process).
func BenchmarkCatchUp(b *testing.B) {
	reference := mergeBenchmark(b)
	p := newPair(b, noRewrite...)
	for i, server := range p.servers {
		p.urls[i] = server.URL()
	}
	s := p.ready(b, "a")
	steady := startWriter(b, s)
	time.Sleep(catchUpCalm)
	calm := steady.lap()
	p.servers[g2].Pause()
	awaitAway(b, s, g2)
	queue(b, s, client(b, p.servers[g1]), b.N)
	before := heap()
	p.servers[g2].Resume()
	steady.lap()
	most, began := uint64(0), time.Now()
	b.ResetTimer()
	for deadline := began.Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		most = max(most, heapNow())
		v := s.watch[g1].view()
		// What the writer has just marked does not count: there is nearly always some of it.
		if v.sent.After(began) && s.rank(g2) == rankGood && v.late == 0 && !v.batches {
			break
		}
		if time.Now().After(deadline) {
			b.Fatalf("not caught up: %+v", s.Nodes()[g2])
		}
	}
	b.StopTimer()
	took := time.Since(began)
	during := steady.lap()
	steady.end()
	rate := float64(b.N) / took.Seconds()
	reference = (reference + mergeBenchmark(b)) / 2 // the machine is not the same for a minute
	b.ReportMetric(rate, "keys/s")
	b.ReportMetric(reference, "redis-benchmark/s")
	b.ReportMetric(rate/reference, "ratio")
	b.ReportMetric(percentile(calm, 99), "calm-p99-ms")
	b.ReportMetric(percentile(during, 99), "meanwhile-p99-ms")
	b.ReportMetric(float64(before)/(1<<20), "heap-before-MB")
	b.ReportMetric(float64(most)/(1<<20), "heap-most-MB")
}

// queue writes n distinct keys of 100 bytes at db_g1 alone.
func queue(b *testing.B, s *Store, client *redis.Client, n int) {
	ctx := context.Background()
	value := strings.Repeat("x", 100)
	for from := 0; from < n; from += catchUpFill {
		var asked []item
		for i := from; i < min(n, from+catchUpFill); i++ {
			drawn, _ := s.clock.next()
			asked = append(asked, newItem("queued:"+strconv.Itoa(i), decimal(drawn.at), s.origin, value))
		}
		answers := make([]node.Answer[any], len(asked))
		sendWrites(ctx, client, s.clock, batch{}, asked, answers)
		if answers[0].Err != nil {
			b.Fatal(answers[0].Err)
		}
	}
}

func heap() uint64 {
	runtime.GC()
	return heapNow()
}

func heapNow() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// writer writes at a steady rate, whatever the answers take: their times count from when each was due.
type writer struct {
	mu   sync.Mutex
	took []time.Duration
	stop context.CancelFunc
	done sync.WaitGroup
}

func startWriter(b *testing.B, s *Store) *writer {
	ctx, cancel := context.WithCancel(context.Background())
	w := &writer{stop: cancel}
	w.done.Go(func() {
		ticker := time.NewTicker(catchUpEvery)
		defer ticker.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			due := <-ticker.C
			w.done.Go(func() {
				_, err := s.Write(context.Background(), "steady:"+strconv.Itoa(i%1000), []byte("v"))
				took := time.Since(due)
				if err != nil {
					b.Error(err)
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				w.took = append(w.took, took)
			})
		}
	})
	return w
}

func (w *writer) lap() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	took := w.took
	w.took = nil
	return took
}

func (w *writer) end() {
	w.stop()
	w.done.Wait()
}

// percentile gives milliseconds.
func percentile(took []time.Duration, p int) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return float64(took[len(took)*p/100].Microseconds()) / 1000
}

// mergeBenchmark is how many registers a second redis-benchmark merges into a node of its own, 16 calls in a round trip.
func mergeBenchmark(b *testing.B) float64 {
	server := nodetest.Start(b, noRewrite...)
	sha, err := client(b, server).ScriptLoad(context.Background(), mergeText).Result()
	if err != nil {
		b.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(server.Addr())
	output, err := exec.Command("redis-benchmark", "-p", port, "-c", "50", "-P", "16", "-n", "200000", "-r", "1000000", "--csv", "EVALSHA", sha, "1",
		layout.APDirty(0), pack([]item{{key: "__rand_int__", at: "1763868000123456", origin: "817263", value: strings.Repeat("x", 100)}})).Output()
	if err != nil {
		b.Fatalf("running redis-benchmark (Debian: redis-tools): %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	fields := strings.Split(lines[len(lines)-1], `","`)
	const behind = 7 // the rate and what follows it; before it stands the command, in which anything may stand
	if len(fields) <= behind {
		b.Fatalf("redis-benchmark printed %q", output)
	}
	rate, err := strconv.ParseFloat(fields[len(fields)-behind], 64)
	if err != nil {
		b.Fatal(err)
	}
	return rate
}
