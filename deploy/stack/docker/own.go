package docker

import (
	"context"
	"fmt"
	"os"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// Own is the project of the container that this process runs in, "" if it runs in none of this engine's. No engine is no
// project: an error says only that there is one that cannot be asked.
func Own(ctx context.Context) (string, error) {
	c, engine, err := connect()
	if err != nil {
		return "", err
	}
	defer c.Close()
	host, err := os.Hostname() // the container's ID, unless somebody has given it another one
	if err != nil {
		return "", fmt.Errorf("asking for this host's name: %w", err)
	}
	inspected, err := c.ContainerInspect(ctx, host, client.ContainerInspectOptions{})
	switch {
	case errdefs.IsNotFound(err), client.IsErrConnectionFailed(err) && engine == "":
		return "", nil
	case err != nil:
		return "", fmt.Errorf("asking the Docker engine for the container %s: %w", host, err)
	case inspected.Container.Config == nil:
		return "", nil
	}
	return inspected.Container.Config.Labels[labelProject], nil
}
