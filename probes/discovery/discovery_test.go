package discovery

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"captop/probes"
	"captop/service"
)

// phonebook is a resolver whose answers a test changes.
type phonebook struct {
	mu        sync.Mutex
	addresses map[string][]string
}

func (p *phonebook) LookupHost(_ context.Context, host string) ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if found := p.addresses[host]; len(found) > 0 {
		return slices.Clone(found), nil
	}
	return nil, errors.New("no such host")
}

func (p *phonebook) set(host string, addresses ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addresses[host] = addresses
}

func urls(services []probes.ServiceTarget) []string {
	var all []string
	for _, s := range services {
		all = append(all, string(s.Mode)+" "+s.URL)
	}
	return all
}

func TestNames(t *testing.T) {
	book := &phonebook{addresses: map[string][]string{}}
	book.set("cp.local", "10.0.0.2", "10.0.0.1")
	f, err := New(t.Context(), Config{Resolver: book, Token: "secret",
		Fixed: []probes.ServiceTarget{{Name: "app_ap", Mode: service.ModeAP, URL: "http://ap:5002"}},
		Names: []Name{{service.ModeCP, "dns+http://cp.local:5001"}, {service.ModeAP, "dns+https://ap.local"}}})
	if err != nil {
		t.Fatal(err)
	}
	if services, changed, err := f.Found(); len(services) != 3 || !changed || err == nil || !strings.Contains(err.Error(), "app_ap: no such host") {
		t.Errorf("the name that is not known: %v", err)
	}
	book.set("ap.local", "fd00::1")
	f.publish(f.lookUp(t.Context()))
	services, changed, err := f.Found()
	want := []string{"ap http://ap:5002", "cp http://10.0.0.1:5001", "cp http://10.0.0.2:5001", "ap https://[fd00::1]"}
	if !slices.Equal(urls(services), want) || !changed || err != nil || services[1].Token != "secret" || services[1].Name != "app_cp@10.0.0.1:5001" {
		t.Errorf("%+v, %v, %v", services, changed, err)
	}
	if _, changed, _ = f.Found(); changed {
		t.Error("nothing has changed since")
	}
	book.set("cp.local", "10.0.0.2")
	book.set("ap.local")
	f.publish(f.lookUp(t.Context()))
	if services, changed, err := f.Found(); err == nil || len(services) != 3 || !changed {
		t.Errorf("one address less and a name that has gone: %q, %v, %v", urls(services), changed, err)
	}
	book.set("ap.local", "fd00::1")
	f.publish(f.lookUp(t.Context()))
	if services, changed, err := f.Found(); len(services) != 3 || changed || err != nil {
		t.Errorf("the name is back: %q, %v, %v", urls(services), changed, err)
	}
}

// lossy loses the first question.
type lossy struct{ asked atomic.Int32 }

func (l *lossy) LookupHost(ctx context.Context, host string) ([]string, error) {
	if l.asked.Add(1) == 1 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return []string{host}, nil
}

func TestALostQuestionIsAskedAnew(t *testing.T) {
	f, err := New(t.Context(), Config{Resolver: &lossy{}, Names: []Name{{service.ModeCP, "dns+http://cp.local:5001"}}})
	if err != nil {
		t.Fatal(err)
	}
	if services, _, err := f.Found(); err != nil || len(services) != 1 {
		t.Errorf("%q, %v", urls(services), err)
	}
}

// crowd answers nobody before so many have asked.
type crowd struct{ missing sync.WaitGroup }

func (c *crowd) LookupHost(ctx context.Context, host string) ([]string, error) {
	c.missing.Done()
	all := make(chan struct{})
	go func() { c.missing.Wait(); close(all) }()
	select {
	case <-all:
		return []string{host}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestNamesAreLookedUpAtOnce(t *testing.T) {
	var c crowd
	c.missing.Add(2)
	f, err := New(t.Context(), Config{Resolver: &c, Names: []Name{{service.ModeCP, "dns+http://cp.local:5001"}, {service.ModeAP, "dns+http://ap.local:5002"}}})
	if err != nil {
		t.Fatal(err)
	}
	if services, _, err := f.Found(); err != nil || len(services) != 2 {
		t.Errorf("one waited for the other: %q, %v", urls(services), err)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "targets.yml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]string{
		"[":                "yaml",
		"- targets: [a:1]": "group 1: its labels do not say which service it is",
		"- labels: {mode: cp}\n  targets: ['http://a:1/x']": `"http://a:1/x" is no target; it looks like 10.0.0.5:5001`,
		"targets: [a:1]": "cannot unmarshal",
	} {
		write(text)
		if _, err := New(t.Context(), Config{File: path}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v; wanted %q", text, err, want)
		}
	}
	if _, err := New(t.Context(), Config{File: path + ".absent"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
	write(`[{"targets": ["10.0.0.1:5001", "10.0.0.2:5001"], "labels": {"job": "app_cp"}}, {"targets": ["ap:5002"], "labels": {"mode": "ap", "__scheme__": "https", "zone": "a"}}]`)
	ctx, cancel := context.WithCancel(t.Context())
	f, err := New(ctx, Config{File: path})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { f.Run(ctx); close(ended) }()
	expect := func(wantErr string, want ...string) {
		t.Helper()
		deadline := time.Now().Add(30 * time.Second)
		for {
			services, _, err := f.Found()
			if wantErr != "" && err != nil && strings.Contains(err.Error(), wantErr) || wantErr == "" && err == nil && slices.Equal(urls(services), want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("found %q, %v; wanted %q, %q", urls(services), err, want, wantErr)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	expect("", "cp http://10.0.0.1:5001", "cp http://10.0.0.2:5001", "ap https://ap:5002")
	if services, _, _ := f.Found(); !maps.Equal(services[2].Labels, map[string]string{"mode": "ap", "zone": "a"}) {
		t.Errorf("the labels are %v", services[2].Labels)
	}
	write("- targets: [cp:5001]\n  labels: {job: app_cp}\n")
	expect("", "cp http://cp:5001")
	write("- targets: [cp:5001]\n  labels: {job: other}\n")
	expect("give it mode: cp or ap")
	write("- targets: [cp:5001, cp:5001]\n  labels: {mode: cp}\n")
	expect("", "cp http://cp:5001")
	cancel()
	<-ended
}
