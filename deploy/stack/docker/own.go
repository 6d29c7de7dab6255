package docker

import (
	"context"
	"os"

	"github.com/moby/moby/client"
)

// Own is the project of the container that this process runs in, "" if it runs in none of this engine's.
func Own(ctx context.Context) string {
	c, _, err := connect()
	if err != nil {
		return ""
	}
	defer c.Close()
	host, err := os.Hostname() // the container's ID, unless somebody has given it another one
	if err != nil {
		return ""
	}
	inspected, err := c.ContainerInspect(ctx, host, client.ContainerInspectOptions{})
	if err != nil || inspected.Container.Config == nil {
		return ""
	}
	return inspected.Container.Config.Labels[labelProject]
}
