package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"captop/service"
	"captop/service/ap"
	"captop/service/api"
	"captop/service/cp"
	"captop/service/node"
)

// The demo's patience is short, for a room to see what happens.
const (
	requestTime  = time.Second
	maxStaleness = 5 * time.Second
	maxSkew      = 5 * time.Second
)

// instance is one service in this process.
type instance struct {
	mode     service.Mode
	moved    bool // its usual port was taken
	listener net.Listener
	server   *api.Server
	store    service.Store
	nodes    [2]*node.Node
}

func (s *Stack) startInstance(mode service.Mode, address string) (*instance, error) {
	i := &instance{mode: mode}
	logger := s.logger.With("mode", string(mode))
	for n, name := range []string{service.G1, service.G2} {
		config := node.DefaultConfig(name, "redis://"+s.links[n].Addr())
		config.Timeout, config.Logger = requestTime, logger
		opened, err := node.Open(config)
		if err != nil {
			return nil, errors.Join(err, i.close())
		}
		i.nodes[n] = opened
	}
	var err error
	if mode == service.ModeCP {
		i.store, err = cp.Open(cp.Config{G1: i.nodes[0], G2: i.nodes[1], Timeout: requestTime, Instance: "demo-cp", Now: time.Now, Logger: logger})
	} else {
		i.store, err = ap.Open(ap.Config{G1: i.nodes[0], G2: i.nodes[1], Timeout: requestTime, MaxStaleness: maxStaleness,
			MaxClockSkew: maxSkew, Instance: "demo-ap", Now: time.Now, Logger: logger})
	}
	if err != nil {
		return nil, errors.Join(err, i.close())
	}
	i.listener, err = net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		i.moved = true
		i.listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listening for app_%s: %w", mode, err), i.close())
	}
	i.server = api.New(i.store, api.Options{Mode: mode, Instance: "demo-" + string(mode), Version: "demo", Timeout: requestTime,
		MaxStaleness: maxStaleness, Logger: logger, Now: time.Now})
	return i, nil
}

// serve answers until ctx ends.
func (i *instance) serve(ctx context.Context) {
	_ = i.server.Serve(ctx, i.listener, nil) // what it met is in the log
	_ = i.close()
}

func (i *instance) close() (err error) {
	if i.store != nil {
		err = i.store.Close()
	}
	for _, n := range i.nodes {
		if n != nil {
			err = errors.Join(err, n.Close())
		}
	}
	return err
}

func (i *instance) client() *api.Client {
	return api.NewClient("http://"+i.listener.Addr().String(), "", nil)
}
