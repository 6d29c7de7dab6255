package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"captop/service/api"
)

// healthPatience bounds capd health beyond the time that a request may take.
const healthPatience = time.Second

// health asks the instance that runs with the same settings how it is. An error is exit code 1.
func health(ctx context.Context, s settings, io stdio) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.Timeout)+healthPatience)
	defer cancel()
	base := "http://"
	transport := &http.Transport{DisableKeepAlives: true}
	if s.TLSCertFile != "" {
		base = "https://"
		// The certificate is for the name that clients use; this goes to the loopback address.
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	base += ownAddress(s.Listen)
	body, err := api.NewClient(base, "", transport).Health(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(io.Out, body.Status)
	if body.Status == api.StatusUnavailable || body.Status == api.StatusDraining {
		return fmt.Errorf("%s is %s", base, body.Status)
	}
	return nil
}

// ownAddress is where an instance that listens at addr can be reached from its own host.
func ownAddress(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr // load has checked it
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "", err == nil && ip.IsUnspecified() && ip.Is4():
		host = "127.0.0.1"
	case err == nil && ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}
