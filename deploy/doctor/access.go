package doctor

import (
	"context"
	"net/http"
	"strings"
)

func accessChecks() []check {
	return []check{
		{Line{"tokens", "access", "The API asks for a token",
			"without TOKENS_FILE everybody who reaches the services may write"}, lookTokens},
		{Line{"rate-limits", "access", "RATE_LIMITS is set on every instance",
			"one client that goes wild takes the services away from all others"}, lookRateLimits},
		{Line{"retries", "access", "The balancer repeats nothing that may have taken effect",
			"a write that is sent again after a lost answer is a second write"}, lookRetries},
	}
}

func lookTokens(ctx context.Context, r *round, v *verdict) {
	const howToAsk = "captop doctor tokens --edge https://NAME, the address that clients use"
	fix := "capd token NAME write >> secrets/tokens, set TOKENS_FILE=/run/secrets/captop/tokens, and " + r.up("app_cp", "app_ap")
	r.each(ctx, v, services, func(u Unit) {
		setting(v, u, "TOKENS_FILE", func(value string) {
			if value == "" {
				v.fail(fix, "%s has no TOKENS_FILE", u.Name)
			}
		})
	})
	if len(r.eyes.Targets.Edges) == 0 {
		v.cannot(howToAsk, "the address that clients use is not known, so nobody could ask there")
	}
	for _, edge := range r.eyes.Targets.Edges {
		// A key that nobody has: what is asked is who may ask.
		answer, err := r.get(ctx, strings.TrimRight(secured(ctx, r, edge), "/")+"/read/captop-doctor")
		switch {
		case err != nil:
			v.cannot(howToAsk, "%s cannot be asked: %v", edge, err)
		case answer.Status == http.StatusUnauthorized:
			v.pass("%s answers 401 without a token", edge)
		case answer.Status == http.StatusOK || answer.Status == http.StatusNotFound:
			v.fail(fix, "%s lets anybody read: it answers %d without a token", edge, answer.Status)
		default:
			v.cannot("curl -i "+edge+"/read/x", "%s answers %d without a token, which tells nothing", edge, answer.Status)
		}
	}
}

func lookRateLimits(ctx context.Context, r *round, v *verdict) {
	fix := r.inProduction("RATE_LIMITS=1000 per hour;100 per minute")
	r.each(ctx, v, services, func(u Unit) {
		setting(v, u, "RATE_LIMITS", func(value string) {
			if value == "" {
				v.fail(fix, "%s limits nobody", u.Name)
			} else {
				v.pass("%s allows %s", u.Name, value)
			}
		})
	})
}

// unsafeRetries are the reasons of HAProxy's retry-on after which a request may have taken effect.
var unsafeRetries = []string{"empty-response", "junk-response", "response-timeout", "0rtt-rejected", "all-retryable-errors", "500", "502", "503", "504"}

// haproxyConfigs are where HAProxy's configuration lies unless its command says otherwise.
var haproxyConfigs = []string{"/usr/local/etc/haproxy/haproxy.cfg", "/etc/haproxy/haproxy.cfg"}

func lookRetries(ctx context.Context, r *round, v *verdict) {
	seen := false
	r.each(ctx, v, []string{"haproxy"}, func(u Unit) {
		seen = true
		text, err := r.haproxyConfig(ctx, u)
		if err != nil {
			v.cannot("", "%s: its configuration cannot be read: %v", u.Name, err)
			return
		}
		r.judgeRetries(v, u, text)
	})
	if !seen {
		v.cannot("see that the balancer repeats a POST only where no connection came about", "no HAProxy was found; what else balances the load is not known")
	}
}

func (r *round) haproxyConfig(ctx context.Context, u Unit) (string, error) {
	paths := haproxyConfigs
	if u.Command.OK {
		for i, arg := range u.Command.Value[:max(len(u.Command.Value)-1, 0)] {
			if arg == "-f" {
				paths = []string{u.Command.Value[i+1]}
			}
		}
	}
	var file File
	var err error
	for _, path := range paths {
		if file, err = r.readFile(ctx, u, path); err == nil {
			break
		}
	}
	return string(file.Content), err
}

// judgeRetries reads the configuration by section, as HAProxy does: a section begins with a word in the first column.
func (r *round) judgeRetries(v *verdict, u Unit, text string) {
	section, backends := "", 0
	type facts struct {
		unsafe []string
		spared bool // requests that change something are spared
	}
	sections := map[string]*facts{}
	for line := range strings.Lines(text) {
		code, _, _ := strings.Cut(line, "#")
		words := strings.Fields(code)
		if len(words) == 0 {
			continue
		}
		if line[0] != ' ' && line[0] != '\t' {
			section = strings.Join(words, " ")
			sections[section] = &facts{}
			if words[0] == "backend" || words[0] == "listen" {
				backends++
			}
			continue
		}
		f := sections[section]
		switch {
		case f == nil:
		case words[0] == "retry-on":
			for _, reason := range words[1:] {
				for _, unsafe := range unsafeRetries {
					if reason == unsafe {
						f.unsafe = append(f.unsafe, reason)
					}
				}
			}
		case strings.Contains(code, "disable-l7-retry"):
			f.spared = true
		}
	}
	if backends == 0 {
		v.cannot("", "%s: there is no backend in what was read as its configuration", u.Name)
		return
	}
	for name, f := range sections {
		if len(f.unsafe) > 0 && !f.spared {
			v.fail("put `http-request disable-l7-retry if METH_POST` into \""+name+"\" of haproxy.cfg, or retry-on conn-failure only; then "+r.reread(),
				"%s: %q repeats requests after %s", u.Name, name, list(f.unsafe))
		}
	}
	if !v.has(Fail) {
		v.pass("%s: none of its %d backends repeats what may have taken effect", u.Name, backends)
	}
}
