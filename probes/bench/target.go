package bench

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
)

// keyMark stands for the key in a request line.
const keyMark = "{key}"

// Dialect is how a kind of target wants its requests: request lines in which {key} is the key; a write's value is the body.
type Dialect struct{ Read, Write string }

// The dialects.
var (
	Capd   = Dialect{Read: "GET /read/{key}", Write: "POST /write/{key}"}
	Webdis = Dialect{Read: "GET /GET/{key}", Write: "PUT /SET/{key}"}
)

// Target is what is asked: one service, with one address or several among which the connections are shared out.
type Target struct {
	Name      string
	dialect   Dialect
	token     string
	host      string
	addresses []address
	inOrder   bool // key n is that of request n
}

type address struct {
	hostPort string
	tls      *tls.Config // nil: plain
}

// String is host:port.
func (a address) String() string { return a.hostPort }

var errNoAddress = errors.New("a target needs an address")

// NewTarget gives the target at these URLs, http or https, without paths. token is a bearer token; "" is none.
func NewTarget(name string, dialect Dialect, token string, urls ...string) (Target, error) {
	if len(urls) == 0 {
		return Target{}, errNoAddress
	}
	t := Target{Name: name, dialect: dialect, token: token}
	for _, text := range urls {
		parsed, err := url.Parse(text)
		if err != nil || parsed.Hostname() == "" || parsed.Path != "" && parsed.Path != "/" {
			return Target{}, fmt.Errorf("%s is no address of a service; one looks like http://localhost:5001", redacted(parsed, text))
		}
		a := address{}
		port := parsed.Port()
		switch parsed.Scheme {
		case "http":
			port = orElse(port, "80")
		case "https":
			port, a.tls = orElse(port, "443"), &tls.Config{ServerName: parsed.Hostname(), MinVersion: tls.VersionTLS12}
		default:
			return Target{}, fmt.Errorf("%s: the address of a service begins with http:// or https://", redacted(parsed, text))
		}
		a.hostPort = net.JoinHostPort(parsed.Hostname(), port)
		t.addresses = append(t.addresses, a)
		t.host = parsed.Host
	}
	return t, nil
}

func redacted(parsed *url.URL, text string) string {
	if parsed == nil {
		return "what was given"
	}
	if parsed.User != nil {
		return parsed.Redacted()
	}
	return text
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
