package probes

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"captop/service"
)

// servePart is the number of targets that the test binary plays in a process of its own, so that their processor time is
// not counted.
const servePart = "CAPTOP_PROBES_SERVE"

func TestMain(m *testing.M) {
	var n int
	if _, err := fmt.Sscan(os.Getenv(servePart), &n); err != nil {
		os.Exit(m.Run())
	}
	if err := serveMany(n); err != nil {
		fmt.Fprintln(os.Stderr, "serving targets:", err)
		os.Exit(1)
	}
}

// serveMany answers as n instances until its input ends, and prints their addresses.
func serveMany(n int) error {
	for i := range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("listening: %w", err)
		}
		fmt.Println(listener.Addr())
		go func() { _ = http.Serve(listener, instance([...]string{"cp", "ap"}[i%2])) }()
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// instance answers as capd does, with 60 series that grow with each scrape.
func instance(mode string) http.Handler {
	var mu sync.Mutex
	scrapes := 0
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"status":"ok","mode":%q,"instance":"i","version":"1","time":%q,"uptime_seconds":60,"max_staleness_ms":5000,"nodes":[`+
			`{"name":"db_g1","reachable":true,"run_id":"a","breaker":"CLOSED","staleness_ms":3},{"name":"db_g2","reachable":true,"run_id":"b","breaker":"CLOSED","staleness_ms":3}]}`,
			mode, time.Now().Format(time.RFC3339Nano))
	})
	mux.HandleFunc("GET /circuit-breaker", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"mode":%q,"instance":"i","breakers":[{"node":"db_g1","state":"CLOSED"},{"node":"db_g2","state":"CLOSED"}]}`, mode)
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		scrapes++
		page := sixtySeries(mode, scrapes)
		mu.Unlock()
		_, _ = w.Write(page)
	})
	return mux
}

func sixtySeries(mode string, n int) []byte {
	var page bytes.Buffer
	series := 0
	sample := func(value int, format string, args ...any) {
		fmt.Fprintf(&page, format+" ", args...)
		fmt.Fprintln(&page, value)
		series++
	}
	for _, status := range []string{"200", "503"} {
		sample(n*100, `app_requests_total{mode=%q,operation="read",status=%q}`, mode, status)
	}
	for i, bound := range strings.Fields("0.001 0.002 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 +Inf") {
		sample(n*(100+i), `app_request_latency_seconds_bucket{mode=%q,operation="read",le=%q}`, mode, bound)
	}
	for _, gauge := range []string{"circuit_breaker_state", "data_staleness_ms", "db_connection_failures_total", "db_connection_attempts_total",
		"replication_queue_depth"} {
		for _, node := range []string{service.G1, service.G2} {
			sample(0, "%s{node=%q}", gauge, node)
		}
	}
	sample(5000, "app_max_staleness_ms")
	for series < 60 {
		sample(n+series, "go_other_%d", series)
	}
	return page.Bytes()
}

// startMany starts n instances in a process of their own.
func startMany(b *testing.B, n int) Targets {
	b.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%d", servePart, n))
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _ = child.Wait() })
	var all Targets
	for i := range n {
		var address string
		if _, err := fmt.Fscanln(out, &address); err != nil {
			b.Fatal(err)
		}
		mode := []service.Mode{service.ModeCP, service.ModeAP}[i%2]
		all.Services = append(all.Services, ServiceTarget{Name: fmt.Sprintf("app_%s-%d", mode, i+1), Mode: mode, URL: "http://" + address})
	}
	return all
}

// costs runs polls and reports what one takes of this process: processor time, and memory that stays.
func costs(b *testing.B, poll func()) {
	b.Helper()
	for range 3 {
		poll() // connections, and what every series is
	}
	cpu := func() time.Duration {
		var used syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
			b.Fatal(err)
		}
		return time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	before := cpu()
	b.ReportAllocs()
	for b.Loop() {
		poll()
	}
	b.ReportMetric(float64(cpu()-before)/float64(b.N)/float64(time.Millisecond), "cpu-ms/poll")
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	b.ReportMetric(float64(memory.HeapAlloc)/1e6, "heap-MB")
}

// BenchmarkPoll is a whole poll with the shipped alerts over real connections: health, breakers and metrics of every
// instance asked, read, kept, evaluated and diagnosed. At one poll a second, 10 cpu-ms/poll are 1 % of a core.
// BenchmarkPoll/bare is the floor: the same requests by a bare client that reads the answers and drops them.
func BenchmarkPoll(b *testing.B) {
	rules, err := os.ReadFile("../deploy/prometheus/alerts.yml")
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{2, 20, 200, 1000} {
		all := startMany(b, n)
		b.Run(fmt.Sprintf("bare/%d_targets", n), func(b *testing.B) {
			transport := newTransport()
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			costs(b, func() { getAll(b, client, all) })
		})
		b.Run(fmt.Sprintf("captop/%d_targets", n), func(b *testing.B) {
			now, mu := epoch, sync.Mutex{}
			engine, err := New(Config{Targets: all, Rules: rules, Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
			if err != nil {
				b.Fatal(err)
			}
			defer engine.Close()
			var last *Snapshot
			costs(b, func() {
				mu.Lock()
				now = now.Add(time.Second)
				mu.Unlock()
				last = engine.cycle(context.Background(), deadline)
			})
			for _, group := range last.Groups {
				if group.Up != len(group.Instances) {
					b.Fatalf("%d of %d instances of %s are up: %+v", group.Up, len(group.Instances), group.Name, last.Verdict)
				}
			}
		})
	}
}

// getAll is what a poll asks for, and nothing else.
func getAll(b *testing.B, client *http.Client, all Targets) {
	var running sync.WaitGroup
	for _, target := range all.Services {
		for _, path := range []string{"/health", "/circuit-breaker", "/metrics"} {
			running.Go(func() {
				response, err := client.Get(target.URL + path)
				if err != nil {
					b.Error(err)
					return
				}
				defer response.Body.Close()
				if _, err := io.Copy(io.Discard, response.Body); err != nil {
					b.Error(err)
				}
			})
		}
	}
	running.Wait()
}
