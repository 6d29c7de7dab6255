package doctor

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The bounds of the certificate's life and of HSTS.
const (
	certificateLeft = 14 * 24 * time.Hour
	hstsLeast       = 180 * 24 * time.Hour
)

func tlsChecks() []check {
	return []check{
		{Line{"tls-certificate", "tls", "The edge's certificate is trusted, fits its name, and is good for 14 days more",
			"an expired certificate takes every client away at once, at a time that was known a year before"}, lookCertificate},
		{Line{"tls-protocol", "tls", "The edge speaks TLS 1.2 or newer only",
			"older versions can be broken, and audits fail on them"}, lookProtocol},
		{Line{"tls-redirect", "tls", "Nothing is answered in the clear: plain HTTP is sent on to HTTPS",
			"tokens and values that go in the clear can be read on the way"}, lookRedirect},
		{Line{"tls-hsts", "tls", "The edge sends Strict-Transport-Security for at least 180 days",
			"without it a browser can be brought back to plain HTTP"}, lookHSTS},
	}
}

const (
	howToEdge = "captop doctor tls --edge https://NAME, the address that clients use"
	howToTLS  = "deploy/GUIDE.md, section TLS: put a certificate where HAProxy reads it, and restart HAProxy"
)

// secured gives the address with TLS to which an address leads: itself, where it redirects, or the same host and port.
// Where there is none, the address itself.
func secured(ctx context.Context, r *round, edge string) string {
	if strings.HasPrefix(edge, "https://") {
		return edge
	}
	answer, err := r.get(ctx, strings.TrimRight(edge, "/")+"/health")
	if err == nil && redirects(answer) {
		if to, err := url.Parse(answer.Header.Get("Location")); err == nil {
			return "https://" + to.Host
		}
	}
	if hungUp(answer, err) && speaksTLS(ctx, r, edge) {
		return "https://" + strings.TrimPrefix(edge, "http://")
	}
	return edge
}

func redirects(answer Response) bool {
	moved := answer.Status == http.StatusMovedPermanently || answer.Status == http.StatusPermanentRedirect ||
		answer.Status == http.StatusFound || answer.Status == http.StatusTemporaryRedirect
	return moved && strings.HasPrefix(answer.Header.Get("Location"), "https://")
}

// edges calls look with every edge that speaks TLS, and says of the others that they do not.
func (r *round) edges(ctx context.Context, v *verdict, look func(address string)) {
	if len(r.eyes.Targets.Edges) == 0 {
		v.cannot(howToEdge, "the address that clients use is not known")
	}
	done := map[string]bool{}
	for _, edge := range r.eyes.Targets.Edges {
		with := secured(ctx, r, edge)
		if done[with] {
			continue
		}
		done[with] = true
		if strings.HasPrefix(with, "https://") {
			look(with)
			continue
		}
		answer, err := r.get(ctx, strings.TrimRight(edge, "/")+"/health")
		if err != nil {
			v.cannot(howToEdge, "%s cannot be asked: %v", edge, err)
		} else {
			v.fail(howToTLS, "%s answers %d in the clear, and knows no TLS", edge, answer.Status)
		}
	}
}

func lookCertificate(ctx context.Context, r *round, v *verdict) {
	r.edges(ctx, v, func(address string) {
		session, err := r.handshake(ctx, address, 0)
		switch {
		case err != nil:
			v.cannot(howToEdge, "%s cannot be asked: %v", address, err)
			return
		case len(session.Chain) == 0:
			v.cannot(howToEdge, "%s showed no certificate", address)
			return
		}
		leaf, now := session.Chain[0], r.eyes.now()
		left := leaf.NotAfter.Sub(now)
		renew := "renew the certificate, put it where HAProxy reads it, then " + r.reread()
		switch {
		case left <= 0:
			v.fail(renew, "%s: the certificate ended on %s", address, day(leaf.NotAfter))
		case leaf.NotBefore.After(now):
			v.fail(renew, "%s: the certificate is not good before %s", address, day(leaf.NotBefore))
		case left < certificateLeft:
			v.fail(renew, "%s: the certificate ends on %s, in %d days", address, day(leaf.NotAfter), int(left.Hours())/24)
		case session.Refused != nil:
			v.fail("captop doctor tls --tls-ca FILE where the authority is your own; else "+renew, "%s: %v", address, session.Refused)
		default:
			v.pass("%s: trusted, good until %s (%d days)", address, day(leaf.NotAfter), int(left.Hours())/24)
		}
	})
}

