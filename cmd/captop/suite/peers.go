package suite

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/deploy/lab"
	"captop/probes/bench"
	"captop/service"
	"captop/service/api"
)

// random is what redis-benchmark replaces by a random number of 12 digits, and zeros is such a number: key 0's.
const (
	random = "__rand_int__"
	zeros  = "000000000000"
)

// fresh is a range of keys of which none comes twice, so that each is as a write of the pair finds it: not written
// under a newer stamp, not dirty.
const fresh = 1_000_000_000

// peers are what redis-benchmark and wrk are asked to do. A script that cannot be found is left out, and that is said.
func (s *stage) peers(ctx context.Context) ([]*row, error) {
	// About as long as the other measurements.
	writes, reads := strconv.Itoa(int(30_000*s.options.Each.Seconds())), strconv.Itoa(int(50_000*s.options.Each.Seconds()))
	rows := []*row{
		s.redisBenchmark("redis-benchmark SET", s.scratch, keys, "-n", reads, "-t", "set"),
		s.redisBenchmark("redis-benchmark GET", s.scratch, keys, "-n", reads, "-t", "get"),
	}
	scripts, err := s.scripts(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range scripts {
		if c.read {
			rows = append(rows, s.redisBenchmark("redis-benchmark "+c.name, c.node, keys, append([]string{"-n", reads}, c.args...)...))
			continue
		}
		rows = append(rows, s.redisBenchmark("redis-benchmark "+c.name, s.scratch, fresh, append([]string{"-n", writes}, c.args...)...),
			s.redisBenchmark("redis-benchmark -P 16 "+c.name, s.scratch, fresh, append([]string{"-n", writes, "-P", "16"}, c.args...)...))
	}
	if _, err := exec.LookPath("wrk"); err == nil {
		rows = append(rows, &row{name: "bare net/http, reads, by wrk", floor: floorRead, run: s.wrk})
	}
	return rows, nil
}

func (s *stage) redisBenchmark(name string, node *lab.Process, keys int, args ...string) *row {
	_, port, _ := net.SplitHostPort(node.Addr())
	args = append([]string{"-p", port, "-c", strconv.Itoa(connections), "-d", strconv.Itoa(valueBytes), "-r", strconv.Itoa(keys), "--csv"}, args...)
	return &row{name: name, run: func(ctx context.Context) (bench.Result, error) {
		output, err := exec.CommandContext(ctx, "redis-benchmark", args...).Output()
		if err != nil {
			return bench.Result{}, fmt.Errorf("running redis-benchmark (Debian: redis-tools): %w", err)
		}
		return readBenchmark(name, string(output))
	}}
}

var errBenchmark = errors.New("redis-benchmark printed something else than a row of eight columns")

// readBenchmark reads the last row of redis-benchmark's CSV: test, rps, average, least, p50, p95, p99, largest latency.
func readBenchmark(name, text string) (bench.Result, error) {
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord, r.LazyQuotes = -1, true // the test's name may hold anything
	rows, err := r.ReadAll()
	if err != nil || len(rows) == 0 || len(rows[len(rows)-1]) < 8 {
		return bench.Result{}, fmt.Errorf("%w: %.300s", errors.Join(errBenchmark, err), text)
	}
	last := rows[len(rows)-1]
	var figures []float64
	for _, text := range last[len(last)-7:] {
		figure, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return bench.Result{}, fmt.Errorf("%w: %w", errBenchmark, err)
		}
		figures = append(figures, figure)
	}
	return bench.Result{Target: name, Rate: figures[0], All: bench.Latency{P50: figures[3], P95: figures[4], P99: figures[5], Max: figures[6]}}, nil
}

func (s *stage) wrk(ctx context.Context) (bench.Result, error) {
	seconds := strconv.Itoa(max(1, int(s.options.Each.Seconds())))
	output, err := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(connections), "-d"+seconds+"s", s.floorURL+"/read/key").Output()
	if err != nil {
		return bench.Result{}, fmt.Errorf("running wrk: %w", err)
	}
	for line := range strings.Lines(string(output)) {
		if text, ok := strings.CutPrefix(line, "Requests/sec:"); ok {
			rate, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			return bench.Result{Target: "wrk", Rate: rate}, err
		}
	}
	return bench.Result{}, fmt.Errorf("wrk printed no Requests/sec: %s", output)
}

// script is a command of the pair for redis-benchmark.
type script struct {
	name string
	node *lab.Process // that it was sent to
	args []string
	read bool
}

// scripts catches, with MONITOR, the very scripts that the services send for one write and one read, with their arguments.
func (s *stage) scripts(ctx context.Context) ([]script, error) {
	files, err := scriptFiles()
	if err != nil {
		return nil, err
	}
	var all []script
	for _, mode := range []service.Mode{service.ModeAP, service.ModeCP} {
		client := api.NewClient(map[service.Mode]*lab.Process{service.ModeAP: s.ap, service.ModeCP: s.cp}[mode].URL(), "", nil)
		for _, isRead := range []bool{false, true} {
			caught, texts, err := s.catch(ctx, func() error { return once(ctx, client, isRead) })
			if err != nil {
				return nil, err
			}
			for _, c := range caught {
				text := texts[c.args[1]]
				c.read, c.name = isRead, scriptName(files, text, mode, isRead, c.node == s.g1)
				at := slices.IndexFunc(c.args, func(a string) bool { return strings.Contains(a, zeros) })
				again := slices.ContainsFunc(all, func(other script) bool { return other.name == c.name })
				if at < 0 || again || text == "" || strings.HasSuffix(c.name, "end.lua") { // an end of what was never promised is no work
					continue
				}
				if err := s.prepare(ctx, c, text); err != nil {
					return nil, err
				}
				for i := range c.args {
					c.args[i] = strings.ReplaceAll(c.args[i], zeros, random)
				}
				all = append(all, c)
			}
		}
	}
	return all, nil
}

