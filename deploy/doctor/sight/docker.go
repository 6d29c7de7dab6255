package sight

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"captop/deploy/doctor"
	"captop/service"
)

// The reasons for which a container or a file in it is not seen: the engine answers, and no project on it is the pair; the
// engine shows the empty file below what Swarm mounts there.
var (
	errNoStack = errors.New("no Compose project here has a service db_g1 or app_cp")
	errEmpty   = errors.New("it is empty, as the engine shows it; what Swarm mounts is seen by root on the container's host only")
)

// The labels of Compose and Swarm.
const (
	labelProject = "com.docker.compose.project"
	labelService = "com.docker.compose.service"
	labelOneOff  = "com.docker.compose.oneoff"
	labelFolder  = "com.docker.compose.project.working_dir"
	labelStack   = "com.docker.stack.namespace"
	labelSwarm   = "com.docker.swarm.service.name"
)

// placeOf gives the project and the service of a container by its labels, "" for neither.
func placeOf(labels map[string]string) (project, name string) {
	switch {
	case labels[labelOneOff] == "True":
		return "", ""
	case labels[labelService] != "":
		return labels[labelProject], labels[labelService]
	}
	stack := labels[labelStack]
	return stack, strings.TrimPrefix(labels[labelSwarm], stack+"_")
}

// containers finds the running containers of the stack.
func (l *Looker) containers(ctx context.Context) (stack, error) {
	if l.engine == nil {
		return stack{}, fmt.Errorf("the Docker engine: %w", l.broken)
	}
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	listed, err := l.engine.ContainerList(ctx, client.ContainerListOptions{})
	if err != nil {
		return stack{}, fmt.Errorf("asking the Docker engine: %w", err)
	}
	var running []map[string]string
	for _, item := range listed.Items {
		running = append(running, item.Labels)
	}
	project, err := l.project(running)
	if err != nil {
		return stack{}, err
	}
	s := stack{project: project, remote: !strings.HasPrefix(l.engine.DaemonHost(), "unix://")}
	for _, item := range listed.Items {
		if of, name := placeOf(item.Labels); of == project && name != "" {
			s.swarm = s.swarm || item.Labels[labelSwarm] != ""
			inspected, err := l.engine.ContainerInspect(ctx, item.ID, client.ContainerInspectOptions{})
			if errdefs.IsNotFound(err) {
				continue // it has ended meanwhile
			}
			if err != nil {
				return stack{}, fmt.Errorf("asking the Docker engine for a container: %w", err)
			}
			s.units = append(s.units, unitOf(name, inspected.Container))
		}
	}
	return s, nil
}

// project is the one that was asked for, or the only one that has the pair, by the labels of what runs.
func (l *Looker) project(running []map[string]string) (string, error) {
	var found []string
	for _, labels := range running {
		project, name := placeOf(labels)
		part := name == service.G1 || name == "app_cp"
		if part && !slices.Contains(found, project) {
			found = append(found, project)
		}
	}
	slices.Sort(found)
	switch {
	case l.config.Project != "":
		if !slices.Contains(found, l.config.Project) {
			return "", fmt.Errorf("the project %q: %w", l.config.Project, errNoStack)
		}
		return l.config.Project, nil
	case len(found) == 0:
		return "", errNoStack
	case len(found) > 1:
		return "", fmt.Errorf("%s all have the pair: choose one with --project", strings.Join(found, ", "))
	}
	return found[0], nil
}

// unitOf reads what the engine says of a container.
func unitOf(name string, c container.InspectResponse) doctor.Unit {
	u := doctor.Unit{Service: name, Name: strings.TrimPrefix(c.Name, "/"), ID: c.ID, Container: true}
	if c.State != nil {
		u.PID = c.State.Pid
		u.Local = isHere(u.PID, c.ID)
		u.Health = doctor.Know("")
		if c.State.Health != nil {
			u.Health = doctor.Know(string(c.State.Health.Status))
		}
	}
	if c.Config != nil {
		u.User = doctor.Know(c.Config.User)
		u.Env = doctor.Know(environment(c.Config.Env))
		u.Command = doctor.Know(append([]string{c.Path}, c.Args...))
		u.Folder = c.Config.Labels[labelFolder]
	}
	u.Mounts = doctor.Know(mountsOf(c))
	if c.HostConfig != nil {
		readHostConfig(&u, *c.HostConfig)
	}
	u.Ports = portsOf(c)
	if c.NetworkSettings != nil {
		for _, network := range c.NetworkSettings.Networks {
			if network != nil && network.IPAddress.IsValid() && u.Local {
				u.Address = network.IPAddress.String()
			}
		}
	}
	return u
}

// isHere says whether a container's process is one of this host's: else what /proc says is of another.
func isHere(pid int, id string) bool {
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && pid > 0 && strings.Contains(string(groups), id)
}

