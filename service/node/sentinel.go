package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// errNoSentinel: none of them answered.
var errNoSentinel = errors.New("no Sentinel tells where the primary is")

// locator gives the function that tells the address of the process to speak to.
func (p place) locator(timeout time.Duration) func(context.Context) (string, error) {
	if p.name == "" {
		return func(context.Context) (string, error) { return p.options.Addr, nil }
	}
	return func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout/2)
		defer cancel()
		return p.askSentinels(ctx)
	}
}

// opinion is what one Sentinel says.
type opinion struct {
	addr  string
	epoch int64 // of its configuration: the higher one is the newer
	err   error
}

// askSentinels gives the newest opinion of a majority of the Sentinels, or of those that answered in time. A wrong one
// does no harm: the group does not confirm what a former primary says.
func (p place) askSentinels(ctx context.Context) (string, error) {
	answers := make(chan opinion, len(p.addrs))
	for _, addr := range p.addrs {
		go func() { answers <- p.askSentinel(ctx, addr) }()
	}
	best := opinion{epoch: -1, err: errNoSentinel}
	for answered, asked := 0, 0; asked < len(p.addrs) && 2*answered <= len(p.addrs); asked++ {
		switch o := <-answers; {
		case o.err == nil:
			if answered++; o.epoch > best.epoch {
				best = o
			}
		case best.addr == "":
			best.err = fmt.Errorf("%w: %w", errNoSentinel, o.err)
		}
	}
	return best.addr, best.err
}

func (p place) askSentinel(ctx context.Context, addr string) opinion {
	o := *p.options
	o.Addr, o.Username, o.Password, o.DB = addr, p.username, p.password, 0
	o.MaxRetries, o.DialerRetries, o.PoolSize, o.Protocol = -1, 1, 1, 2
	o.ContextTimeoutEnabled, o.DisableIdentity = true, true
	if host, _, err := net.SplitHostPort(addr); err == nil && o.TLSConfig != nil {
		o.TLSConfig = o.TLSConfig.Clone()
		o.TLSConfig.ServerName = host
	}
	client := redis.NewSentinelClient(&o)
	defer client.Close()
	master, err := client.Master(ctx, p.name).Result()
	if err != nil {
		return opinion{err: fmt.Errorf("asking the Sentinel at %s: %w", addr, err)}
	}
	epoch, err := strconv.ParseInt(master["config-epoch"], 10, 64)
	if err != nil {
		return opinion{err: fmt.Errorf("asking the Sentinel at %s: its answer has no config-epoch", addr)}
	}
	return opinion{addr: net.JoinHostPort(master["ip"], master["port"]), epoch: epoch}
}
