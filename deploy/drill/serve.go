package drill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/deploy/dbnode"
	"captop/deploy/restore"
	"captop/service"
	"captop/service/ap"
	"captop/service/cp"
	"captop/service/layout"
	"captop/service/node"
)

const (
	requestTime = 2 * time.Second
	// settleWithin bounds how long the services may take: what takes longer than the target is not good enough.
	settleWithin = RTOTarget
	// samples is how many keys of each mode are read through its service.
	samples = 100
	// probeKey is written through each service, to see that it can.
	probeKey = "captop-drill"
)

// serve opens both services on the nodes, waits until they have settled them, and reads and writes through them.
func (e *exercise) serve(ctx context.Context, urls map[string]string) (err error) {
	e.step("starting app_cp and app_ap on them, and waiting until they have settled both")
	stores, closeAll, err := open(urls)
	defer closeAll()
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	for mode, store := range stores {
		if err := settled(bounded, store); err != nil {
			return fmt.Errorf("app_%s: %w", mode, err)
		}
	}
	e.step("reading samples from both nodes through both services, and writing")
	for i := range e.Nodes {
		if err := e.count(ctx, &e.Nodes[i], urls); err != nil {
			return err
		}
	}
	if a, b := e.Nodes[0], e.Nodes[1]; a.CP != b.CP || a.AP != b.AP {
		return fmt.Errorf("the nodes differ: %s holds %d keys of CP and %d of AP, %s %d and %d", a.Name, a.CP, a.AP, b.Name, b.CP, b.AP)
	}
	for mode, store := range stores {
		if err := e.tryOut(ctx, mode, store, urls[service.G1]); err != nil {
			return fmt.Errorf("app_%s: %w", mode, err)
		}
	}
	e.RTO = e.Now().Sub(e.At)
	return nil
}

// open opens both services in this process.
func open(urls map[string]string) (stores map[service.Mode]service.Store, closeAll func(), err error) {
	var closers []func() error
	closeAll = func() {
		for i := len(closers) - 1; i >= 0; i-- {
			_ = closers[i]()
		}
	}
	stores = map[service.Mode]service.Store{}
	logger := slog.New(slog.DiscardHandler)
	for _, mode := range []service.Mode{service.ModeCP, service.ModeAP} {
		nodes := map[string]*node.Node{}
		for name, url := range urls {
			config := node.DefaultConfig(name, url)
			config.Timeout, config.Logger = requestTime, logger
			if nodes[name], err = node.Open(config); err != nil {
				return stores, closeAll, err
			}
			closers = append(closers, nodes[name].Close)
		}
		var store service.Store
		if mode == service.ModeCP {
			store, err = cp.Open(cp.Config{G1: nodes[service.G1], G2: nodes[service.G2], Timeout: requestTime, Instance: "drill-cp", Now: time.Now, Logger: logger})
		} else {
			store, err = ap.Open(ap.Config{G1: nodes[service.G1], G2: nodes[service.G2], Timeout: requestTime, MaxStaleness: 5 * time.Second,
				MaxClockSkew: 5 * time.Second, Instance: "drill-ap", Now: time.Now, Logger: logger})
		}
		if err != nil {
			return stores, closeAll, err
		}
		closers = append(closers, store.Close)
		stores[mode] = store
	}
	return stores, closeAll, nil
}

// settled waits until a service has settled both nodes.
func settled(ctx context.Context, store service.Store) error {
	for {
		waiting := ""
		for _, n := range store.Nodes() {
			switch {
			case !n.Reachable:
				waiting = "it cannot reach " + n.Name + ": " + n.LastError
			case n.Rejoin.Active:
				waiting = fmt.Sprintf("it has settled %d of %d keys of %s", n.Rejoin.Done, n.Rejoin.Total, n.Name)
			case n.Breaker.State != service.BreakerClosed:
				waiting = "its breaker before " + n.Name + " is " + n.Breaker.State.String()
			}
		}
		if waiting == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %s", context.Cause(ctx), waiting)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (e *exercise) count(ctx context.Context, n *Node, urls map[string]string) error {
	client, err := dbnode.Connect(urls[n.Name])
	if err != nil {
		return err
	}
	defer client.Close()
	n.CP, n.AP, err = restore.ClientKeys(ctx, client, func(int64) {})
	return err
}

// tryOut reads some keys from both nodes through a service, and writes one.
func (e *exercise) tryOut(ctx context.Context, mode service.Mode, store service.Store, url string) error {
	keys, err := someKeys(ctx, mode, url)
	if err != nil {
		return err
	}
	for _, key := range keys {
		var values [2]service.Value
		for i, at := range []string{service.G1, service.G2} {
			if values[i], err = store.Read(ctx, key, service.ReadOptions{Node: at}); err != nil {
				return fmt.Errorf("reading a key from %s: %w", at, err)
			}
		}
		if values[0].Value != values[1].Value || values[0].Version != values[1].Version {
			return fmt.Errorf("a key differs: version %s at %s, %s at %s", values[0].Version, service.G1, values[1].Version, service.G2)
		}
		e.Read++
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	text := e.At.Format(time.RFC3339Nano)
	if _, err := store.Write(ctx, probeKey, []byte(text)); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	got, err := store.Read(ctx, probeKey, service.ReadOptions{})
	if err == nil && got.Value != text {
		err = errors.New("it answers another value than was written")
	}
	if err != nil {
		return fmt.Errorf("reading what was written: %w", err)
	}
	return nil
}

// someKeys gives some keys that clients know.
func someKeys(ctx context.Context, mode service.Mode, url string) (keys []string, err error) {
	client, err := dbnode.Connect(url)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	prefix, userKey := layout.CPPrefix, layout.CPUserKey
	if mode == service.ModeAP {
		prefix, userKey = layout.APPrefix, layout.APUserKey
	}
	pages := client.ScanType(ctx, 0, prefix+"*", 1000, "hash").Iterator()
	for pages.Next(ctx) && len(keys) < samples {
		if key, ok := userKey(pages.Val()); ok {
			keys = append(keys, key)
		}
	}
	if err := pages.Err(); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("looking for keys: %w", err)
	}
	return keys, nil
}
