package node

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// poolSize bounds the connections to one run of a node: enough for the requests in flight of one instance, few
// enough for Redis' default of 10,000 clients with many instances.
const poolSize = 64

func init() {
	// The library prints every failed dial to stderr; ours are in the log, once a second, and on a screen by then.
	redis.SetLogger(silence{})
}

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

type onConnect = func(context.Context, *redis.Conn) error

// connector makes a client whose every connection passes verify.
type connector func(config Config, verify onConnect) *redis.Client

// CheckURL says what is wrong with a node's URL, without quoting it.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}

// NewClient gives a plain client of a node, bound to none of its runs, that neither retries nor contacts it yet: for
// what may be lost with the node. It uses the config's name, URL and timeout. Close it.
func NewClient(config Config) (*redis.Client, error) {
	connect, err := parseURL(config.URL)
	if err != nil {
		return nil, fmt.Errorf("reading the URL of %s: %w", config.Name, err)
	}
	return connect(config, nil), nil
}

// parseURL reads redis://, rediss:// and, with ?master_name=, the Sentinel form of either. Errors never hold the
// URL: it may hold a password.
func parseURL(text string) (connector, error) {
	parsed, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	if parsed.Query().Has("master_name") {
		return parseSentinel(text)
	}
	options, err := redis.ParseURL(text)
	if err != nil {
		return nil, withoutURL(err)
	}
	return func(config Config, verify onConnect) *redis.Client {
		o := *options
		o.OnConnect = verify
		o.MaxRetries = -1 // a retry could hide a second write
		o.DialerRetries, o.DialerRetryTimeout = 1, time.Millisecond
		o.DialTimeout, o.ReadTimeout, o.PoolTimeout = config.Timeout, config.Timeout, config.Timeout
		o.ContextTimeoutEnabled = true
		o.PoolSize = poolSize
		o.Protocol = 2 // no push messages to handle; a plain AUTH
		o.DisableIdentity = true
		o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		o.Dialer = unseenFailures(config.Name, redis.NewDialer(&o))
		return redis.NewClient(&o)
	}, nil
}

func parseSentinel(text string) (connector, error) {
	options, err := redis.ParseFailoverURL(text)
	if err != nil {
		return nil, withoutURL(err)
	}
	return func(config Config, verify onConnect) *redis.Client {
		o := *options
		o.OnConnect = verify
		o.MaxRetries = -1
		o.DialerRetries, o.DialerRetryTimeout = 1, time.Millisecond
		o.DialTimeout, o.ReadTimeout, o.PoolTimeout = config.Timeout, config.Timeout, config.Timeout
		o.ContextTimeoutEnabled = true
		o.PoolSize = poolSize
		o.Protocol = 2
		o.DisableIdentity = true
		return redis.NewFailoverClient(&o)
	}, nil
}

// withoutURL keeps the reason of a parse error and drops the URL that net/url quotes with it.
func withoutURL(err error) error {
	var quoted *url.Error
	if errors.As(err, &quoted) {
		return quoted.Err
	}
	return err
}
