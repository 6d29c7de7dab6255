package main

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/creack/pty"

	"captop/service/node/nodetest"
)

// What the dashboard costs, as benchmarks: each iteration is a run of captop as people run it, on a pseudo-terminal,
// beside targets in a process of their own. Compare with BenchmarkEmptyProgram of the same run.
//
//	go test ./cmd/captop -run '^$' -bench Cost -benchtime 1x
//
// CAPTOP_LONG=16m takes each figure over that long: by then all that is kept of samples is there.
const (
	costRun    = 20 * time.Second
	costWarmUp = 5 * time.Second
)

// costSpan is how long one figure is taken over, after costWarmUp.
func costSpan(b *testing.B) time.Duration {
	b.Helper()
	text := os.Getenv("CAPTOP_LONG")
	if text == "" {
		return costRun
	}
	span, err := time.ParseDuration(text)
	if err != nil {
		b.Fatalf("CAPTOP_LONG: %v", err)
	}
	return span
}

// costPart names what the test binary plays: targets, or the empty program.
const costPart = "CAPTOP_COST_PART"

func TestMain(m *testing.M) {
	part, count, _ := strings.Cut(os.Getenv(costPart), " ")
	switch part {
	case "":
		os.Exit(withState(m))
	case "empty":
		if _, err := tea.NewProgram(emptyProgram{}, tea.WithAltScreen()).Run(); err != nil {
			os.Exit(1)
		}
	default:
		n, err := strconv.Atoi(count)
		if err == nil {
			err = serveTargets(n, part == "changing")
		}
		fmt.Fprintln(os.Stderr, "serving targets:", err)
		os.Exit(1)
	}
}

// withState runs the tests with a state directory of their own: what they record is nobody's.
func withState(m *testing.M) int {
	dir, err := os.MkdirTemp("", "captop-state")
	if err != nil {
		fmt.Fprintln(os.Stderr, "making a state directory:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Setenv("XDG_STATE_HOME", dir); err != nil {
		fmt.Fprintln(os.Stderr, "setting the state directory:", err)
		return 1
	}
	return m.Run()
}

// emptyProgram is the floor: the framework with a clock, and a count of the keys.
type emptyProgram struct {
	now  time.Time
	keys int
}

func (p emptyProgram) Init() tea.Cmd {
	return tea.Every(time.Second, func(now time.Time) tea.Msg { return now })
}

func (p emptyProgram) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case time.Time:
		p.now = msg
		return p, p.Init()
	case tea.KeyMsg:
		p.keys++
	}
	return p, nil
}

func (p emptyProgram) View() string {
	return fmt.Sprintf("%s, key %d.", p.now.Format(time.TimeOnly), p.keys) + strings.Repeat("\n", 20)
}

// serveTargets answers as n instances, each on a port of its own, with 60 series, and prints their addresses. Their
// figures stand still, or change with each scrape.
func serveTargets(n int, changing bool) error {
	var failed = make(chan error)
	for i := range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("listening: %w", err)
		}
		fmt.Println(listener.Addr())
		mode := [...]string{"cp", "ap"}[i%2]
		go func() { failed <- http.Serve(listener, target(mode, changing)) }()
	}
	fmt.Println("ready")
	return <-failed
}

