package doctor

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// errNoTime: an answer to TIME that is none.
var errNoTime = errors.New("it does not tell the time")

// mostSkew is how far clocks may be apart, as MAX_CLOCK_SKEW_MS has it by default.
const mostSkew = 500 * time.Millisecond

func hostChecks() []check {
	return []check{
		{Line{"clock-skew", "hosts", "The clocks of services, nodes and this host are within 500 ms of each other",
			"AP orders writes by clock, and refuses them where the clocks are too far apart"}, lookSkew},
		{Line{"time-sync", "hosts", "The host's clock follows a time server",
			"a clock that runs free is right today, and wrong in a month"}, lookSync},
		{Line{"kernel-overcommit", "hosts", "vm.overcommit_memory is 1",
			"a node that saves needs to fork; where the kernel refuses, neither backup nor rewrite is made"}, lookOvercommit},
		{Line{"kernel-thp", "hosts", "Transparent huge pages are not always on",
			"with them a save makes the node stand still, and use twice its memory"}, lookTHP},
		{Line{"kernel-somaxconn", "hosts", "net.core.somaxconn is at least the nodes' tcp-backlog",
			"connections that come at once, as after a restart, are dropped"}, lookSomaxconn},
		{Line{"zones", "hosts", "The two nodes, and the instances of each service, are in different zones",
			"what is in one place goes down together"}, lookZones},
	}
}

func isAbsent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func splitLines(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }

func lookSkew(ctx context.Context, r *round, v *verdict) {
	const fix = "timedatectl set-ntp true, on the host whose clock is wrong"
	for _, node := range nodes {
		skew, took, err := r.serverTime(ctx, node)
		switch {
		case err != nil:
			v.cannot(howToAsk, "%s cannot be asked for its time: %v", node, err)
		case took > mostSkew:
			v.cannot("", "%s took %s to answer, too long to tell its clock", node, took.Round(time.Millisecond))
		default:
			v.expect(skew.Abs() <= mostSkew, fix, "%s is %s off", node, skew.Round(time.Millisecond))
		}
	}
	if r.eyes.Polls == nil {
		v.cannot("", "the clocks of the services cannot be seen: %v", ErrNoEye)
		return
	}
	polled, err := r.eyes.Polls(ctx)
	if err != nil || len(polled) == 0 {
		v.cannot("captop --once", "the clocks of the services cannot be seen: %v", err)
		return
	}
	for _, p := range polled {
		if !p.Skew.OK {
			v.cannot("captop --once", "the clock of %s %s cannot be seen: %s", p.Service, p.Instance, p.Skew.Why)
			continue
		}
		v.expect(p.Skew.Value.Abs() <= mostSkew, fix, "%s %s is %s off", p.Service, p.Instance, p.Skew.Value.Round(time.Millisecond))
	}
}

func lookSync(ctx context.Context, r *round, v *verdict) {
	if r.eyes.Synchronised == nil {
		v.cannot("timedatectl", "whether the clock is kept right cannot be seen: %v", ErrNoEye)
		return
	}
	synchronised, err := r.eyes.Synchronised(ctx)
	if err != nil {
		v.cannot("timedatectl, on the host of the stack", "whether the clock is kept right cannot be seen: %v", err)
		return
	}
	v.expect(synchronised, "timedatectl set-ntp true, or apt-get install chrony", "the kernel says that its clock is %s", map[bool]string{true: "synchronised", false: "not synchronised"}[synchronised])
}

func lookOvercommit(ctx context.Context, r *round, v *verdict) {
	file, err := r.hostFile(ctx, "/proc/sys/vm/overcommit_memory")
	value := strings.TrimSpace(string(file.Content))
	if _, bad := strconv.Atoi(value); err != nil || bad != nil {
		v.cannot("sysctl vm.overcommit_memory, on the host of the nodes", "it cannot be read: %v", err)
		return
	}
	v.expect(value == "1", "sysctl -w vm.overcommit_memory=1 && echo vm.overcommit_memory=1 > /etc/sysctl.d/90-redis.conf", "vm.overcommit_memory is %s", value)
}

func lookTHP(ctx context.Context, r *round, v *verdict) {
	file, err := r.hostFile(ctx, "/sys/kernel/mm/transparent_hugepage/enabled")
	_, rest, found := strings.Cut(string(file.Content), "[")
	mode, _, closed := strings.Cut(rest, "]")
	if err != nil || !found || !closed {
		v.cannot("cat /sys/kernel/mm/transparent_hugepage/enabled, on the host of the nodes", "it cannot be read: %v", err)
		return
	}
	switch mode {
	case "always":
		v.fail("echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, and transparent_hugepage=madvise on the kernel's command line", "transparent huge pages are always on")
	case "madvise", "never":
		v.pass("transparent huge pages: %s", mode)
	default:
		v.cannot("", "transparent huge pages: %.40q", mode)
	}
}

func lookSomaxconn(ctx context.Context, r *round, v *verdict) {
	for _, node := range nodes {
		text, ok := r.config(ctx, v, node, "tcp-backlog")
		backlog, err := strconv.Atoi(text)
		if !ok {
			continue
		}
		if err != nil || backlog < 1 {
			v.cannot(howToAsk, "%s has a tcp-backlog of %.40q", node, text)
			continue
		}
		r.each(ctx, v, []string{node}, func(u Unit) {
			if r.eyes.Sysctl == nil {
				v.cannot("", "%s: its somaxconn cannot be seen: %v", u.Name, ErrNoEye)
				return
			}
			text, err := r.eyes.Sysctl(ctx, u, "net.core.somaxconn")
			value, bad := strconv.Atoi(strings.TrimSpace(text))
			if err != nil || bad != nil {
				v.cannot("sysctl net.core.somaxconn, on the host of "+node, "%s: its somaxconn cannot be seen: %v", u.Name, err)
				return
			}
			v.expect(value >= backlog, r.inCompose(u, `sysctls: {net.core.somaxconn: "1024"}`), "%s: somaxconn is %d, its backlog %d", u.Name, value, backlog)
		})
	}
}