// scriptName is a script's file; one that is made of several is named by what it is sent for.
func scriptName(files map[string]string, text string, mode service.Mode, isRead, atG1 bool) string {
	if file, ok := files[text]; ok {
		return file
	}
	what, node := "write", service.G2
	if isRead {
		what = "read"
	}
	if atG1 {
		node = service.G1
	}
	return fmt.Sprintf("%s %s at %s", mode, what, node)
}

// once does one write or read of key 0.
func once(ctx context.Context, client *api.Client, isRead bool) error {
	if isRead {
		_, err := client.Read(ctx, bench.Prefix+zeros, service.ReadOptions{})
		return err
	}
	_, err := client.Write(ctx, bench.Prefix+zeros, []byte(strings.Repeat("x", valueBytes)))
	return err
}

// prepare loads a script on the scratch node, and copies what it looks at beside its own key.
func (s *stage) prepare(ctx context.Context, c script, text string) error {
	from, to := redis.NewClient(&redis.Options{Addr: c.node.Addr()}), redis.NewClient(&redis.Options{Addr: s.scratch.Addr()})
	defer from.Close()
	defer to.Close()
	if err := to.ScriptLoad(ctx, text).Err(); err != nil {
		return fmt.Errorf("loading a script: %w", err)
	}
	count, _ := strconv.Atoi(c.args[2])
	for _, key := range c.args[3:min(3+count, len(c.args))] {
		if strings.Contains(key, zeros) {
			continue
		}
		dump, err := from.Dump(ctx, key).Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err == nil {
			err = to.RestoreReplace(ctx, key, 0, dump).Err()
		}
		if err != nil {
			return fmt.Errorf("copying %s: %w", key, err)
		}
	}
	return nil
}

// scriptFiles are the names of the scripts in the repository by their text.
func scriptFiles() (map[string]string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "captop").Output()
	if err != nil {
		return nil, fmt.Errorf("finding the module captop (run this inside the repository): %w", err)
	}
	base := filepath.Join(strings.TrimSpace(string(root)), "service")
	files, err := filepath.Glob(filepath.Join(base, "*", "lua", "*.lua"))
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading a script: %w", err)
		}
		found[string(text)] = strings.Replace(strings.TrimPrefix(file, base+"/"), "lua/", "", 1)
	}
	return found, nil
}

// catch gives the EVALSHAs that the nodes are sent while do runs, and a little longer, with the texts of their scripts by
// SHA-1: the nodes forget all scripts before, so that the services send the texts, too.
func (s *stage) catch(ctx context.Context, do func() error) (caught []script, texts map[string]string, err error) {
	const linger = 300 * time.Millisecond // what is done behind the answer comes, too
	type monitor struct {
		node   *lab.Process
		conn   net.Conn
		reader *bufio.Reader
	}
	var monitors []monitor
	for _, node := range []*lab.Process{s.g2, s.g1} {
		conn, err := net.Dial("tcp", node.Addr())
		if err != nil {
			return nil, nil, fmt.Errorf("watching a node: %w", err)
		}
		defer conn.Close()
		reader := bufio.NewReader(conn)
		for _, command := range []string{"SCRIPT FLUSH\r\n", "MONITOR\r\n"} {
			if _, err := conn.Write([]byte(command)); err != nil {
				return nil, nil, fmt.Errorf("watching a node: %w", err)
			}
			if _, err := reader.ReadString('\n'); err != nil {
				return nil, nil, fmt.Errorf("watching a node: %w", err)
			}
		}
		monitors = append(monitors, monitor{node, conn, reader})
	}
	if err := do(); err != nil {
		return nil, nil, err
	}
	texts = map[string]string{}
	for _, m := range monitors {
		_ = m.conn.SetReadDeadline(time.Now().Add(linger))
		lines := bufio.NewScanner(m.reader)
		lines.Buffer(nil, 1<<20) // a text is one line
		for lines.Scan() {
			args := monitored(lines.Text())
			if len(args) < 3 {
				continue
			}
			switch strings.ToLower(args[0]) {
			case "evalsha":
				caught = append(caught, script{node: m.node, args: args})
			case "eval":
				keepText(texts, args[1])
			case "script": // load
				keepText(texts, args[2])
			}
		}
	}
	return caught, texts, ctx.Err()
}

func keepText(texts map[string]string, text string) {
	sum := sha1.Sum([]byte(text))
	texts[hex.EncodeToString(sum[:])] = text
}

// monitored reads the arguments of a line of MONITOR; those of scripts' own commands are none.
func monitored(line string) (args []string) {
	_, rest, ok := strings.Cut(line, "] ")
	if !ok || strings.Contains(line, " lua] ") {
		return nil
	}
	for rest != "" {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return args
		}
		arg, err := strconv.Unquote(quoted)
		if err != nil {
			return args
		}
		args = append(args, arg)
		rest = strings.TrimPrefix(rest[len(quoted):], " ")
	}
	return args
}