// target is one instance.
func target(mode string, changing bool) http.Handler {
	var scrapes atomic.Int64
	started := time.Now()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		var nodes []string
		for _, node := range []string{"db_g1", "db_g2"} {
			behind := 20
			if changing {
				behind = rand.IntN(400)
			}
			nodes = append(nodes, fmt.Sprintf(`{"name":%q,"reachable":true,"run_id":"0123456789abcdef","breaker":"CLOSED","staleness_ms":%d}`, node, behind))
		}
		fmt.Fprintf(w, `{"status":"ok","mode":%q,"instance":"i","version":"1","time":%q,"uptime_seconds":60,"max_staleness_ms":5000,"nodes":[%s]}`,
			mode, time.Now().Format(time.RFC3339Nano), strings.Join(nodes, ","))
	})
	mux.HandleFunc("GET /circuit-breaker", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"mode":%q,"instance":"i","breakers":[{"node":"db_g1","state":"CLOSED"},{"node":"db_g2","state":"CLOSED"}]}`, mode)
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		n := int64(1)
		if changing {
			n = scrapes.Add(1)
		}
		_, _ = w.Write(metricsPage(mode, started, n, changing))
	})
	return mux
}

// metricsPage is a page of 60 series as capd has them.
func metricsPage(mode string, started time.Time, n int64, changing bool) []byte {
	var page bytes.Buffer
	series := 0
	sample := func(value float64, format string, args ...any) {
		fmt.Fprintf(&page, format, args...)
		fmt.Fprintf(&page, " %g\n", value)
		series++
	}
	family := func(name, kind string) { fmt.Fprintf(&page, "# HELP %s Some words.\n# TYPE %s %s\n", name, name, kind) }
	family("app_requests_total", "counter")
	for _, operation := range []string{"read", "write"} {
		for _, status := range []string{"200", "503"} {
			sample(float64(n*100), `app_requests_total{mode=%q,operation=%q,status=%q}`, mode, operation, status)
		}
	}
	family("app_request_latency_seconds", "histogram")
	for i, bound := range []string{"0.0005", "0.001", "0.002", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"} {
		share := float64(i)
		if changing {
			share *= rand.Float64()
		}
		sample(float64(n)*100+share, `app_request_latency_seconds_bucket{mode=%q,operation="read",le=%q}`, mode, bound)
	}
	sample(float64(n), `app_request_latency_seconds_sum{mode=%q,operation="read"}`, mode)
	sample(float64(n)*100+15, `app_request_latency_seconds_count{mode=%q,operation="read"}`, mode)
	for _, gauge := range []string{"circuit_breaker_state", "data_staleness_ms", "db_connection_failures_total", "db_connection_attempts_total",
		"node_reachable", "replication_queue_depth", "rejoin_active", "rejoin_keys_done", "rejoin_keys_total"} {
		family(gauge, "gauge")
		for _, node := range []string{"db_g1", "db_g2"} {
			value := 0.0
			if gauge == "node_reachable" {
				value = 1
			}
			sample(value, `%s{node=%q}`, gauge, node)
		}
	}
	sample(5000, "app_max_staleness_ms")
	sample(float64(started.Unix()), "process_start_time_seconds")
	for i := 0; series < 60; i++ {
		sample(float64(i), "go_other_%d", i)
	}
	return page.Bytes()
}

// costTargets starts n targets and gives captop's arguments for them and two real nodes.
func costTargets(b *testing.B, kind string, n int) []string {
	b.Helper()
	// Elsewhere the targets have processors of their own: here they take what captop leaves.
	child := exec.Command("nice", "-n", "19", os.Args[0])
	child.Env = append(os.Environ(), costPart+"="+kind+" "+strconv.Itoa(n))
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
	args := []string{"--g1", nodetest.Start(b).URL(), "--g2", nodetest.Start(b).URL()}
	for i := range n {
		var address string
		if _, err := fmt.Fscanln(out, &address); err != nil {
			b.Fatal(err)
		}
		args = append(args, [...]string{"--cp", "--ap"}[i%2], "http://"+address)
	}
	return args
}

// onTerminal is a program on a pseudo-terminal that answers no question, as many serial lines are.
type onTerminal struct {
	command *exec.Cmd
	file    *os.File
	written atomic.Int64
	mu      sync.Mutex
	recent  []byte // since the last press
	news    chan struct{}
}

func startOnTerminal(b *testing.B, width, height uint16, environment []string, name string, args ...string) *onTerminal {
	b.Helper()
	p := &onTerminal{command: exec.Command(name, args...), news: make(chan struct{}, 1)}
	home := b.TempDir()
	p.command.Env = append(os.Environ(), "TERM=xterm-256color", "XDG_CONFIG_HOME="+home, "XDG_STATE_HOME="+home)
	p.command.Env = append(p.command.Env, environment...)
	file, err := pty.StartWithSize(p.command, &pty.Winsize{Cols: width, Rows: height})
	if err != nil {
		b.Fatal(err)
	}
	p.file = file
	go p.read()
	b.Cleanup(p.stop)
	return p
}

func (p *onTerminal) stop() {
	_ = p.command.Process.Kill()
	_ = p.command.Wait()
	_ = p.file.Close()
}

func (p *onTerminal) read() {
	buffer := make([]byte, 1<<16)
	for {
		n, err := p.file.Read(buffer)
		p.written.Add(int64(n))
		p.mu.Lock()
		p.recent = append(p.recent, buffer[:n]...)
		p.mu.Unlock()
		select {
		case p.news <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// press sends a key and gives the time until text was written.
func (p *onTerminal) press(b *testing.B, key, text string) time.Duration {
	b.Helper()
	p.mu.Lock()
	p.recent = nil
	p.mu.Unlock()
	began := time.Now()
	if _, err := p.file.WriteString(key); err != nil {
		b.Fatal(err)
	}
	p.await(b, text)
	return time.Since(began)
}

// await waits until text was written.
func (p *onTerminal) await(b *testing.B, text string) {
	b.Helper()
	limit := time.After(time.Minute)
	for {
		p.mu.Lock()
		found := bytes.Contains(p.recent, []byte(text))
		p.mu.Unlock()
		if found {
			return
		}
		select {
		case <-p.news:
		case <-limit:
			b.Fatalf("%q was never written", text)
		}
	}
}

// figures are what a process has used.
type figures struct {
	cpu     time.Duration
	written int64
	memory  int64 // bytes, resident
}

func (p *onTerminal) figures(b *testing.B) figures {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.command.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	number := func(i int) int64 {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux of today
	return figures{cpu: time.Duration(number(11)+number(12)) * tick, memory: number(21) * int64(os.Getpagesize()), written: p.written.Load()}
}

// report runs the program for costSpan and reports its share of one core, memory, and what it writes.
func (p *onTerminal) report(b *testing.B) {
	b.Helper()
	time.Sleep(costWarmUp)
	before, began := p.figures(b), time.Now()
	time.Sleep(costSpan(b))
	after, span := p.figures(b), time.Since(began)
	b.ReportMetric(100*(after.cpu-before.cpu).Seconds()/span.Seconds(), "cpu-%")
	b.ReportMetric(float64(after.memory)/1e6, "MB")
	b.ReportMetric(float64(after.written-before.written)/span.Seconds(), "B/s")
	b.ReportMetric(0, "ns/op") // says nothing here
}

func buildCaptop(b *testing.B) string {
	b.Helper()
	binary := filepath.Join(b.TempDir(), "captop")
	if out, err := exec.Command("go", "build", "-o", binary, "captop/cmd/captop").CombinedOutput(); err != nil {
		b.Fatalf("building captop: %v\n%s", err, out)
	}
	return binary
}

// BenchmarkCostEmptyProgram is the floor of the others.
func BenchmarkCostEmptyProgram(b *testing.B) {
	for b.Loop() {
		startOnTerminal(b, 200, 50, []string{costPart + "=empty"}, os.Args[0]).report(b)
	}
}

// BenchmarkCost is captop with still and with changing targets.
func BenchmarkCost(b *testing.B) {
	binary := buildCaptop(b)
	for _, c := range []struct {
		kind          string
		targets       int
		width, height uint16
	}{
		{"still", 2, 80, 24}, {"still", 2, 200, 50}, {"changing", 2, 80, 24}, {"changing", 2, 200, 50},
		{"changing", 20, 200, 50}, {"changing", 200, 200, 50}, {"changing", 1000, 200, 50},
	} {
		b.Run(fmt.Sprintf("%s/targets=%d/%dx%d", c.kind, c.targets, c.width, c.height), func(b *testing.B) {
			for b.Loop() {
				startOnTerminal(b, c.width, c.height, nil, binary, costTargets(b, c.kind, c.targets)...).report(b)
			}
		})
	}
}

// BenchmarkCostKeyToFrame is the time from a key to what it shows, while 200 targets are polled; and beside it, in turn,
// the same of the framework alone, which shares the machine with captop's polls.
func BenchmarkCostKeyToFrame(b *testing.B) {
	binary := buildCaptop(b)
	for b.Loop() {
		empty := startOnTerminal(b, 200, 50, []string{costPart + "=empty"}, os.Args[0])
		p := startOnTerminal(b, 200, 50, nil, binary, costTargets(b, "changing", 200)...)
		time.Sleep(costWarmUp)
		var took, floor []time.Duration
		for i := range 1000 {
			time.Sleep(rand.N(100 * time.Millisecond))
			took = append(took, p.press(b, "A", [...]string{"Armed for five minutes", "Read-only again"}[i%2]))
			time.Sleep(rand.N(100 * time.Millisecond))
			floor = append(floor, empty.press(b, "A", fmt.Sprintf("key %d.", i+1)))
		}
		for name, all := range map[string][]time.Duration{"": took, "floor-": floor} {
			slices.SortFunc(all, cmp.Compare)
			b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, name+"median-ms")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, name+"p99-ms")
		}
		b.ReportMetric(0, "ns/op")
	}
}

// BenchmarkCostFirstFrame is the time from start to the first frame.
func BenchmarkCostFirstFrame(b *testing.B) {
	binary := buildCaptop(b)
	args := costTargets(b, "still", 2)
	var took []time.Duration
	for range 20 {
		began := time.Now()
		p := startOnTerminal(b, 80, 24, nil, binary, args...)
		p.await(b, "configured stack") // before anything was asked of anybody
		took = append(took, time.Since(began))
		p.stop()
	}
	for b.Loop() {
	}
	slices.SortFunc(took, cmp.Compare)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
	b.ReportMetric(0, "ns/op")
}