func environment(lines []string) map[string]string {
	env := map[string]string{}
	for _, line := range lines {
		if name, value, ok := strings.Cut(line, "="); ok {
			env[name] = value
		}
	}
	return env
}

func readHostConfig(u *doctor.Unit, h container.HostConfig) {
	u.ReadOnlyRoot = doctor.Know(h.ReadonlyRootfs)
	u.Capabilities = doctor.Know(capabilities(h))
	u.NoNewPrivileges = doctor.Know(slices.ContainsFunc(h.SecurityOpt, func(option string) bool {
		return option == "no-new-privileges" || option == "no-new-privileges:true" || option == "no-new-privileges=true"
	}))
	u.Memory = doctor.Know(h.Memory)
	u.CPUs = doctor.Know(float64(h.NanoCPUs) / 1e9)
	if h.NanoCPUs == 0 && h.CPUQuota > 0 && h.CPUPeriod > 0 {
		u.CPUs = doctor.Know(float64(h.CPUQuota) / float64(h.CPUPeriod))
	}
	u.PIDs = doctor.Know(int64(0))
	if h.PidsLimit != nil {
		u.PIDs = doctor.Know(max(*h.PidsLimit, 0))
	}
	u.Log = doctor.Know(doctor.Log{Driver: h.LogConfig.Type, MaxSize: h.LogConfig.Config["max-size"], MaxFiles: h.LogConfig.Config["max-file"]})
}

// capabilities are those that a container may use.
func capabilities(h container.HostConfig) []string {
	if h.Privileged {
		return []string{"everything: it is privileged"}
	}
	all := func(name string) bool { return strings.EqualFold(name, "ALL") }
	has := slices.Clone(h.CapAdd)
	if !slices.ContainsFunc(h.CapDrop, all) {
		has = append(has, "Docker's default ones")
	}
	return has
}

func mountsOf(c container.InspectResponse) []doctor.Mount {
	var mounts []doctor.Mount
	for _, m := range c.Mounts {
		mounts = append(mounts, doctor.Mount{Kind: string(m.Type), Name: m.Name, Source: m.Source, Destination: m.Destination})
	}
	if c.HostConfig != nil {
		for destination := range c.HostConfig.Tmpfs {
			mounts = append(mounts, doctor.Mount{Kind: "tmpfs", Destination: destination})
		}
	}
	return mounts
}

func portsOf(c container.InspectResponse) doctor.Known[[]doctor.Port] {
	switch {
	case c.NetworkSettings == nil || c.HostConfig == nil:
		return doctor.Unknown[[]doctor.Port]("the engine does not tell")
	case c.HostConfig.NetworkMode.IsHost():
		return doctor.Unknown[[]doctor.Port]("it is on the host's own network")
	}
	ports := []doctor.Port{}
	for _, bindings := range c.NetworkSettings.Ports {
		for _, b := range bindings {
			ports = append(ports, doctor.Port{Host: b.HostIP, Port: b.HostPort})
		}
	}
	slices.SortFunc(ports, func(a, b doctor.Port) int { return strings.Compare(a.Port, b.Port) })
	return doctor.Know(ports)
}

// The bounds of a file that is read: bytes, and links that are followed.
const (
	maxFile  = 1 << 20
	maxLinks = 5
)

// fileIn reads a file of a container, as the engine gives it: no command runs in the container. What is mounted without
// the engine telling, as Swarm mounts secrets and configs, it does not give.
func (l *Looker) fileIn(ctx context.Context, id, name string) (doctor.File, error) {
	for range maxLinks {
		copied, err := l.engine.CopyFromContainer(ctx, id, client.CopyFromContainerOptions{SourcePath: name})
		if errdefs.IsNotFound(err) {
			return doctor.File{}, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		if err != nil {
			return doctor.File{}, fmt.Errorf("reading %s: %w", name, err)
		}
		file, link, err := first(copied.Content)
		if err != nil || link == "" {
			return file, err
		}
		if !path.IsAbs(link) {
			link = path.Join(path.Dir(name), link)
		}
		name = link
	}
	return doctor.File{}, fmt.Errorf("reading %s: too many links", name)
}

// first gives the first file of a tar stream, or where it links to. It closes the stream.
func first(stream io.ReadCloser) (file doctor.File, link string, err error) {
	defer stream.Close()
	reader := tar.NewReader(stream)
	header, err := reader.Next()
	if err != nil {
		return file, "", fmt.Errorf("reading a file of a container: %w", err)
	}
	if header.Typeflag == tar.TypeSymlink {
		return file, header.Linkname, nil
	}
	file = doctor.File{Mode: header.FileInfo().Mode(), UID: header.Uid}
	if file.Mode.IsRegular() {
		if file.Content, err = io.ReadAll(io.LimitReader(reader, maxFile)); err == nil && len(file.Content) == 0 {
			err = errEmpty
		}
	}
	return file, "", err
}
