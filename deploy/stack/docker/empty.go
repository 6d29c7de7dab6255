package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"captop/deploy/stack"
)

// emptyTimeout bounds how long clearing away after a failure may take.
const emptyTimeout = time.Minute

// labelHelper marks the container through which a folder is emptied: of a project and service.
const labelHelper = "captop.helper"

// helperFolder is where the helper has the volume.
const helperFolder = "/captop-data"

// empty removes all that a volume holds. The archive API has no way to remove files, and the image may have no shell, so
// this mounts the volume in a container that is never started and asks the engine to put a file in the volume's place:
// the engine removes what is in the way, that is the content, and stops at the mount itself. What counts is that the
// folder is empty afterwards; that is looked at.
func (f folder) empty(ctx context.Context, of container.InspectResponse, m container.MountPoint) error {
	id, err := f.helper(ctx, of, m)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), emptyTimeout)
		defer cancel()
		_, _ = f.project.client.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true})
	}()
	var file bytes.Buffer
	archive := tar.NewWriter(&file)
	if err := errors.Join(archive.WriteHeader(&tar.Header{Name: helperFolder[1:], Mode: 0o600, Typeflag: tar.TypeReg}), archive.Close()); err != nil {
		return err
	}
	_, refused := f.project.client.CopyToContainer(ctx, id, client.CopyToContainerOptions{DestinationPath: "/", Content: &file, AllowOverwriteDirWithFile: true})
	left := ""
	if err := f.walk(ctx, of.ID, m, func(header *tar.Header, _ io.Reader) error {
		if header.Name != "." {
			left = header.Name
		}
		return nil
	}); err != nil {
		return err
	}
	if left != "" {
		return fmt.Errorf("%s is still there: %w", left, errors.Join(stack.ErrUnsupported, refused))
	}
	return nil
}

// helper makes the container, after removing one that was left by a process that was killed.
func (f folder) helper(ctx context.Context, of container.InspectResponse, m container.MountPoint) (string, error) {
	label := f.project.name + "/" + f.part.Service
	filters := make(client.Filters).Add("label", labelHelper+"="+label)
	left, err := f.project.client.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		return "", err
	}
	for _, c := range left.Items {
		if _, err := f.project.client.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true}); err != nil {
			return "", err
		}
	}
	source := m.Source
	if m.Type == mount.TypeVolume {
		source = m.Name
	}
	created, err := f.project.client.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config:     &container.Config{Image: of.Image, Cmd: []string{"never-started"}, Labels: map[string]string{labelHelper: label}},
		HostConfig: &container.HostConfig{NetworkMode: "none", Mounts: []mount.Mount{{Type: m.Type, Source: source, Target: helperFolder}}}})
	if err != nil {
		return "", fmt.Errorf("making a helper container: %w", err)
	}
	return created.ID, nil
}
