package doctor

import (
	"context"
	"slices"
	"strings"
)

func logChecks() []check {
	return []check{
		{Line{"log-rotation", "logs", "Every log is rotated",
			"a log that grows without end fills the disk, and then the nodes refuse writes"}, lookRotation},
		{Line{"log-level", "logs", "Nothing logs at DEBUG",
			"DEBUG writes a line for every read: it slows the services, and holds what people read"}, lookLevel},
	}
}

// shippers are the log drivers of Docker that keep nothing without end on this host, or rotate by themselves.
var shippers = []string{"local", "journald", "syslog", "fluentd", "gelf", "awslogs", "splunk", "gcplogs", "none", "capd"}

func lookRotation(ctx context.Context, r *round, v *verdict) {
	r.each(ctx, v, nil, func(u Unit) {
		known(v, u, "where its log goes", u.Log, func(log Log) {
			switch {
			case slices.Contains(shippers, log.Driver):
				v.pass("%s: %s", u.Name, log.Driver)
			case log.Driver != "json-file":
				v.cannot("docker inspect "+u.Name, "%s logs to %.40q, of which nothing is known here", u.Name, log.Driver)
			case log.MaxSize == "" || strings.HasPrefix(log.MaxSize, "-"):
				v.fail(r.inCompose(u, `logging: {driver: json-file, options: {max-size: 10m, max-file: "3"}}`), "%s: its log grows without end", u.Name)
			default:
				v.pass("%s: %s by %s", u.Name, log.MaxSize, orText(log.MaxFiles, "1"))
			}
		})
	})
}

func lookLevel(ctx context.Context, r *round, v *verdict) {
	r.each(ctx, v, services, func(u Unit) {
		setting(v, u, "LOG_LEVEL", func(level string) {
			v.expect(!strings.EqualFold(level, "DEBUG"), r.inProduction("LOG_LEVEL=INFO"), "%s logs at %s", u.Name, orText(level, "INFO"))
		})
	})
	for _, node := range nodes {
		if level, ok := r.config(ctx, v, node, "loglevel"); ok {
			v.expect(level != "debug" && level != "verbose", "redis-cli config set loglevel notice", "%s logs at %s", node, level)
		}
	}
}
