package sight

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"captop/deploy/doctor"
)

// errElsewhere: what the kernel of this host says is not about the stack.
var errElsewhere = errors.New("the stack runs on another host: run captop doctor there")

// readFile reads a file as a unit sees it: of a container past the engine, if that may be, for the sake of what Swarm
// mounts.
func (l *Looker) readFile(ctx context.Context, u doctor.Unit, name string) (doctor.File, error) {
	if u.Container {
		if u.Local {
			if file, err := readWithin(fmt.Sprintf("/proc/%d/root", u.PID), name); err == nil {
				return file, nil
			}
		}
		if l.engine == nil {
			return doctor.File{}, l.broken
		}
		return l.fileIn(ctx, u.ID, name)
	}
	if !u.Local {
		return doctor.File{}, errElsewhere
	}
	return readLocal(filepath.Join(fmt.Sprintf("/proc/%d/root", u.PID), name))
}

// hostFile reads a file of the host on which the stack runs.
func (l *Looker) hostFile(ctx context.Context, name string) (doctor.File, error) {
	if err := l.here(ctx); err != nil {
		return doctor.File{}, err
	}
	return readLocal(name)
}

// here says whether the stack is on this host: all of what runs has to be.
func (l *Looker) here(ctx context.Context) error {
	s, err := l.stack(ctx)
	if err != nil {
		return err
	}
	if len(s.units) == 0 {
		return errors.New("nothing of the stack was found on this host")
	}
	for _, u := range s.units {
		if !u.Local {
			return errElsewhere
		}
	}
	return nil
}

// readLocal reads a small file; of a folder only what it is.
func readLocal(name string) (doctor.File, error) { return readWith(os.Stat, os.Open, name) }

// readWithin is readLocal below a folder, which no link leads out of: an absolute one in a container means that
// container's root, and would be followed from the host's.
func readWithin(folder, name string) (doctor.File, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return doctor.File{}, err
	}
	defer root.Close()
	return readWith(root.Stat, root.Open, strings.TrimPrefix(name, "/"))
}

func readWith(stat func(string) (fs.FileInfo, error), open func(string) (*os.File, error), name string) (doctor.File, error) {
	info, err := stat(name)
	if err != nil {
		return doctor.File{}, err
	}
	file := doctor.File{Mode: info.Mode(), UID: ownerOf(info)}
	if info.IsDir() {
		return file, nil
	}
	opened, err := open(name)
	if err != nil {
		return doctor.File{}, err
	}
	defer opened.Close()
	file.Content, err = io.ReadAll(io.LimitReader(opened, maxFile))
	return file, err
}

// room asks for the room on the file system below a path, as the unit sees it.
func (l *Looker) room(_ context.Context, u doctor.Unit, name string) (doctor.Room, error) {
	if !u.Local {
		return doctor.Room{}, errElsewhere
	}
	return roomOf(filepath.Join(fmt.Sprintf("/proc/%d/root", u.PID), name))
}

// sysctl reads a setting of the kernel as a unit's own namespaces have it.
func (l *Looker) sysctl(_ context.Context, u doctor.Unit, name string) (string, error) {
	if !u.Local {
		return "", errElsewhere
	}
	return sysctlOf(u.PID, "/proc/sys/"+strings.ReplaceAll(name, ".", "/"))
}

func (l *Looker) synchronised(ctx context.Context) (bool, error) {
	if err := l.here(ctx); err != nil {
		return false, err
	}
	return clockSynchronised()
}

// listeners are the sockets of this host that other hosts reach.
func (l *Looker) listeners(ctx context.Context) ([]doctor.Listener, error) {
	if err := l.here(ctx); err != nil {
		return nil, err
	}
	all, err := sockets()
	if err != nil {
		return nil, err
	}
	pids := owners()
	found := []doctor.Listener{}
	for _, s := range all {
		if !s.at.Addr().IsLoopback() {
			found = append(found, doctor.Listener{Address: s.at, Process: commandName(pids[s.inode])})
		}
	}
	return found, nil
}
