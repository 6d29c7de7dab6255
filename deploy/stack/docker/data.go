package docker

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"captop/deploy/stack"
)

// folder is the data folder of a node's container: its one writable volume, or /data where it has several.
type folder struct {
	project *Project
	part    stack.Part
}

// Data is the folder of a node, in the volume of its container.
func (p *Project) Data(part stack.Part) (stack.Data, error) {
	if !strings.HasPrefix(part.Service, "db_") {
		return nil, fmt.Errorf("%s is no node: %w", part.Service, stack.ErrUnsupported)
	}
	return folder{p, part}, nil
}

// mounted finds the volume.
func mounted(c container.InspectResponse) (container.MountPoint, error) {
	writable := slices.Clone(c.Mounts)
	writable = slices.DeleteFunc(writable, func(m container.MountPoint) bool {
		return !m.RW || m.Type != mount.TypeVolume && m.Type != mount.TypeBind
	})
	if len(writable) == 1 {
		return writable[0], nil
	}
	if at := slices.IndexFunc(writable, func(m container.MountPoint) bool { return m.Destination == "/data" }); at >= 0 {
		return writable[at], nil
	}
	return container.MountPoint{}, fmt.Errorf("%s has %d volumes, and none at /data: which one holds its data?", strings.TrimPrefix(c.Name, "/"), len(writable))
}

// Save streams the folder as the engine's archive API gives it.
func (f folder) Save(ctx context.Context, to io.Writer) error {
	c, err := f.project.inspect(ctx, f.part)
	if err != nil {
		return err
	}
	m, err := mounted(c)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(to)
	err = f.walk(ctx, c.ID, m, func(header *tar.Header, content io.Reader) error {
		if header.Name == "." {
			return nil
		}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		_, err := io.Copy(archive, content)
		return err
	})
	if err == nil {
		err = archive.Close()
	}
	if err != nil {
		return fmt.Errorf("saving the data of %s: %w", f.part.Service, err)
	}
	return nil
}

// walk gives every entry of the folder, with names relative to it; the folder itself is ".".
func (f folder) walk(ctx context.Context, id string, m container.MountPoint, each func(*tar.Header, io.Reader) error) error {
	copied, err := f.project.client.CopyFromContainer(ctx, id, client.CopyFromContainerOptions{SourcePath: m.Destination})
	if err != nil {
		return err
	}
	defer copied.Content.Close()
	prefix := path.Base(m.Destination)
	for archive := tar.NewReader(copied.Content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		header.Name = path.Clean(strings.TrimPrefix(strings.TrimPrefix(path.Clean(header.Name), prefix), "/"))
		if err := each(header, archive); err != nil {
			return err
		}
	}
}

// Replace reads the whole stream before it touches anything: one that breaks off leaves the folder as it was. Then it
// empties the folder and fills it; ErrEmptied if the last of that fails.
func (f folder) Replace(ctx context.Context, from io.Reader) error {
	c, err := f.project.inspect(ctx, f.part)
	if err != nil {
		return err
	}
	if c.State.Running || c.State.Paused {
		return fmt.Errorf("%s runs: stop it before its data is replaced", f.part.Instance)
	}
	m, err := mounted(c)
	if err != nil {
		return err
	}
	owner := &tar.Header{}
	if err := f.walk(ctx, c.ID, m, func(header *tar.Header, _ io.Reader) error {
		if header.Name == "." {
			*owner = *header
		}
		return nil
	}); err != nil {
		return fmt.Errorf("looking at the data folder of %s: %w", f.part.Service, err)
	}
	spool, err := spooled(from, owner)
	if err != nil {
		return fmt.Errorf("reading the new data of %s: %w", f.part.Service, err)
	}
	defer spool.Close()
	if err := f.empty(ctx, c, m); err != nil {
		return fmt.Errorf("emptying the data folder of %s: %w", f.part.Service, err)
	}
	if _, err := f.project.client.CopyToContainer(ctx, c.ID, client.CopyToContainerOptions{DestinationPath: m.Destination, Content: spool, CopyUIDGID: false}); err != nil {
		// What came of it is no data to start on.
		again, cancel := context.WithTimeout(context.WithoutCancel(ctx), emptyTimeout)
		defer cancel()
		return fmt.Errorf("filling the data folder of %s: %w: %w", f.part.Service, stack.ErrEmptied, errors.Join(err, f.empty(again, c, m)))
	}
	return nil
}

// spooled copies a tar stream to a file that is gone when it is closed, with the owner of the folder on all of it.
func spooled(from io.Reader, owner *tar.Header) (_ *os.File, err error) {
	file, err := os.CreateTemp("", "captop-data-*")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(file.Name())
	defer func() {
		if err != nil {
			_ = file.Close()
		}
	}()
	out := tar.NewWriter(file)
	if err := stack.EachFile(from, func(header *tar.Header, content io.Reader) error {
		header.Name = path.Clean(header.Name)
		if header.Name == "." {
			return nil
		}
		if path.IsAbs(header.Name) || strings.HasPrefix(header.Name, "..") {
			return fmt.Errorf("%q leads out of the folder", header.Name)
		}
		header.Uid, header.Gid, header.Uname, header.Gname = owner.Uid, owner.Gid, "", ""
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		_, err := io.Copy(out, content)
		return err
	}); err != nil {
		return nil, err
	}
	if err := out.Close(); err != nil {
		return nil, err
	}
	_, err = file.Seek(0, io.SeekStart)
	return file, err
}
