// Package discovery finds the instances of the services, by DNS and in target files, and notices when they change.
package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"captop/probes"
	"captop/service"
)

// Prefix before a URL's scheme asks for all addresses of its host: dns+http://app_cp:5001.
const Prefix = "dns+"

// errNoAddress: a name is known and has no addresses. Those found before may still run.
var errNoAddress = errors.New("the name has no addresses")

// How often is looked: names are asked for again less often than a file is.
const (
	fileEvery   = time.Second
	lookupEvery = 10 * time.Second
	lookupTime  = 5 * time.Second // for the addresses of a name
	answerTime  = 2 * time.Second // until they are asked for anew
)

// Resolver looks a name up; net.DefaultResolver is one.
type Resolver interface {
	LookupHost(ctx context.Context, host string) (addresses []string, err error)
}

// Name is a URL each of whose host's addresses is an instance.
type Name struct {
	Mode service.Mode
	URL  string // with Prefix
}

// Config says where instances are found. Their order does not matter.
type Config struct {
	Fixed    []probes.ServiceTarget // named by their URLs, always there
	Names    []Name
	File     string // in Prometheus' file_sd format, JSON or YAML; "" is none
	Token    string // bearer token of all that is found
	Resolver Resolver
}

// Finder keeps the instances that were found last. What cannot be looked up now stays as it was.
type Finder struct {
	config Config
	named  [][]probes.ServiceTarget // by Names
	listed []probes.ServiceTarget
	file   file
	// nameErr is why the last lookup failed. It holds until the next, however often the file is read in between.
	nameErr error

	mu    sync.Mutex
	found []probes.ServiceTarget
	news  bool
	err   error
}

// New looks for the first time, so that a file that cannot be used stops the start; names may be known later. It ends
// with ctx.
func New(ctx context.Context, config Config) (*Finder, error) {
	f := &Finder{config: config, named: make([][]probes.ServiceTarget, len(config.Names)), file: file{path: config.File}}
	if err := f.readFile(); err != nil {
		return nil, err
	}
	f.nameErr = f.lookUp(ctx)
	f.publish(f.nameErr)
	return f, nil
}

// Run looks again and again until ctx ends.
func (f *Finder) Run(ctx context.Context) {
	files, names := time.NewTicker(fileEvery), time.NewTicker(lookupEvery)
	defer files.Stop()
	defer names.Stop()
	var fileErr error
	for {
		select {
		case <-ctx.Done():
			return
		case <-files.C:
			fileErr = f.readFile()
		case <-names.C:
			f.nameErr = f.lookUp(ctx)
		}
		if ctx.Err() == nil {
			f.publish(errors.Join(fileErr, f.nameErr))
		}
	}
}

// Found gives the instances, whether they have changed since it was asked last, and why they may not be all. It does not
// block.
func (f *Finder) Found() (services []probes.ServiceTarget, changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed, f.news = f.news, false
	return f.found, changed, f.err
}

// publish puts together what is known.
func (f *Finder) publish(err error) {
	all := slices.Concat(f.config.Fixed, slices.Concat(f.named...), f.listed)
	seen := map[string]bool{}
	all = slices.DeleteFunc(all, func(target probes.ServiceTarget) bool {
		again := seen[string(target.Mode)+target.URL]
		seen[string(target.Mode)+target.URL] = true
		return again
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	if !slices.EqualFunc(all, f.found, probes.ServiceTarget.Same) {
		f.found, f.news = all, true
	}
}

// lookUp asks for the addresses of all names at once: where nobody answers, the dashboard waits for one of them, not for
// all.
func (f *Finder) lookUp(ctx context.Context) error {
	errs := make([]error, len(f.config.Names))
	var lookups sync.WaitGroup
	for i, name := range f.config.Names {
		lookups.Go(func() {
			targets, err := f.instances(ctx, name)
			if err == nil {
				f.named[i] = targets
			}
			errs[i] = err
		})
	}
	lookups.Wait()
	return errors.Join(errs...)
}

func (f *Finder) instances(ctx context.Context, name Name) ([]probes.ServiceTarget, error) {
	address, err := url.Parse(strings.TrimPrefix(name.URL, Prefix))
	if err != nil {
		return nil, errors.New("a name to look up is no URL")
	}
	addresses, err := f.ask(ctx, address.Hostname())
	if err != nil {
		return nil, fmt.Errorf("looking up the instances of app_%s: %w", name.Mode, err)
	}
	if len(addresses) == 0 {
		return nil, fmt.Errorf("looking up the instances of app_%s: %w", name.Mode, errNoAddress)
	}
	slices.Sort(addresses)
	var targets []probes.ServiceTarget
	for _, ip := range addresses {
		instance := *address
		instance.Host = ip
		if port := address.Port(); port != "" {
			instance.Host = net.JoinHostPort(ip, port)
		} else if strings.Contains(ip, ":") {
			instance.Host = "[" + ip + "]"
		}
		targets = append(targets, f.target(name.Mode, instance))
	}
	return targets, nil
}

// ask asks for the addresses of a host, and asks anew where no answer comes: a question or its answer may be lost, and the
// resolver waits for it longer than anybody waits for a dashboard.
func (f *Finder) ask(ctx context.Context, host string) ([]string, error) {
	all, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	for {
		once, cancel := context.WithTimeout(all, answerTime)
		addresses, err := f.config.Resolver.LookupHost(once, host)
		unanswered := once.Err() != nil
		cancel()
		if err == nil || !unanswered || all.Err() != nil {
			return addresses, err
		}
	}
}

// target names an instance by its address: names that count would go to another one when one leaves.
func (f *Finder) target(mode service.Mode, address url.URL) probes.ServiceTarget {
	return probes.ServiceTarget{Name: "app_" + string(mode) + "@" + address.Host, Mode: mode, URL: address.String(), Token: f.config.Token}
}
