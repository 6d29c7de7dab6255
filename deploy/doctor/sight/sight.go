// Package sight is the eyes of captop doctor: containers through the Docker Engine, processes through /proc, nodes, edges
// and Prometheus over the network.
package sight

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"captop/deploy/doctor"
	"captop/service"
)

// patience bounds one look over the network.
const patience = 3 * time.Second

// Node is where a Redis node is.
type Node struct {
	URL   string
	Given bool // somebody said so; else the node's container is asked, if there is one
}

// Config says where to look.
type Config struct {
	Project  string              // Compose project or Swarm stack; "" is the only one that has the pair
	Services map[string][]string // URLs of instances, by app_cp and app_ap
	Nodes    map[string]Node     // by db_g1 and db_g2
	Edges    []string            // URLs of the edge; none are those of the services
	CA       string              // a file of certificates to trust beside the system's; "" for none

	Prometheus, Alertmanager string // URLs, "" finds their containers
	Rules                    []byte // alerts.yml as shipped

	// Backups and Drills read a folder of backups: Folder, or where that is "" the stack's own, or for "" the user's. nil
	// where nobody keeps any.
	Folder  string
	Backups func(folder string) ([]doctor.Backup, error)
	Drills  func(folder string) ([]doctor.Drill, error)
	Polls   func(context.Context) ([]doctor.Polled, error)
}

// Looker looks. Close it.
type Looker struct {
	config Config
	roots  *x509.CertPool // nil is the system's
	web    *http.Client
	engine *client.Client // nil where none is configured
	broken error          // why there is no engine

	mu    sync.Mutex
	found *stack              // what the last look at the engine and /proc brought
	nodes map[string]*url.URL // where the nodes are, once that was found out
}

// stack is what runs.
type stack struct {
	units   []doctor.Unit
	project string // "" where there is none
	remote  bool   // its engine is on another host
	swarm   bool   // it is the part of a Swarm stack that runs on this engine
}

// New makes a looker. It contacts nobody yet.
func New(config Config) (*Looker, error) {
	l := &Looker{config: config, web: newWeb()}
	if config.CA != "" {
		text, err := os.ReadFile(config.CA)
		if err != nil {
			return nil, fmt.Errorf("reading the certificates to trust: %w", err)
		}
		if l.roots, err = x509.SystemCertPool(); err != nil {
			l.roots = x509.NewCertPool()
		}
		if !l.roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("reading the certificates to trust: %s holds none in PEM", config.CA)
		}
	}
	l.engine, l.broken = client.New(client.FromEnv)
	return l, nil
}

// Close ends the connections.
func (l *Looker) Close() error {
	l.web.CloseIdleConnections()
	if l.engine == nil {
		return nil
	}
	return l.engine.Close()
}

// Eyes are what a doctor looks with. They look at the stack as it is when it is first asked for.
func (l *Looker) Eyes(ctx context.Context) doctor.Eyes {
	l.mu.Lock()
	l.found, l.nodes = nil, map[string]*url.URL{} // another run looks anew
	l.mu.Unlock()
	edges := l.config.Edges
	if len(edges) == 0 {
		for _, name := range []string{"app_cp", "app_ap"} {
			if urls := l.config.Services[name]; len(urls) > 0 {
				edges = append(edges, urls[0])
			}
		}
	}
	targets := doctor.Targets{Edges: edges, Prometheus: l.config.Prometheus, Alertmanager: l.config.Alertmanager, Rules: l.config.Rules}
	if s, err := l.stack(ctx); err == nil && s.swarm {
		targets.Stack = s.project
	} else if err == nil {
		targets.Project = s.project
	}
	return doctor.Eyes{Targets: targets, Now: time.Now,
		Units: func(ctx context.Context) ([]doctor.Unit, error) {
			s, err := l.stack(ctx)
			if err != nil {
				return nil, err
			}
			return s.units, nil
		},
		Swarm: l.swarm, ReadFile: l.readFile, HostFile: l.hostFile, Room: l.room, Sysctl: l.sysctl, Listeners: l.listeners,
		Synchronised: l.synchronised, Redis: l.redis, Get: l.get, Handshake: l.handshake,
		Backups: inFolder(l, l.config.Backups), Drills: inFolder(l, l.config.Drills), Polls: l.config.Polls}
}

// stack finds what runs, once.
func (l *Looker) stack(ctx context.Context) (stack, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.found != nil {
		return *l.found, nil
	}
	var s stack
	if l.config.Project == "" {
		s.units = l.processes()
	}
	if len(s.units) == 0 { // what listens where captop was told that the pair is wins over containers that are elsewhere
		var err error
		if s, err = l.containers(ctx); err != nil {
			return stack{}, err
		}
	}
	slices.SortStableFunc(s.units, func(a, b doctor.Unit) int {
		return slices.Index(order, a.Service) - slices.Index(order, b.Service)
	})
	l.found = &s
	return s, nil
}

// order is that in which units are looked at.
var order = []string{"app_cp", "app_ap", service.G1, service.G2}

// inFolder has somebody read the folder of the backups. The stack's own is that of its service backup.
func inFolder[T any](l *Looker, read func(string) ([]T, error)) func(context.Context) ([]T, error) {
	if read == nil {
		return nil
	}
	return func(ctx context.Context) ([]T, error) {
		folder := l.config.Folder
		s, err := l.stack(ctx)
		if folder != "" || err != nil {
			return read(folder)
		}
		for _, u := range s.units {
			for _, m := range u.Mounts.Value {
				if u.Service == "backup" && strings.HasSuffix(m.Destination, "/backups") {
					if !u.Local {
						return nil, errElsewhere
					}
					folder = m.Source
				}
			}
		}
		return read(folder)
	}
}
