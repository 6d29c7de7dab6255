// Package keyspace looks at the keys that the services keep on their nodes: it finds them, shows one as both services and
// both nodes have it, and compares the nodes key by key.
//
// It only reads. It never asks KEYS and holds itself back, so that looking does not hurt what it looks at.
package keyspace

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/probes"
	"captop/service"
	"captop/service/layout"
)

// The nodes' places in arrays: as everywhere, db_g1 first.
const (
	g1 = iota
	g2
)

// contactTimeout bounds each contact with a node or a service.
const contactTimeout = 3 * time.Second

// Modes are the modes in the order in which they are shown.
var Modes = [2]service.Mode{service.ModeCP, service.ModeAP}

// errTwoNodes: the comparison of other than two nodes.
var errTwoNodes = errors.New("a key space has two nodes, db_g1 and db_g2")

// Space is the keys on both nodes. Safe for concurrent use.
type Space struct {
	names    [2]string
	nodes    [2]*redis.Client
	services probes.Instances
	now      func() time.Time
	pace     pace
}

// Open prepares to look and contacts nobody. services says through which instances keys are read; now is captop's clock.
// Its errors are URLs that cannot be used.
func Open(nodes []probes.NodeTarget, services probes.Instances, now func() time.Time) (*Space, error) {
	s := &Space{services: services, now: now, pace: gentle}
	if len(nodes) != len(s.nodes) {
		return nil, fmt.Errorf("opening the key space: %w; %d are configured", errTwoNodes, len(nodes))
	}
	for i, target := range nodes {
		client, err := probes.OpenRedis(target, contactTimeout)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.names[i], s.nodes[i] = target.Name, client
	}
	return s, nil
}

// Close ends the connections.
func (s *Space) Close() error {
	var all error
	for _, client := range s.nodes {
		if client != nil {
			all = errors.Join(all, client.Close())
		}
	}
	return all
}

// nameOf gives the name in Redis of a key of a mode.
func nameOf(mode service.Mode, key string) string {
	if mode == service.ModeCP {
		return layout.CPKey(key)
	}
	return layout.APRegister(key)
}

// keyOf tells whose key a name in Redis is; false for whatever else lies there.
func keyOf(name string) (service.Mode, string, bool) {
	if key, ok := layout.CPUserKey(name); ok {
		return service.ModeCP, key, true
	}
	key, ok := layout.APUserKey(name)
	return service.ModeAP, key, ok
}

// why is the reason of a failed contact in words that a person can use.
func why(err error) string {
	text := err.Error()
	switch {
	case strings.HasPrefix(text, "NOPERM"):
		return "captop's Redis user may not read it: " + text
	case strings.Contains(text, "deadline exceeded"), strings.Contains(text, "i/o timeout"):
		return fmt.Sprintf("no answer within %s", contactTimeout)
	}
	return text
}
