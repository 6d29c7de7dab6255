// Package suite measures the pair beside its floor and its peers, in turn on one machine, and writes what came of it as
// Markdown: the floor is a bare net/http server, the peers are redis-benchmark with the pair's own scripts, and webdis.
package suite

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"time"

	"captop/deploy/lab"
	"captop/probes/bench"
	"captop/service"
	"captop/service/api"
)

// What is sent, for the figures of different days to be comparable.
const (
	connections = 50
	keys        = 15_000
	valueBytes  = 100
)

// Options say how long to measure.
type Options struct {
	Rounds int
	Each   time.Duration    // of one measurement
	Floor  func() *exec.Cmd // a bare HTTP server; the address for it to listen at is added to the command line
	Say    io.Writer        // how far it has come
}

// row is one line of the table: something that is measured once in each round.
type row struct {
	name   string
	floor  string // the row that it is compared with; "" is none
	run    func(ctx context.Context) (bench.Result, error)
	result []bench.Result
}

// stage is what the rows run on.
type stage struct {
	*lab.Lab
	options  Options
	g1, g2   *lab.Process
	cp, ap   *lab.Process
	cached   *lab.Process // app_ap that answers reads from memory for a second
	webdis   *lab.Process
	floorURL string
	scratch  *lab.Process // a Redis for redis-benchmark's writes, which nobody carries to a peer
	others   []float64    // share of the machine that other programs used, by measurement
	drained  []time.Duration
}

// The names of the rows that others are compared with, and of those that bars are about.
const (
	floorWrite  = "bare net/http, writes"
	floorRead   = "bare net/http, reads"
	webdisWrite = "webdis SET, one node"
	webdisRead  = "webdis GET, one node"
	cpWrite     = "CP writes"
	cpRead      = "CP reads"
	apWrite     = "AP writes"
	apRead      = "AP reads"
	apCached    = "AP reads, AP_CACHE_MS=1000"
)

// pace is a rate that every service keeps up with, in requests a second: who is sent as much as it can answer is late by as
// much as it is slower.
const pace = 4000

func paced(name string) string { return fmt.Sprintf("%s, %d/s", name, pace) }

// Run measures, and gives the table as Markdown.
func Run(ctx context.Context, options Options) (string, error) {
	room, err := lab.Open()
	if err != nil {
		return "", err
	}
	defer room.Close()
	s := &stage{Lab: room, options: options}
	if err := s.start(ctx); err != nil {
		return "", err
	}
	rows, err := s.rows(ctx)
	if err != nil {
		return "", err
	}
	for round := range options.Rounds {
		for _, r := range rows {
			fmt.Fprintf(options.Say, "round %d of %d: %s\n", round+1, options.Rounds, r.name)
			result, err := s.measure(ctx, r)
			if err != nil {
				return "", fmt.Errorf("measuring %s: %w", r.name, err)
			}
			r.result = append(r.result, result)
		}
	}
	return s.table(rows), nil
}

func (s *stage) start(ctx context.Context) (err error) {
	if _, err := exec.LookPath("webdis"); err != nil {
		return fmt.Errorf("the suite compares with webdis (Debian: apt-get install webdis): %w", err)
	}
	fmt.Fprintln(s.options.Say, "building and starting")
	binary, err := s.BuildCapd()
	if err != nil {
		return err
	}
	for _, node := range []struct {
		name string
		to   **lab.Process
	}{{service.G1, &s.g1}, {service.G2, &s.g2}, {"scratch", &s.scratch}} {
		if *node.to, err = s.Redis(node.name); err != nil {
			return err
		}
	}
	if s.floorURL, err = s.startFloor(ctx); err != nil {
		return err
	}
	if s.webdis, err = s.Webdis(s.g1); err != nil {
		return err
	}
	if s.cp, err = s.Capd("app_cp", binary, service.ModeCP, s.g1.RedisURL(), s.g2.RedisURL()); err != nil {
		return err
	}
	if s.ap, err = s.Capd("app_ap", binary, service.ModeAP, s.g1.RedisURL(), s.g2.RedisURL()); err != nil {
		return err
	}
	if s.cached, err = s.Capd("app_ap_cached", binary, service.ModeAP, s.g1.RedisURL(), s.g2.RedisURL(), "AP_CACHE_MS=1000"); err != nil {
		return err
	}
	return s.settle(ctx)
}

