package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"captop/service/api"
	"captop/service/node/nodetest"
)

// The figures of the pair beside a floor in the same run: a bare net/http server. Every server is a process of its own,
// and all are driven in turn, so that what the machine does meanwhile meets all alike. 50 connections, 100-byte values,
// 15,000 keys; logs (to a file), metrics, sessions and breakers are on.
const (
	benchConns = 50
	benchKeys  = 15_000
	benchBytes = 100
	benchRound = 20_000 // requests
)

// bench is one row: what is asked of whom.
type bench struct {
	name, addr, method string
	rates, ratios      []float64       // requests a second, and these as parts of the bare server's, by round
	p99                []time.Duration // by round
	pids               []int           // of the server and its nodes
	cpu                [len(parts)][]float64
}

// parts are what the processor time of a request (microseconds) is told for.
var parts = [...]string{"client", "server", "nodes"}

// BenchmarkRequests drives every row once for each of b.N rounds, and reports medians: -benchtime 7x is seven rounds. The
// rates want a machine that does nothing else; the processor time of a request is about the same on any.
func BenchmarkRequests(b *testing.B) {
	for _, mode := range []string{"cp", "ap"} {
		b.Run(mode, func(b *testing.B) {
			bare, barePID := startBare(b)
			addr, pids := startInstance(b, mode)
			rows := []*bench{{name: "bare", addr: bare, method: "POST", pids: []int{barePID}},
				{name: "write", addr: addr, method: "POST", pids: pids}, {name: "read", addr: addr, method: "GET", pids: pids}}
			b.ResetTimer()
			for round := range b.N + 1 {
				for _, row := range rows {
					before := row.cpuTime(b)
					saved := saveProfile(b, mode, row)
					rate, p99 := drive(b, row.addr, row.method, benchRound)
					after := row.cpuTime(b)
					saved()
					if round > 0 { // the first one only warms
						row.rates, row.p99 = append(row.rates, rate), append(row.p99, p99)
						row.ratios = append(row.ratios, rate/rows[0].rates[round-1])
						for part := range parts {
							row.cpu[part] = append(row.cpu[part], float64((after[part]-before[part]).Microseconds())/benchRound)
						}
					}
				}
			}
			b.StopTimer()
			for _, row := range rows {
				b.ReportMetric(median(row.rates), row.name+"/s")
				b.ReportMetric(float64(median(row.p99).Microseconds())/1000, row.name+"-p99-ms")
				for part, name := range parts {
					b.ReportMetric(median(row.cpu[part]), row.name+"-"+name+"-us")
				}
				if row != rows[0] {
					b.ReportMetric(median(row.ratios), row.name+"-ratio")
				}
			}
		})
	}
}

// benchProfiles names a folder: the instances' profiles of processor time and allocations go there, one of each for every
// row.
const benchProfiles = "BENCH_PROFILES"

var authorization string // a header line, where the instances want one

// saveProfile profiles a row while it is driven; saved waits for the end of that.
func saveProfile(b *testing.B, mode string, row *bench) (saved func()) {
	folder := os.Getenv(benchProfiles)
	if folder == "" || row.name == "bare" {
		return func() {}
	}
	save := func(profile string) {
		request, err := http.NewRequest("GET", "http://"+row.addr+"/debug/pprof/"+profile, nil)
		if err != nil {
			b.Error(err)
			return
		}
		request.Header.Set("Authorization", strings.TrimSpace(strings.TrimPrefix(authorization, "Authorization: ")))
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			b.Error(err)
			return
		}
		defer response.Body.Close()
		name, _, _ := strings.Cut(profile, "?")
		content, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			b.Errorf("%s: %s %v", profile, response.Status, err)
			return
		}
		if err := os.WriteFile(filepath.Join(folder, mode+"-"+row.name+"-"+name), content, 0o644); err != nil {
			b.Error(err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		save("profile?seconds=2")
	}()
	return func() {
		<-done
		save("allocs")
	}
}

func median[T float64 | time.Duration](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}

// TestBare is the floor, as a process: it serves on BENCH_BARE until it is killed.
func TestBare(t *testing.T) {
	addr := os.Getenv("BENCH_BARE")
	if addr == "" {
		return // only BenchmarkRequests asks for it
	}
	answer := []byte(`{"key":"key:000000000000","version":"1","nodes":["db_g1","db_g2"],"outcome":"applied"}`)
	t.Fatal(http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	})))
}

func startBare(b *testing.B) (addr string, pid int) {
	addr = nodetest.FreeAddr(b)
	return addr, serveProcess(b, addr, []string{"BENCH_BARE=" + addr}, "-test.run", "^TestBare$")
}

