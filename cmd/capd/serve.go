package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/ap"
	"captop/service/api"
	"captop/service/cache"
	"captop/service/cp"
	"captop/service/node"
	"captop/service/sharded"
)

// serve runs one instance until ctx ends and its requests have.
func serve(ctx context.Context, s settings, io stdio) (err error) {
	logger, closeLog := newLogger(s, io.Out)
	defer func() { err = errors.Join(err, closeLog()) }()
	if s.SecretKey == developmentKey {
		logger.Warn("SECRET_KEY_MISSING", "use", "a key that everybody knows; set SECRET_KEY before others can reach this")
	}
	tlsConfig, err := s.tlsConfig()
	if err != nil {
		return err
	}
	options, closeShared, err := s.options(logger)
	if err != nil {
		return err
	}
	defer closeShared()
	options.Secure = tlsConfig != nil

	store, closeStore, err := s.openStore(logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()

	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("LISTEN_ADDR: %w; is another instance running?", err)
	}
	logger.Info("LISTENING", "address", listener.Addr().String(), "tls", tlsConfig != nil, "mode", string(s.Mode),
		"instance", s.Instance, "version", buildVersion())
	if err := api.New(store, options).Serve(ctx, listener, tlsConfig); err != nil {
		return err
	}
	logger.Info("STOPPED")
	return nil
}

func (s settings) tlsConfig() (*tls.Config, error) {
	if s.TLSCertFile == "" {
		return nil, nil
	}
	certificate, err := tls.LoadX509KeyPair(s.TLSCertFile, s.TLSKeyFile)
	if err != nil {
		return nil, fmt.Errorf("TLS_CERT_FILE and TLS_KEY_FILE: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate},
		NextProtos: []string{"http/1.1"}}, nil
}

// options puts together what stands before the store.
func (s settings) options(logger *slog.Logger) (api.Options, func(), error) {
	options := api.Options{
		Mode:         s.Mode,
		Instance:     s.Instance,
		Version:      buildVersion(),
		Timeout:      time.Duration(s.Timeout),
		MaxStaleness: time.Duration(s.MaxStalenessMS) * time.Millisecond,
		DrainDelay:   time.Duration(s.Drain),
		Logger:       logger,
		Now:          time.Now,
		Proxies:      api.Proxies(s.Proxies),
	}
	if s.TokensFile != "" {
		tokens, err := readTokens(s.TokensFile)
		if err != nil {
			return options, nil, err
		}
		options.Tokens = tokens
	}
	var clients []redis.UniversalClient
	closeAll := func() {
		for _, client := range clients {
			_ = client.Close() // nothing is in flight any more
		}
	}
	var stores []*api.SharedStore
	if s.SessionStore == "redis" || len(s.RateLimits) > 0 {
		for _, at := range []struct{ name, url string }{{service.G1, s.G1URL}, {service.G2, s.G2URL}} {
			// Apart from the data's connections: a burst of one must not take the other's.
			config := node.DefaultConfig(at.name, at.url)
			config.Timeout = time.Duration(s.Timeout)
			client, err := node.NewClient(config)
			if err != nil {
				closeAll()
				return options, nil, err
			}
			clients = append(clients, client)
			stores = append(stores, api.NewSharedStore(at.name, client, logger))
		}
	}
	secret := []byte(s.SecretKey)
	if len(s.RateLimits) > 0 {
		options.Limiter = api.NewLimiter(s.RateLimits, secret, logger, stores...)
	}
	if s.SessionStore != "redis" {
		stores = nil
	}
	options.Sessions = api.NewSessions(s.Mode, secret, time.Now, logger, stores...)
	return options, closeAll, nil
}

func readTokens(path string) (*api.Tokens, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("TOKENS_FILE: %w", err)
	}
	defer file.Close()
	tokens, err := api.ParseTokens(file)
	if err != nil {
		return nil, fmt.Errorf("TOKENS_FILE: reading %s: %w", path, err)
	}
	return tokens, nil
}

// openStore opens both nodes and the mode's store over them. A node that is away is no error.
func (s settings) openStore(logger *slog.Logger) (service.Store, func() error, error) {
	var nodes [2]*node.Node
	closeNodes := func() error {
		var all error
		for _, n := range nodes {
			if n != nil {
				all = errors.Join(all, n.Close())
			}
		}
		return all
	}
	for i, at := range []struct{ name, url string }{{service.G1, s.G1URL}, {service.G2, s.G2URL}} {
		opened, err := node.Open(node.Config{Name: at.name, URL: at.url, Timeout: time.Duration(s.Timeout),
			BreakerFailures: uint32(s.BreakerFailures), BreakerOpenFor: time.Duration(s.BreakerOpen),
			Now: time.Now, Logger: logger})
		if err != nil {
			return nil, nil, errors.Join(err, closeNodes())
		}
		nodes[i] = opened
	}
	store, err := s.openPair(nodes[0], nodes[1], logger)
	if err != nil {
		return nil, nil, errors.Join(err, closeNodes())
	}
	return store, func() error { return errors.Join(store.Close(), closeNodes()) }, nil
}

// openPair opens one store, or one for each bucket where a node is a Redis Cluster, with a cache where one is wanted.
func (s settings) openPair(g1, g2 *node.Node, logger *slog.Logger) (service.Store, error) {
	store, err := s.openNodes(g1, g2, logger)
	if err != nil || s.APCacheMS == 0 {
		return store, err
	}
	return cache.New(store, time.Duration(s.APCacheMS)*time.Millisecond, time.Duration(s.MaxStalenessMS)*time.Millisecond, time.Now)
}

func (s settings) openNodes(g1, g2 *node.Node, logger *slog.Logger) (service.Store, error) {
	if !g1.Clustered() && !g2.Clustered() {
		return s.openMode(g1, g2, shared{}, nil, logger)
	}
	all := shared{turns: cp.NewTurns(), polls: ap.NewPolls()}
	return sharded.Open([2]func() service.NodeState{g1.State, g2.State}, func(bucket int) (service.Store, error) {
		return s.openMode(g1.Bucket(bucket), g2.Bucket(bucket), all, []int{bucket}, logger)
	})
}

// shared is what the stores of an instance share, where each bucket has one.
type shared struct {
	turns *cp.Turns
	polls *ap.Polls
}

func (s settings) openMode(g1, g2 *node.Node, all shared, buckets []int, logger *slog.Logger) (service.Store, error) {
	if s.Mode == service.ModeAP {
		return ap.Open(ap.Config{G1: g1, G2: g2, Buckets: buckets, Polls: all.polls, Timeout: time.Duration(s.Timeout),
			MaxStaleness: time.Duration(s.MaxStalenessMS) * time.Millisecond,
			MaxClockSkew: time.Duration(s.MaxClockSkewMS) * time.Millisecond,
			Instance:     s.Instance, Now: time.Now, Logger: logger})
	}
	return cp.Open(cp.Config{G1: g1, G2: g2, Buckets: buckets, Turns: all.turns, Timeout: time.Duration(s.Timeout),
		Instance: s.Instance, Now: time.Now, Logger: logger})
}
