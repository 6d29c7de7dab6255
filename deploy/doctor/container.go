package doctor

import (
	"context"
	"strings"
)

func containerChecks() []check {
	return []check{
		{Line{"non-root", "containers", "Nothing runs as root",
			"a hole in a program that runs as root is a hole in its host"}, lookUsers},
		{Line{"read-only-root", "containers", "Every root file system is read-only",
			"what breaks in cannot stay, and nothing fills the host's disk"}, lookReadOnly},
		{Line{"capabilities", "containers", "Every capability is dropped",
			"none of the programs needs one; each is a way out of the container"}, lookCapabilities},
		{Line{"no-new-privileges", "containers", "No program can gain privileges",
			"else a file with setuid brings root back"}, lookNoNewPrivileges},
		{Line{"health-checks", "containers", "Every container is checked, and is healthy",
			"what nobody checks is not restarted, and a deployment goes on past it"}, lookHealth},
	}
}

// inCompose is the fix by a line of the Compose file.
func (r *round) inCompose(u Unit, line string) string {
	if !u.Container {
		return "systemctl edit " + u.Service
	}
	return "put `" + line + "` into " + u.Service + " of " + r.file() + ", then " + r.up(u.Service)
}

func lookUsers(ctx context.Context, r *round, v *verdict) {
	r.each(ctx, v, nil, func(u Unit) {
		known(v, u, "its user", u.User, func(user string) {
			name, _, _ := strings.Cut(user, ":")
			if name == "" || name == "0" || name == "root" {
				v.fail(r.inCompose(u, `user: "65532:65532"`), "%s runs as root", u.Name)
				return
			}
			v.pass("%s runs as %s", u.Name, user)
		})
	})
}

func lookReadOnly(ctx context.Context, r *round, v *verdict) {
	r.each(ctx, v, nil, func(u Unit) {
		known(v, u, "whether its root is read-only", u.ReadOnlyRoot, func(only bool) {
			v.expect(only, r.inCompose(u, "read_only: true"), "%s has a root that is %s", u.Name, map[bool]string{true: "read-only", false: "writable"}[only])
		})
	})
}

func lookCapabilities(ctx context.Context, r *round, v *verdict) {
	r.each(ctx, v, nil, func(u Unit) {
		known(v, u, "its capabilities", u.Capabilities, func(has []string) {
			if len(has) > 0 {
				v.fail(r.inCompose(u, "cap_drop: [ALL]"), "%s may use %s", u.Name, list(has))
				return
			}
			v.pass("%s has none", u.Name)
		})
	})
}

func lookNoNewPrivileges(ctx context.Context, r *round, v *verdict) {
	r.each(ctx, v, nil, func(u Unit) {
		known(v, u, "whether it can gain privileges", u.NoNewPrivileges, func(none bool) {
			v.expect(none, r.inCompose(u, `security_opt: ["no-new-privileges:true"]`), "%s %s gain privileges", u.Name, map[bool]string{true: "cannot", false: "can"}[none])
		})
	})
}

func lookHealth(ctx context.Context, r *round, v *verdict) {
	r.each(ctx, v, nil, func(u Unit) {
		known(v, u, "its health", u.Health, func(health string) {
			switch health {
			case "healthy":
				v.pass("%s is healthy", u.Name)
			case "", "none":
				v.fail(r.inCompose(u, "healthcheck: …"), "nothing checks %s", u.Name)
			case "starting":
				v.cannot("captop doctor health-checks, in a minute", "%s is starting", u.Name)
			case "unhealthy":
				v.fail(r.logs(u.Service), "%s is unhealthy", u.Name)
			default:
				v.cannot("docker inspect "+u.Name, "%s says %.40q of its health", u.Name, health)
			}
		})
	})
}
