package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

func networkChecks() []check {
	return []check{
		{Line{"redis-published", "network", "No node is published",
			"only the services need the nodes; an open port is one more way in, and a way around every promise"}, lookRedisPublished},
		{Line{"published-ports", "network", "Only the edge listens to other hosts",
			"metrics, dashboards and instances that can be reached past the edge have neither TLS nor limits"}, lookPublished},
	}
}

// isOpen says that a port can be reached from other hosts.
func (p Port) isOpen() bool { return !p.Host.IsValid() || !p.Host.IsLoopback() }

func (p Port) String() string {
	if !p.Host.IsValid() || p.Host.IsUnspecified() {
		return "*:" + p.Port
	}
	return p.Host.String() + ":" + p.Port
}

func portNames(ports []Port) string {
	names := []string{}
	for _, p := range ports {
		if !slices.Contains(names, p.String()) {
			names = append(names, p.String())
		}
	}
	return list(names)
}

func lookRedisPublished(ctx context.Context, r *round, v *verdict) {
	r.each(ctx, v, nodes, func(u Unit) {
		known(v, u, "where it listens", u.Ports, func(ports []Port) {
			switch open := slices.DeleteFunc(slices.Clone(ports), func(p Port) bool { return !p.isOpen() }); {
			case u.Container && len(ports) > 0:
				v.fail("take `ports:` out of "+u.Service+" in "+r.file()+", then "+r.up(u.Service), "%s is published at %s", u.Name, portNames(ports))
			case u.Container:
				v.pass("%s is on the stack's own network only", u.Name)
			case slices.ContainsFunc(open, func(p Port) bool { return !p.Host.IsPrivate() }):
				v.fail("bind 127.0.0.1 or a private address in redis.conf, then systemctl restart redis-server", "%s listens at %s", u.Name, portNames(open))
			case len(ports) == 0:
				v.cannot("ss -ltnp", "%s listens nowhere that could be found", u.Name)
			default:
				v.pass("%s listens at %s", u.Name, portNames(ports))
			}
		})
	})
}

// edgeServices are what may be reached by other hosts.
var edgeServices = []string{"haproxy", "edge"}

func lookPublished(ctx context.Context, r *round, v *verdict) {
	r.each(ctx, v, nil, func(u Unit) {
		if slices.Contains(nodes, u.Service) {
			return // redis-published is about these
		}
		known(v, u, "where it listens", u.Ports, func(ports []Port) {
			open := slices.DeleteFunc(slices.Clone(ports), func(p Port) bool { return !p.isOpen() })
			switch {
			case len(open) == 0:
				v.pass("%s is not reached by other hosts", u.Name)
			case slices.Contains(edgeServices, u.Service):
				v.pass("%s, the edge, is published at %s", u.Name, portNames(open))
			case !u.Container && u.Env.OK && u.Env.Value["TLS_CERT_FILE"] != "":
				v.pass("%s listens with TLS at %s", u.Name, portNames(open))
			default:
				v.fail(r.closing(u), "%s listens to other hosts at %s", u.Name, portNames(open))
			}
		})
	})
	if r.eyes.Listeners == nil {
		v.cannot("ss -ltn", "the sockets of this host cannot be seen: %v", ErrNoEye)
		return
	}
	listeners, err := r.eyes.Listeners(ctx)
	if err != nil {
		v.cannot("ss -ltn", "the sockets of this host cannot be seen: %v", err)
		return
	}
	names := []string{}
	for _, l := range listeners {
		names = append(names, strings.TrimSpace(fmt.Sprintf("%s %s", l.Address, l.Process)))
	}
	v.pass("this host listens to others at %d sockets: %s", len(names), list(names))
}

func (r *round) closing(u Unit) string {
	if u.Container {
		return "publish " + u.Service + " on 127.0.0.1 only, or not at all, then " + r.up(u.Service)
	}
	return "LISTEN_ADDR=127.0.0.1:PORT behind a proxy with TLS, or TLS_CERT_FILE and TLS_KEY_FILE; then restart it"
}