func (s *stage) startFloor(ctx context.Context) (string, error) {
	addr, err := lab.FreeAddr()
	if err != nil {
		return "", err
	}
	command := s.options.Floor()
	floor, err := s.Start("floor", addr, nil, command.Path, append(command.Args[1:], addr)...)
	if err != nil {
		return "", err
	}
	return floor.URL(), ctx.Err()
}

// patience bounds how long the pair may take to carry what was written.
const patience = 2 * time.Minute

// settle waits until both services are well and have nothing left to carry, so that no row pays for another.
func (s *stage) settle(ctx context.Context) error {
	begun := time.Now()
	for _, p := range []*lab.Process{s.cp, s.ap, s.cached} {
		if err := await(ctx, p.URL()); err != nil {
			return err
		}
	}
	s.drained = append(s.drained, time.Since(begun))
	return nil
}

func settled(body api.HealthBody) bool {
	for _, n := range body.Nodes {
		if n.QueueDepth > 0 {
			return false
		}
	}
	return body.Status == api.StatusOK
}

// measure runs a row once everything is settled, and notes what other programs took of the machine meanwhile.
func (s *stage) measure(ctx context.Context, r *row) (bench.Result, error) {
	if err := s.settle(ctx); err != nil {
		return bench.Result{}, err
	}
	var result bench.Result
	share, err := others(s.Lab, func() (err error) {
		result, err = r.run(ctx)
		return err
	})
	s.others = append(s.others, share)
	return result, err
}

// rows are all that is measured, in the order of a round: the floors between those that are compared with them, as the machine
// is not the same for long.
func (s *stage) rows(ctx context.Context) ([]*row, error) {
	var rows, calm []*row
	for _, r := range []struct {
		name, floor, url string
		dialect          bench.Dialect
		reads            float64
	}{
		{webdisWrite, floorWrite, s.webdis.URL(), bench.Webdis, 0}, {cpWrite, floorWrite, s.cp.URL(), bench.Capd, 0},
		{floorWrite, "", s.floorURL, bench.Capd, 0}, {apWrite, floorWrite, s.ap.URL(), bench.Capd, 0},
		{webdisRead, floorRead, s.webdis.URL(), bench.Webdis, 1}, {cpRead, floorRead, s.cp.URL(), bench.Capd, 1},
		{floorRead, "", s.floorURL, bench.Capd, 1}, {apRead, floorRead, s.ap.URL(), bench.Capd, 1},
		{apCached, floorRead, s.cached.URL(), bench.Capd, 1},
	} {
		target, err := bench.NewTarget(r.name, r.dialect, "", r.url)
		if err != nil {
			return nil, err
		}
		plan := bench.Plan{Connections: connections, Reads: r.reads, Keys: keys, ValueBytes: valueBytes, Duration: s.options.Each, Timeout: 10 * time.Second}
		if r.reads > 0 {
			filled, err := bench.Fill(ctx, target, plan, nil)
			if err != nil || filled.Failed > 0 {
				return nil, fmt.Errorf("filling %s: %d of %d writes failed: %v: %w", r.name, filled.Failed, keys, filled.Failures, err)
			}
		}
		at := func(rate float64) func(context.Context) (bench.Result, error) {
			plan := plan
			plan.Rate = rate
			return func(ctx context.Context) (bench.Result, error) { return bench.Run(ctx, target, plan, nil) }
		}
		rows = append(rows, &row{name: r.name, floor: r.floor, run: at(plan.Rate)})
		calm = append(calm, &row{name: paced(r.name), run: at(pace)})
	}
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	peers, err := s.peers(ctx)
	return slices.Concat(rows, calm, peers), err
}
