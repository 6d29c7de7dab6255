package rollout

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// blindDelay is how long a new instance is given to be found by HAProxy where that cannot be asked: three of its checks,
// and its look-ups of names.
const blindDelay = 8 * time.Second

// edgePort is where HAProxy listens for a service, in its container.
var edgePort = map[string]uint16{"app_cp": 5001, "app_ap": 5002}

// seen waits until HAProxy sends to an instance, which tells its name (its host's, which is the container's ID) in every
// health body.
func (r *Rollout) seen(ctx context.Context, c container.InspectResponse) error {
	service := c.Config.Labels[labelService]
	edge, err := r.edge(ctx, service)
	if err != nil {
		return err
	}
	// The certificate is for the name that clients use.
	asker := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer asker.CloseIdleConnections()
	if edge == "" || !answers(ctx, asker, edge) {
		r.Say(fmt.Sprintf("HAProxy cannot be asked from here; giving it %s to find the new %s", blindDelay, service))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(blindDelay):
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if body, err := health(ctx, asker, edge); err == nil && strings.HasPrefix(body.Instance, c.ID[:12]) {
			return nil
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("HAProxy has not sent to it within %s", patience)
		}
	}
}

type healthBody struct {
	Instance string `json:"instance"`
}

func health(ctx context.Context, asker *http.Client, edge string) (healthBody, error) {
	var body healthBody
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, edge+"/health", nil)
	if err != nil {
		return body, err
	}
	response, err := asker.Do(request)
	if err != nil {
		return body, err
	}
	defer response.Body.Close()
	return body, json.NewDecoder(response.Body).Decode(&body)
}

// answers says whether anybody is at the edge; an edge before instances that are all gone answers, too.
func answers(ctx context.Context, asker *http.Client, edge string) bool {
	_, err := health(ctx, asker, edge)
	var refused *url.Error
	return !errors.As(err, &refused)
}

// edge is where the project's HAProxy is published for a service, "" if it is not, or not on this machine.
func (r *Rollout) edge(ctx context.Context, service string) (string, error) {
	if host := r.Client.DaemonHost(); !strings.HasPrefix(host, "unix://") {
		return "", nil
	}
	listed, err := r.Client.ContainerList(ctx, client.ContainerListOptions{
		Filters: make(client.Filters).Add("label", labelProject+"="+r.Project).Add("label", labelService+"=haproxy")})
	if err != nil {
		return "", fmt.Errorf("looking for HAProxy: %w", err)
	}
	for _, c := range listed.Items {
		at := slices.IndexFunc(c.Ports, func(p container.PortSummary) bool { return p.PrivatePort == edgePort[service] && p.PublicPort != 0 })
		if at < 0 {
			continue
		}
		host := c.Ports[at].IP
		if !host.IsValid() || host.IsUnspecified() {
			host = netip.MustParseAddr("127.0.0.1")
		}
		return "http://" + netip.AddrPortFrom(host, c.Ports[at].PublicPort).String(), nil
	}
	return "", nil
}
