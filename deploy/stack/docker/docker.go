// Package docker acts on the containers of a Compose project through the Docker Engine API, where DOCKER_HOST says. It
// needs no docker command.
package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"captop/deploy/stack"
)

// ErrNoProject: the engine has no containers of this Compose project.
var ErrNoProject = errors.New("the engine has no containers of this Compose project")

// The labels that Compose, version 1 and 2, puts on what it makes.
const (
	labelProject = "com.docker.compose.project"
	labelService = "com.docker.compose.service"
	labelOneOff  = "com.docker.compose.oneoff" // of docker-compose run: True
)

// Project is the containers of one Compose project. Its methods are safe for concurrent use.
type Project struct {
	client *client.Client
	name   string
	host   string // of the engine, where it is not this one's

	mu       sync.Mutex
	networks map[string][]string // by instance, as Parts saw them last: what Cut takes it off
	cuts     map[string][]cutEnd // by instance: what Heal brings back
}

var _ stack.Stack = (*Project)(nil)

// connect makes a client; no engine has been asked yet.
func connect() (*client.Client, string, error) {
	host := os.Getenv("DOCKER_HOST")
	if strings.HasPrefix(host, "ssh://") {
		return nil, "", fmt.Errorf("DOCKER_HOST=%s: captop speaks no SSH; forward the socket and name that: "+
			"ssh -fNL /tmp/docker.sock:/var/run/docker.sock %s, DOCKER_HOST=unix:///tmp/docker.sock", host, strings.TrimPrefix(host, "ssh://"))
	}
	c, err := client.New(client.FromEnv)
	if err != nil {
		return nil, "", fmt.Errorf("preparing for the Docker engine: %w", err)
	}
	return c, host, nil
}

// Open finds a project by its name. ErrNoProject if the engine has no containers of it, running or not.
func Open(ctx context.Context, name string) (*Project, error) {
	c, host, err := connect()
	if err != nil {
		return nil, err
	}
	p := &Project{client: c, name: name, host: host}
	parts, err := p.Parts(ctx)
	if err == nil && len(parts) == 0 {
		err = fmt.Errorf("%q: %w", name, ErrNoProject)
	}
	if err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

// Discover gives the names of the projects that publish one of these ports on this engine, sorted. No engine is no
// project: an error says only that there is one that cannot be asked.
func Discover(ctx context.Context, ports []int) ([]string, error) {
	c, host, err := connect()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	listed, err := c.ContainerList(ctx, client.ContainerListOptions{Filters: make(client.Filters).Add("label", labelProject)})
	if client.IsErrConnectionFailed(err) && host == "" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the containers of the Docker engine: %w", err)
	}
	var found []string
	for _, c := range listed.Items {
		publishes := slices.ContainsFunc(c.Ports, func(p container.PortSummary) bool { return slices.Contains(ports, int(p.PublicPort)) })
		if name := c.Labels[labelProject]; publishes && !slices.Contains(found, name) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found, nil
}

// Close lets go of the connections to the engine.
func (p *Project) Close() error { return p.client.Close() }

// About names the project, and the engine where it is another one than this machine's.
func (p *Project) About() string {
	if p.host != "" {
		return "compose project " + p.name + " at " + p.host
	}
	return "compose project " + p.name
}

// Parts are the containers of the project. A container that the engine starts again and again counts as stopped, with
// the health "restarting".
func (p *Project) Parts(ctx context.Context) ([]stack.Part, error) {
	filters := make(client.Filters).Add("label", labelProject+"="+p.name)
	listed, err := p.client.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		return nil, fmt.Errorf("listing the containers of the Compose project %s: %w", p.name, err)
	}
	cuts, err := p.listCuts(ctx)
	if err != nil {
		return nil, err
	}
	var seen []container.InspectResponse
	for _, c := range listed.Items {
		if strings.EqualFold(c.Labels[labelOneOff], "true") || c.Labels[labelService] == "" {
			continue
		}
		inspected, err := p.client.ContainerInspect(ctx, c.ID, client.ContainerInspectOptions{})
		if errdefs.IsNotFound(err) {
			continue // it went while we looked
		}
		if err != nil {
			return nil, fmt.Errorf("looking at the container %.12s: %w", c.ID, err)
		}
		seen = append(seen, inspected.Container)
	}
	networks := shared(seen)
	var parts []stack.Part
	for _, c := range seen {
		part := toPart(c)
		part.Cut = isCut(c, cuts[part.Instance])
		parts = append(parts, part)
	}
	slices.SortFunc(parts, func(a, b stack.Part) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Instance, b.Instance))
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.networks, p.cuts = networks, cuts
	return parts, nil
}

