package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
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

// place is where a URL leads: to one process, to a group that changes its primary by itself, or to a cluster of such groups.
type place struct {
	options   *redis.Options // of a connection to a process; Addr is the URL's own
	addrs     []string       // of a group: its Sentinels; of a cluster: members beside the URL's own
	name      string         // what the Sentinels call it
	username  string         // for the Sentinels
	password  string
	clustered bool
	member    *cluster // whose member it is
	replicas  int      // that each primary has
}

// grouped reports whether another process may take the primary's place.
func (p place) grouped() bool { return p.name != "" || p.clustered }

// quorum is how many replicas make a majority of the group together with their primary.
func (p place) quorum() int { return (p.replicas + 1) / 2 }

// CheckURL says what is wrong with a node's URL, without quoting it.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}

// NewClient gives a plain client of a node, bound to none of its runs, that neither retries nor contacts it yet: for
// what may be lost with the node. It uses the config's name, URL and timeout. Close it.
func NewClient(config Config) (redis.UniversalClient, error) {
	at, err := parseURL(config.URL)
	if err != nil {
		return nil, fmt.Errorf("reading the URL of %s: %w", config.Name, err)
	}
	o := at.clientOptions(config, at.options.Addr)
	if at.clustered {
		return redis.NewClusterClient(&redis.ClusterOptions{Addrs: append([]string{o.Addr}, at.addrs...), Username: o.Username,
			Password: o.Password, TLSConfig: at.options.TLSConfig, MaxRetries: -1, DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout,
			PoolTimeout: o.PoolTimeout, ContextTimeoutEnabled: true, PoolSize: poolSize, Protocol: 2, DisableIdentity: true,
			MaintNotificationsConfig: o.MaintNotificationsConfig}), nil
	}
	if at.grouped() {
		find, dial := at.locator(config.Timeout), o.Dialer
		o.Dialer = unseenFailures(config.Name, func(ctx context.Context, network, _ string) (net.Conn, error) {
			addr, err := find(ctx)
			if err != nil {
				return nil, err
			}
			return dial(ctx, network, addr)
		})
	}
	return redis.NewClient(o), nil
}

// clientOptions are those of a client of one process.
func (p place) clientOptions(config Config, addr string) *redis.Options {
	o := *p.options
	o.Addr = addr
	if host, _, err := net.SplitHostPort(addr); err == nil && o.TLSConfig != nil {
		o.TLSConfig = o.TLSConfig.Clone()
		o.TLSConfig.ServerName = host
	}
	o.MaxRetries = -1 // a retry could hide a second write
	o.DialerRetries, o.DialerRetryTimeout = 1, time.Millisecond
	o.DialTimeout, o.ReadTimeout, o.PoolTimeout = config.Timeout, config.Timeout, config.Timeout
	o.ContextTimeoutEnabled = true
	o.PoolSize = poolSize
	o.Protocol = 2 // no push messages to handle; a plain AUTH
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.Dialer = unseenFailures(config.Name, redis.NewDialer(&o))
	return &o
}

// parseURL reads redis://, rediss:// and, with ?master_name=, the Sentinel form of either. Errors never hold the
// URL: it may hold a password.
func parseURL(text string) (place, error) {
	parsed, err := url.Parse(text)
	if err != nil {
		return place{}, errors.New("not a URL")
	}
	var p place
	query := parsed.Query()
	if query.Has("master_name") {
		if err := p.readSentinels(parsed, query); err != nil {
			return place{}, err
		}
	}
	if query.Has("cluster") {
		if err := p.readCluster(parsed, query); err != nil {
			return place{}, err
		}
	}
	parsed.RawQuery = query.Encode()
	if p.options, err = redis.ParseURL(parsed.String()); err != nil {
		return place{}, withoutURL(err)
	}
	if p.name != "" {
		p.addrs = append([]string{p.options.Addr}, p.addrs...)
	}
	return p, nil
}

// readSentinels takes the Sentinel form's own parameters out of the query. Its user and password are the Sentinels';
// those of the nodes are parameters.
func (p *place) readSentinels(parsed *url.URL, query url.Values) error {
	if p.name = take(query, "master_name"); p.name == "" {
		return errors.New("master_name is empty: it is what the Sentinels call the group")
	}
	if err := p.readGroup(query); err != nil {
		return err
	}
	p.username = parsed.User.Username()
	p.password, _ = parsed.User.Password()
	parsed.User = nil
	if user, password := take(query, "username"), take(query, "password"); user != "" || password != "" {
		parsed.User = url.UserPassword(user, password)
	}
	return nil
}

// readCluster takes the parameters of a Redis Cluster out of the query.
func (p *place) readCluster(parsed *url.URL, query url.Values) error {
	switch {
	case take(query, "cluster") != "true":
		return errors.New("cluster can only be true")
	case p.name != "":
		return errors.New("cluster and master_name exclude each other")
	case strings.Trim(parsed.Path, "/0") != "":
		return errors.New("a Redis Cluster has database 0 only")
	}
	p.clustered = true
	return p.readGroup(query)
}

// readGroup takes the parameters that every group has.
func (p *place) readGroup(query url.Values) error {
	for _, addr := range query["addr"] {
		if host, port, err := net.SplitHostPort(addr); err != nil || host == "" || port == "" {
			return errors.New("an addr is not host:port")
		}
		p.addrs = append(p.addrs, addr)
	}
	query.Del("addr")
	text := take(query, "replicas")
	replicas, err := strconv.Atoi(text)
	if err != nil || replicas < 0 || replicas > 100 {
		return errors.New("replicas must be the number of replicas that each primary has, as in replicas=2: an answer counts once a majority of the group is behind it")
	}
	p.replicas = replicas
	return nil
}

func take(query url.Values, name string) string {
	value := query.Get(name)
	query.Del(name)
	return value
}

// withoutURL keeps the reason of a parse error and drops the URL that net/url quotes with it.
func withoutURL(err error) error {
	var quoted *url.Error
	if errors.As(err, &quoted) {
		return quoted.Err
	}
	return err
}