// startInstance runs capd on two nodes of its own, logging to a file, and gives it its keys.
func startInstance(b *testing.B, mode string) (addr string, pids []int) {
	g1, g2 := nodetest.Start(b), nodetest.Start(b)
	addr = nodetest.FreeAddr(b)
	tokens := ""
	if os.Getenv(benchProfiles) != "" {
		token, line, err := api.NewToken("bench", "admin")
		if err != nil {
			b.Fatal(err)
		}
		tokens = filepath.Join(b.TempDir(), "tokens")
		if err := os.WriteFile(tokens, []byte(line), 0o600); err != nil {
			b.Fatal(err)
		}
		authorization = "Authorization: Bearer " + token + "\r\n"
	}
	pid := serveProcess(b, addr, []string{asProgram + "=1", "MODE=" + mode, "LISTEN_ADDR=" + addr, "DB_G1_URL=" + g1.URL(), "DB_G2_URL=" + g2.URL(),
		"LOG_FILE=" + filepath.Join(b.TempDir(), "log"), "TOKENS_FILE=" + tokens})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for key, deadline := 0, time.Now().Add(patience); key < benchKeys; {
		switch refused, err := request(conn, reader, "POST", key); {
		case err != nil:
			b.Fatal(err)
		case refused == "":
			key++
			deadline = time.Now().Add(patience)
		case time.Now().After(deadline):
			b.Fatalf("%s refuses to write: %s", mode, refused)
		}
	}
	return addr, []int{pid, g1.PID(), g2.PID()}
}

// cpuTime is what each part has used so far.
func (row *bench) cpuTime(b *testing.B) (used [len(parts)]time.Duration) {
	used[0] = cpuTime(b, os.Getpid())
	for i, pid := range row.pids {
		used[min(1+i, 2)] += cpuTime(b, pid)
	}
	return used
}

// cpuTime is what a process has used so far, in ticks of 10 ms.
func cpuTime(b *testing.B, pid int) (used time.Duration) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	for _, ticks := range strings.Fields(rest)[11:13] { // utime and stime
		n, err := strconv.Atoi(ticks)
		if err != nil {
			b.Fatal(err)
		}
		used += time.Duration(n) * 10 * time.Millisecond
	}
	return used
}

// serveProcess runs this binary with an environment until the benchmark ends, and waits until it listens on addr.
func serveProcess(b *testing.B, addr string, environ []string, args ...string) (pid int) {
	process := exec.Command(os.Args[0], args...)
	process.Env = environ
	process.Stderr = os.Stderr
	if err := process.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = process.Process.Kill(); _ = process.Wait() })
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
			return process.Process.Pid
		}
		if time.Now().After(deadline) {
			b.Fatal(err)
		}
	}
}

// drive sends requests over benchConns connections, each waiting for its answer. It gives requests a second and the
// 99th percentile of the time that one took.
func drive(b *testing.B, addr, method string, count int64) (rate float64, p99 time.Duration) {
	var left atomic.Int64
	left.Store(count)
	type result struct {
		took []time.Duration
		err  error
	}
	done := make(chan result, benchConns)
	began := time.Now()
	for range benchConns {
		go func() {
			var r result
			defer func() { done <- r }()
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				r.err = err
				return
			}
			defer conn.Close()
			reader := bufio.NewReader(conn)
			for r.err == nil && left.Add(-1) >= 0 {
				sent := time.Now()
				var refused string
				if refused, r.err = request(conn, reader, method, rand.IntN(benchKeys)); refused != "" {
					r.err = errors.New(refused)
				}
				r.took = append(r.took, time.Since(sent))
			}
		}()
	}
	var took []time.Duration
	for range benchConns {
		r := <-done
		if r.err != nil {
			b.Fatal(r.err)
		}
		took = append(took, r.took...)
	}
	rate = float64(count) / time.Since(began).Seconds()
	slices.Sort(took)
	return rate, took[len(took)*99/100]
}

var benchValue = strings.Repeat("x", benchBytes)

// request is one HTTP exchange with as little work as the client's side can do with: it shares the machine. It gives
// the answer's body unless that is 200.
func request(conn net.Conn, reader *bufio.Reader, method string, key int) (refused string, err error) {
	ok := false
	if method == "POST" {
		_, err = fmt.Fprintf(conn, "POST /write/key:%012d HTTP/1.1\r\nHost: b\r\n%sContent-Length: %d\r\n\r\n%s", key, authorization, benchBytes, benchValue)
	} else {
		_, err = fmt.Fprintf(conn, "GET /read/key:%012d HTTP/1.1\r\nHost: b\r\n%s\r\n", key, authorization)
	}
	if err != nil {
		return "", err
	}
	length := 0
	for first := true; ; first = false {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		if first {
			ok = string(line[9:12]) == "200"
		}
		if len(line) <= 2 {
			break
		}
		if name, value, found := strings.Cut(string(line), ": "); found && strings.EqualFold(name, "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return "", err
			}
		}
	}
	if !ok {
		body := make([]byte, length)
		_, err = io.ReadFull(reader, body)
		return string(body), err
	}
	_, err = reader.Discard(length)
	return "", err
}