func toPart(c container.InspectResponse) stack.Part {
	part := stack.Part{Service: c.Config.Labels[labelService], Instance: strings.TrimPrefix(c.Name, "/")}
	since := c.State.StartedAt
	switch c.State.Status {
	case container.StateRunning:
		part.State = stack.Running
	case container.StatePaused:
		part.State = stack.Paused
	case container.StateRestarting:
		part.State, part.Health, since = stack.Stopped, "restarting", c.State.FinishedAt
	case container.StateCreated, container.StateExited, container.StateDead:
		part.State, since = stack.Stopped, c.State.FinishedAt
	}
	if at, err := time.Parse(time.RFC3339Nano, since); err == nil && at.Year() > 1 {
		part.Since = at
	}
	if health := c.State.Health; health != nil && part.State != stack.Stopped && health.Status != container.NoHealthcheck {
		part.Health = string(health.Status)
	}
	return part
}

// The services whose links are what captop is about: a node's peers are the services, and the other way round.
func peers(service string) func(string) bool {
	isNode := func(s string) bool { return strings.HasPrefix(s, "db_") }
	isService := func(s string) bool { return strings.HasPrefix(s, "app_") }
	switch {
	case isNode(service):
		return isService
	case isService(service):
		return isNode
	}
	return func(string) bool { return true }
}

// shared gives for each container the networks that it shares with its peers: cutting those is cutting its links to them,
// and leaves it those over which it is watched and asked.
func shared(all []container.InspectResponse) map[string][]string {
	found := map[string][]string{}
	for _, c := range all {
		isPeer := peers(c.Config.Labels[labelService])
		var names []string
		for name := range c.NetworkSettings.Networks {
			if slices.ContainsFunc(all, func(other container.InspectResponse) bool {
				return other.ID != c.ID && isPeer(other.Config.Labels[labelService]) && other.NetworkSettings.Networks[name] != nil
			}) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		found[strings.TrimPrefix(c.Name, "/")] = names
	}
	return found
}

// inspect looks at the container of a part. ErrNoPart if there is none in this project.
func (p *Project) inspect(ctx context.Context, part stack.Part) (container.InspectResponse, error) {
	inspected, err := p.client.ContainerInspect(ctx, part.Instance, client.ContainerInspectOptions{})
	if errdefs.IsNotFound(err) || err == nil && inspected.Container.Config.Labels[labelProject] != p.name {
		return container.InspectResponse{}, fmt.Errorf("%s: %w", part.Instance, stack.ErrNoPart)
	}
	if err != nil {
		return container.InspectResponse{}, fmt.Errorf("looking at the container %s: %w", part.Instance, err)
	}
	return inspected.Container, nil
}

// settings is how a container is on a network, as far as it can be asked for again.
func settings(c container.InspectResponse, of *network.EndpointSettings) *network.EndpointSettings {
	wanted := &network.EndpointSettings{IPAMConfig: of.IPAMConfig.Copy(), Links: of.Links, DriverOpts: of.DriverOpts, GwPriority: of.GwPriority}
	for _, alias := range of.Aliases {
		if !strings.HasPrefix(c.ID, alias) { // the engine adds that one itself
			wanted.Aliases = append(wanted.Aliases, alias)
		}
	}
	return wanted
}