func day(at time.Time) string { return at.UTC().Format("2006-01-02") }

func lookProtocol(ctx context.Context, r *round, v *verdict) {
	fix := "ssl-default-bind-options ssl-min-ver TLSv1.2 in the section global of haproxy.cfg, then " + r.reread()
	r.edges(ctx, v, func(address string) {
		session, err := r.handshake(ctx, address, 0)
		if err != nil {
			v.cannot(howToEdge, "%s cannot be asked: %v", address, err)
			return
		}
		old, err := r.handshake(ctx, address, tls.VersionTLS11)
		switch {
		case err == nil:
			v.fail(fix, "%s speaks %s", address, tls.VersionName(old.Version))
		case !alerted(err):
			v.cannot(howToEdge, "%s did not say what it thinks of TLS 1.1: %v", address, err)
		case session.Version < tls.VersionTLS12:
			v.fail(fix, "%s speaks %s", address, tls.VersionName(session.Version))
		default:
			v.pass("%s speaks %s, and refuses TLS 1.1", address, tls.VersionName(session.Version))
		}
	})
}

// alerted says that the other end has refused a handshake by the protocol, and not only gone away.
func alerted(err error) bool {
	text := err.Error()
	return strings.Contains(text, "protocol version not supported") || strings.Contains(text, "handshake failure") ||
		strings.Contains(text, "insufficient security")
}

// lookRedirect asks in the clear: at the addresses that were named so, and at port 80 of the others. Where nobody listens
// on port 80 nothing is answered in the clear.
func lookRedirect(ctx context.Context, r *round, v *verdict) {
	if len(r.eyes.Targets.Edges) == 0 {
		v.cannot(howToEdge, "the address that clients use is not known")
	}
	for _, edge := range r.eyes.Targets.Edges {
		plain := edge
		if parsed, err := url.Parse(edge); err == nil && parsed.Scheme == "https" {
			plain = "http://" + parsed.Hostname()
		}
		answer, err := r.get(ctx, strings.TrimRight(plain, "/")+"/health")
		switch {
		case err == nil && redirects(answer):
			v.pass("%s sends on to %s", plain, answer.Header.Get("Location"))
		case hungUp(answer, err) && speaksTLS(ctx, r, plain):
			v.pass("%s refuses to speak in the clear", plain)
		case err == nil:
			v.fail(howToTLS, "%s answers %d in the clear", plain, answer.Status)
		case plain != edge && strings.Contains(err.Error(), "connection refused"):
			v.pass("nobody listens at %s", plain)
		default:
			v.cannot(howToEdge, "%s cannot be asked: %v", plain, err)
		}
	}
}

// hungUp says that what was asked in the clear ended the conversation, as a listener with TLS does.
func hungUp(answer Response, err error) bool {
	if err == nil {
		return answer.Status == http.StatusBadRequest
	}
	text := err.Error()
	return strings.HasSuffix(text, "EOF") || strings.Contains(text, "malformed HTTP response") || strings.Contains(text, "connection reset")
}

// speaksTLS asks the very port that was asked in the clear.
func speaksTLS(ctx context.Context, r *round, plain string) bool {
	parsed, err := url.Parse(plain)
	if err != nil {
		return false
	}
	port := parsed.Port()
	if port == "" {
		port = "80"
	}
	_, err = r.handshake(ctx, "https://"+net.JoinHostPort(parsed.Hostname(), port), 0)
	return err == nil
}

func lookHSTS(ctx context.Context, r *round, v *verdict) {
	fix := `http-response set-header Strict-Transport-Security "max-age=31536000" in the frontends of haproxy.cfg, then ` + r.reread()
	r.edges(ctx, v, func(address string) {
		answer, err := r.get(ctx, strings.TrimRight(address, "/")+"/health")
		if err != nil || answer.Status == 0 {
			v.cannot(howToEdge, "%s cannot be asked: %v", address, err)
			return
		}
		age, found := maxAge(answer.Header.Get("Strict-Transport-Security"))
		switch {
		case !found:
			v.fail(fix, "%s sends no Strict-Transport-Security", address)
		default:
			v.expect(age >= hstsLeast, fix, "%s sends it for %d days", address, int(age.Hours())/24)
		}
	})
}

// maxAge reads the header of HSTS.
func maxAge(header string) (time.Duration, bool) {
	for part := range strings.SplitSeq(header, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		seconds, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 32)
		if strings.EqualFold(name, "max-age") && err == nil && seconds >= 0 {
			return time.Duration(seconds) * time.Second, true
		}
	}
	return 0, false
}
