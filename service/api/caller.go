package api

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"github.com/valyala/fasthttp"
)

// Proxies are the networks whose X-Forwarded-For is believed.
type Proxies []netip.Prefix

// ParseProxies reads networks and addresses separated by commas, such as "10.0.0.0/8, 127.0.0.1".
func ParseProxies(text string) (Proxies, error) {
	var proxies Proxies
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(part)
		if err != nil {
			addr, err := netip.ParseAddr(part)
			if err != nil {
				return nil, fmt.Errorf("%q is neither a network nor an address", part)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		proxies = append(proxies, prefix.Masked())
	}
	return proxies, nil
}

func (p Proxies) trusted(addr netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// caller is who sent a request: an address, and a token's name and role where there is a valid token.
type caller struct {
	address netip.Addr
	token   string
	role    Role
	failure string // why there is no token: the class that the log tells
}

// name is what logs call the caller.
func (c caller) name() string {
	if c.token != "" {
		return c.token
	}
	return c.address.String()
}

// share is what rate limits count: a token, an IPv4 address, or an IPv6 network of one subscriber (/64).
func (c caller) share() string {
	if c.token != "" {
		return "token " + c.token
	}
	if c.address.Is6() {
		return "address " + netip.PrefixFrom(c.address, 64).Masked().String()
	}
	return "address " + c.address.String()
}

func (s *Server) identify(x *exchange) caller {
	c := caller{address: s.options.Proxies.address(x.conn.address, &x.Request.Header)}
	if s.options.Tokens != nil {
		var entry tokenEntry
		entry, c.failure = s.options.Tokens.authenticate(string(x.Request.Header.Peek("Authorization")))
		c.token, c.role = entry.name, entry.role
	}
	return c
}

// address gives the caller's address: the peer's, or behind trusted proxies the last one that none of them has added
// for another of them.
func (p Proxies) address(address netip.Addr, header *fasthttp.RequestHeader) netip.Addr {
	if !p.trusted(address) {
		return address
	}
	hops := strings.Split(string(bytes.Join(header.PeekAll("X-Forwarded-For"), []byte{','})), ",")
	for i := len(hops) - 1; i >= 0 && p.trusted(address); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break // the proxy that we trust is the last one that is sure
		}
		address = hop.Unmap().WithZone("")
	}
	return address
}
