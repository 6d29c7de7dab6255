package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"captop/deploy/stack"
)

// What was cut is kept in the engine itself, as labels of an empty volume for each network: they outlive captop, and whoever
// else acts on this engine finds them. A volume is made before the cut and goes after the healing.
const (
	labelCut      = "captop.cut"          // of the volume: the project
	labelOf       = "captop.cut.of"       // the container's name
	labelNetwork  = "captop.cut.network"  // the network's name
	labelAddress  = "captop.cut.address"  // the container's address there
	labelSettings = "captop.cut.settings" // how it was connected, as JSON
)

// errNothingKept: a container is on no network, and the engine has no word of how it was.
var errNothingKept = errors.New("nobody has kept on which networks it was; connect it by hand")

// cutEnd is one end of what was cut: how a container was on a network.
type cutEnd struct {
	network  string
	address  netip.Addr // not valid where it is not known
	settings *network.EndpointSettings
}

func (p *Project) listCuts(ctx context.Context) (map[string][]cutEnd, error) {
	volumes, err := p.client.VolumeList(ctx, client.VolumeListOptions{Filters: make(client.Filters).Add("label", labelCut+"="+p.name)})
	if err != nil {
		return nil, fmt.Errorf("asking the engine what is cut: %w", err)
	}
	cuts := map[string][]cutEnd{}
	for _, v := range volumes.Items {
		end := cutEnd{network: v.Labels[labelNetwork]}
		if err := json.Unmarshal([]byte(v.Labels[labelSettings]), &end.settings); err != nil || end.settings == nil {
			return nil, fmt.Errorf("the volume %s says nothing usable of a cut: %w", v.Name, err)
		}
		end.address, _ = netip.ParseAddr(v.Labels[labelAddress]) // none is not valid
		of := v.Labels[labelOf]
		cuts[of] = append(cuts[of], end)
	}
	return cuts, nil
}

// isCut says whether a container is off one of the networks that it was cut from, or off every network.
func isCut(c container.InspectResponse, ends []cutEnd) bool {
	missing := slices.ContainsFunc(ends, func(end cutEnd) bool { return c.NetworkSettings.Networks[end.network] == nil })
	return missing || len(c.NetworkSettings.Networks) == 0
}

func cutVolume(name, network string) string { return "captop-cut-" + name + "-" + network }

// cut takes a container off the networks that it shares with its peers.
func (p *Project) cut(ctx context.Context, part stack.Part) error {
	if _, err := p.Parts(ctx); err != nil { // which networks these are now
		return err
	}
	c, err := p.inspect(ctx, part)
	if err != nil {
		return err
	}
	p.mu.Lock()
	names := p.networks[part.Instance]
	p.mu.Unlock()
	if len(names) == 0 {
		return fmt.Errorf("it shares no network with its peers: there is nothing to cut")
	}
	for _, name := range names {
		if err := p.disconnect(ctx, c, part.Instance, name); err != nil {
			return fmt.Errorf("disconnecting it from %s: %w", name, err)
		}
	}
	return nil
}

// disconnect keeps how the container is on a network, and takes it off.
func (p *Project) disconnect(ctx context.Context, c container.InspectResponse, name, from string) error {
	on := c.NetworkSettings.Networks[from]
	kept, err := json.Marshal(settings(c, on))
	if err != nil {
		return err
	}
	// A note of an earlier cut says nothing any more, and the engine would keep its labels.
	if err := p.forget(ctx, name, from); err != nil {
		return err
	}
	labels := map[string]string{labelCut: p.name, labelOf: name, labelNetwork: from, labelAddress: on.IPAddress.String(), labelSettings: string(kept)}
	if _, err := p.client.VolumeCreate(ctx, client.VolumeCreateOptions{Name: cutVolume(name, from), Labels: labels}); err != nil {
		return fmt.Errorf("keeping in the engine how it was: %w", err)
	}
	_, err = p.client.NetworkDisconnect(ctx, from, client.NetworkDisconnectOptions{Container: c.ID})
	return err
}

// forget removes the note of a cut. None is no error.
func (p *Project) forget(ctx context.Context, name, from string) error {
	_, err := p.client.VolumeRemove(ctx, cutVolume(name, from), client.VolumeRemoveOptions{})
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("forgetting the cut: %w", err)
	}
	return nil
}

// heal connects a container again where it was cut off, with its names, and with its address where the engine lets one
// choose: on networks with a subnet from the compose file.
func (p *Project) heal(ctx context.Context, part stack.Part) error {
	cuts, err := p.listCuts(ctx)
	if err != nil {
		return err
	}
	c, err := p.inspect(ctx, part)
	if err != nil {
		return err
	}
	ends := cuts[part.Instance]
	if len(ends) == 0 && len(c.NetworkSettings.Networks) == 0 {
		return fmt.Errorf("%w: docker network connect --alias %s NETWORK %s", errNothingKept, part.Service, part.Instance)
	}
	for _, end := range ends {
		if c.NetworkSettings.Networks[end.network] == nil {
			if err := p.reconnect(ctx, c, end); err != nil {
				return fmt.Errorf("connecting it to %s: %w", end.network, err)
			}
		}
		if err := p.forget(ctx, part.Instance, end.network); err != nil {
			return err
		}
	}
	return nil
}

func (p *Project) reconnect(ctx context.Context, c container.InspectResponse, end cutEnd) error {
	connect := func(with *network.EndpointSettings) error {
		_, err := p.client.NetworkConnect(ctx, end.network, client.NetworkConnectOptions{Container: c.ID, EndpointConfig: with})
		return err
	}
	if end.settings.IPAMConfig != nil || !end.address.IsValid() {
		return connect(end.settings)
	}
	same := end.settings.Copy()
	same.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: end.address}
	if connect(same) == nil {
		return nil
	}
	return connect(end.settings) // the address was the engine's choice, and is again
}

// disconnectCommands are what a person would type.
func (p *Project) disconnectCommands(part stack.Part) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var commands []string
	for _, name := range p.networks[part.Instance] {
		commands = append(commands, "docker network disconnect "+name+" "+part.Instance)
	}
	return commands
}

func (p *Project) connectCommands(part stack.Part) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var commands []string
	for _, end := range p.cuts[part.Instance] {
		words := []string{"docker network connect"}
		for _, alias := range end.settings.Aliases {
			words = append(words, "--alias "+alias)
		}
		if of := end.settings.IPAMConfig; of != nil && of.IPv4Address.IsValid() {
			words = append(words, "--ip "+of.IPv4Address.String())
		}
		commands = append(commands, strings.Join(append(words, end.network, part.Instance), " "))
	}
	return commands
}
