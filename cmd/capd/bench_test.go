package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"captop/service/api"
	"captop/service/node/nodetest"
)

// The figures of the pair beside a floor and a peer in the same run: a bare net/http server, and redis-benchmark on one
// node. 50 connections, 100-byte values, 15,000 keys; logs, metrics and breakers are on.
const (
	benchConns = 50
	benchKeys  = 15_000
	benchBytes = 100
)

func BenchmarkRequests(b *testing.B) {
	b.Run("bare net-http", func(b *testing.B) {
		answer := []byte(`{"key":"key:000000000000","version":"1","nodes":["db_g1","db_g2"],"outcome":"applied"}`)
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(answer)
		})}
		drive(b, serveBench(b, server.Serve), "POST")
		_ = server.Close()
	})
	for _, mode := range []string{"cp", "ap"} {
		addr := startInstance(b, mode)
		b.Run(mode+" write", func(b *testing.B) { drive(b, addr, "POST") })
		b.Run(mode+" read", func(b *testing.B) { drive(b, addr, "GET") })
	}
	b.Run("redis-benchmark", redisBenchmark)
}

// serveBench runs a server on a port of its own until the benchmark ends.
func serveBench(b *testing.B, serve func(net.Listener) error) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = serve(listener) }()
	return listener.Addr().String()
}

// startInstance runs capd as main does, on two nodes of its own, logging to a file.
func startInstance(b *testing.B, mode string) string {
	g1, g2 := nodetest.Start(b), nodetest.Start(b)
	log, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	s, err := load(map[string]string{"MODE": mode, "DB_G1_URL": g1.URL(), "DB_G2_URL": g2.URL(), "RATE_LIMITS": ""})
	if err != nil {
		b.Fatal(err)
	}
	logger, closeLog := newLogger(s, log)
	options, closeShared, err := s.options(logger)
	if err != nil {
		b.Fatal(err)
	}
	store, closeStore, err := s.openStore(logger)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	addr := serveBench(b, func(l net.Listener) error {
		defer close(ended)
		return api.New(store, options).Serve(ctx, l, nil)
	})
	b.Cleanup(func() {
		cancel()
		<-ended
		_ = closeStore()
		closeShared()
		_ = closeLog()
		_ = log.Close()
	})
	for key := range benchKeys {
		await(b, addr, key)
	}
	return addr
}

// await writes a key, waiting for the pair to be settled.
func await(b *testing.B, addr string, key int) {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		response, err := http.Post(fmt.Sprintf("http://%s/write/key:%012d", addr, key), "", strings.NewReader("v"))
		if err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			b.Fatalf("writing key %d: %v", key, err)
		}
	}
}

// drive sends b.N requests over benchConns connections, each waiting for its answer, and reports requests a second.
func drive(b *testing.B, addr, method string) {
	var left, failed atomic.Int64
	left.Store(int64(b.N))
	done := make(chan error, benchConns)
	b.ResetTimer()
	for range benchConns {
		go func() {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				done <- err
				return
			}
			defer conn.Close()
			reader := bufio.NewReader(conn)
			for left.Add(-1) >= 0 {
				if err := request(conn, reader, method, &failed); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range benchConns {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
	b.ReportMetric(float64(failed.Load()), "refused")
}

var benchValue = strings.Repeat("x", benchBytes)

// request is one HTTP exchange with as little work as the client's side can do with: it shares the machine.
func request(conn net.Conn, reader *bufio.Reader, method string, failed *atomic.Int64) error {
	key := rand.IntN(benchKeys)
	if method == "POST" {
		if _, err := fmt.Fprintf(conn, "POST /write/key:%012d HTTP/1.1\r\nHost: b\r\nContent-Length: %d\r\n\r\n%s", key, benchBytes, benchValue); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintf(conn, "GET /read/key:%012d HTTP/1.1\r\nHost: b\r\n\r\n", key); err != nil {
		return err
	}
	length := 0
	for first := true; ; first = false {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && string(line[9:12]) != "200" {
			failed.Add(1)
		}
		if len(line) <= 2 {
			break
		}
		if name, value, ok := strings.Cut(string(line), ": "); ok && strings.EqualFold(name, "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return err
			}
		}
	}
	_, err := reader.Discard(length)
	return err
}

func redisBenchmark(b *testing.B) {
	server := nodetest.Start(b)
	_, port, _ := net.SplitHostPort(server.Addr())
	output, err := exec.Command("redis-benchmark", "-p", port, "-c", strconv.Itoa(benchConns), "-n", strconv.Itoa(max(b.N, 1000)),
		"-d", strconv.Itoa(benchBytes), "-r", strconv.Itoa(benchKeys), "-t", "set,get", "--csv").Output()
	if err != nil {
		b.Fatalf("running redis-benchmark (Debian: redis-tools): %v", err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(output))).ReadAll()
	if err != nil || len(rows) != 3 {
		b.Fatalf("redis-benchmark printed %q: %v", output, err)
	}
	for _, row := range rows[1:] {
		rate, err := strconv.ParseFloat(row[1], 64)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(rate, row[0]+"/s")
	}
}
