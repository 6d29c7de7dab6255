package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"captop/service"
	"captop/service/api"
)

// fakeStore is a store in memory whose versions count as CP's do.
type fakeStore struct {
	mu     sync.Mutex
	values map[string]service.Value
	next   int
	err    error                    // answered instead, if set
	hold   chan struct{}            // a write waits for it, if set
	behind map[string]service.Value // answered by reads instead, if set
	states []service.NodeState
	after  service.Version // of the last read
}

func newFakeStore() *fakeStore {
	return &fakeStore{values: map[string]service.Value{}, states: []service.NodeState{
		{Name: service.G1, Reachable: true}, {Name: service.G2, Reachable: true}}}
}

func (f *fakeStore) Write(ctx context.Context, key string, value []byte) (service.Written, error) {
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return service.Written{}, ctx.Err()
		}
	}
	if err := ctx.Err(); err != nil {
		return service.Written{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return service.Written{}, f.err
	}
	f.next++
	version := service.Version(strconv.Itoa(f.next))
	f.values[key] = service.Value{Key: key, Value: string(value), Version: version, Node: service.G1}
	return service.Written{Key: key, Version: version, Nodes: []string{service.G1}, Outcome: service.Applied}, nil
}

func (f *fakeStore) Read(_ context.Context, key string, options service.ReadOptions) (service.Value, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return service.Value{}, f.err
	}
	f.after = options.After
	values := f.values
	if f.behind != nil {
		values = f.behind
	}
	value, found := values[key]
	if !found {
		return value, &service.Error{Code: service.CodeNotFound, Message: "never written"}
	}
	return value, nil
}

func (f *fakeStore) Newer(a, b service.Version) (bool, error) {
	x, errX := strconv.Atoi(string(a))
	y, errY := strconv.Atoi(string(b))
	return x >= y, errors.Join(errX, errY)
}

func (f *fakeStore) Nodes() []service.NodeState {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]service.NodeState(nil), f.states...)
}

func (f *fakeStore) Close() error { return nil }

func (f *fakeStore) get(key string) service.Value {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.values[key]
}

func (f *fakeStore) set(change func(*fakeStore)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// logBuffer keeps a log for a test to read.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// patience bounds every wait; nothing is measured with it.
const patience = 20 * time.Second

func testOptions(log io.Writer) api.Options {
	return api.Options{Mode: service.ModeCP, Instance: "test-1", Version: "v0", Timeout: patience,
		MaxStaleness: 5 * time.Second, Now: time.Now,
		Logger: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
}

// serve runs a server on a real port until the test ends, and gives its host:port and a function that drains it.
func serve(t *testing.T, store service.Store, options api.Options) (string, func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- api.New(store, options).Serve(ctx, listener, nil) }()
	drain := sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(patience):
			return errors.New("the server did not end")
		}
	})
	t.Cleanup(func() {
		if err := drain(); err != nil {
			t.Errorf("draining: %v", err)
		}
	})
	return listener.Addr().String(), drain
}
