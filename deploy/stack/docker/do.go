package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"captop/deploy/stack"
)

// Command is what a person would type for Do, with the networks as Parts saw them last.
func (p *Project) Command(part stack.Part, verb stack.Verb) (string, error) {
	prefix := ""
	if p.host != "" {
		prefix = "DOCKER_HOST=" + p.host + " "
	}
	switch verb {
	case stack.Start, stack.Stop, stack.Restart, stack.Pause, stack.Unpause:
		return prefix + "docker " + string(verb) + " " + part.Instance, nil
	case stack.Cut:
		if commands := p.disconnectCommands(part); len(commands) > 0 {
			return prefix + strings.Join(commands, " && "+prefix), nil
		}
		return "", fmt.Errorf("%s shares no network with its peers: %w", part.Instance, stack.ErrUnsupported)
	case stack.Heal:
		if commands := p.connectCommands(part); len(commands) > 0 {
			return prefix + strings.Join(commands, " && "+prefix), nil
		}
		return prefix + "docker network connect NETWORK " + part.Instance, nil
	}
	return "", fmt.Errorf("%s: %w", verb, stack.ErrUnsupported)
}

// Do has the engine do it. Restart is one order to the engine, which ends it also when this process is gone.
func (p *Project) Do(ctx context.Context, part stack.Part, verb stack.Verb) error {
	c, err := p.inspect(ctx, part)
	if err != nil {
		return err
	}
	switch verb {
	case stack.Start:
		_, err = p.client.ContainerStart(ctx, c.ID, client.ContainerStartOptions{})
	case stack.Stop:
		_, err = p.client.ContainerStop(ctx, c.ID, client.ContainerStopOptions{})
	case stack.Restart:
		_, err = p.client.ContainerRestart(ctx, c.ID, client.ContainerRestartOptions{})
	case stack.Pause:
		_, err = p.client.ContainerPause(ctx, c.ID, client.ContainerPauseOptions{})
	case stack.Unpause:
		_, err = p.client.ContainerUnpause(ctx, c.ID, client.ContainerUnpauseOptions{})
	case stack.Cut:
		err = p.cut(ctx, part)
	case stack.Heal:
		err = p.heal(ctx, part)
	default:
		return fmt.Errorf("%s: %w", verb, stack.ErrUnsupported)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", verb, part.Instance, err)
	}
	return nil
}

// Logs writes what the container wrote to its standard output and error.
func (p *Project) Logs(ctx context.Context, part stack.Part, since time.Time, to io.Writer) error {
	c, err := p.inspect(ctx, part)
	if err != nil {
		return err
	}
	options := client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true}
	if !since.IsZero() {
		options.Since = since.Format(time.RFC3339Nano)
	}
	logs, err := p.client.ContainerLogs(ctx, c.ID, options)
	if err != nil {
		return fmt.Errorf("reading the log of %s: %w", part.Instance, err)
	}
	defer logs.Close()
	if c.Config.Tty {
		_, err = io.Copy(to, logs)
	} else {
		_, err = stdcopy.StdCopy(to, to, logs)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the log of %s: %w", part.Instance, err)
	}
	return nil
}
