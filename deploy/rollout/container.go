package rollout

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

// What is behind the name of a container until it takes the place of the one that it replaces, and of one that is told to end.
const (
	nextSuffix = "_next"
	oldSuffix  = "_old"
)

// create makes a container like old of another image, and does not start it.
func (r *Rollout) create(ctx context.Context, old container.InspectResponse, image string) (container.InspectResponse, error) {
	none := container.InspectResponse{}
	config, err := r.config(ctx, old, image)
	if err != nil {
		return none, err
	}
	networks := map[string]*network.EndpointSettings{}
	for name, endpoint := range old.NetworkSettings.Networks {
		networks[name] = &network.EndpointSettings{DriverOpts: endpoint.DriverOpts,
			Aliases: slices.DeleteFunc(slices.Clone(endpoint.Aliases), func(alias string) bool { return strings.HasPrefix(old.ID, alias) })}
	}
	// Engines before 25 take one network here, and the others afterwards.
	names := slices.Sorted(maps.Keys(networks))
	options := client.ContainerCreateOptions{Name: name(old) + nextSuffix, Config: config, HostConfig: old.HostConfig}
	if len(names) > 0 {
		options.HostConfig.NetworkMode = container.NetworkMode(names[0])
		options.NetworkingConfig = &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{names[0]: networks[names[0]]}}
	}
	created, err := r.Client.ContainerCreate(ctx, options)
	if err != nil {
		return none, fmt.Errorf("creating a container of %s: %w", image, err)
	}
	for _, name := range names[min(1, len(names)):] {
		if _, err := r.Client.NetworkConnect(ctx, name, client.NetworkConnectOptions{Container: created.ID, EndpointConfig: networks[name]}); err != nil {
			_, removing := r.Client.ContainerRemove(context.WithoutCancel(ctx), created.ID, client.ContainerRemoveOptions{Force: true})
			return none, fmt.Errorf("connecting it to %s: %w (removed: %v)", name, err, removing == nil)
		}
	}
	inspected, err := r.Client.ContainerInspect(ctx, created.ID, client.ContainerInspectOptions{})
	return inspected.Container, err
}

// config is old's, but for what old has from its image: that is the new image's to say.
func (r *Rollout) config(ctx context.Context, old container.InspectResponse, image string) (*container.Config, error) {
	from, err := r.Client.ImageInspect(ctx, old.Image)
	if err != nil {
		return nil, fmt.Errorf("looking at the image of %s: %w", name(old), err)
	}
	config := *old.Config
	config.Image = image
	if strings.HasPrefix(old.ID, config.Hostname) {
		config.Hostname = ""
	}
	config.Labels = maps.Clone(config.Labels)
	if base := from.Config; base != nil {
		config.Env = slices.DeleteFunc(slices.Clone(config.Env), func(pair string) bool { return slices.Contains(base.Env, pair) })
		maps.DeleteFunc(config.Labels, func(key, value string) bool { own, ok := base.Labels[key]; return ok && own == value })
		forget(&config.User, base.User)
		forget(&config.WorkingDir, base.WorkingDir)
		forget(&config.StopSignal, base.StopSignal)
		if slices.Equal(config.Entrypoint, base.Entrypoint) {
			config.Entrypoint = nil
		}
		if slices.Equal(config.Cmd, base.Cmd) {
			config.Cmd = nil
		}
		if base.Healthcheck != nil && reflect.DeepEqual(config.Healthcheck, base.Healthcheck) {
			config.Healthcheck = nil
		}
	}
	config.Labels[labelReplaces], config.Labels[labelName] = old.ID, name(old) // nobody has renamed it yet
	return &config, nil
}

func forget(setting *string, ofImage string) {
	if *setting == ofImage {
		*setting = ""
	}
}

// complaint is what the newest health check of a container has said, and the end of its log.
func (r *Rollout) complaint(id string, h *container.Health) string {
	said := "no health check has ended"
	if len(h.Log) > 0 {
		last := h.Log[len(h.Log)-1]
		said = fmt.Sprintf("its health check ended with exit code %d: %s", last.ExitCode, strings.TrimSpace(last.Output))
	}
	return said + "; " + r.lastWords(id)
}

// logTime bounds how long the engine may take to give the end of a log: long, for with the container its reason is gone, and
// who it was to replace serves on meanwhile.
const logTime = time.Minute

// lastWords tells the end of a container's log, or why it cannot be had.
func (r *Rollout) lastWords(id string) string {
	ctx, cancel := context.WithTimeout(context.Background(), logTime)
	defer cancel()
	logs, err := r.Client.ContainerLogs(ctx, id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Tail: "3"})
	if err != nil {
		return "its log cannot be had: " + err.Error()
	}
	defer logs.Close()
	var text bytes.Buffer
	if _, err := stdcopy.StdCopy(&text, &text, logs); err != nil {
		return "its log cannot be had: " + err.Error()
	}
	return "its log: " + strings.TrimSpace(text.String())
}
