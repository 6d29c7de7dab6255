package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"captop/deploy/stack"
)

// withoutDocker says that this machine has no engine; run_tests.sh sets it, and says so where everybody sees it.
const withoutDocker = "CAPTOP_NO_DOCKER"

const image = "captop/test-redis:latest"

// engine gives a client of the real engine.
func engine(t *testing.T) *client.Client {
	t.Helper()
	if os.Getenv(withoutDocker) != "" {
		t.Skip("no Docker engine here: run_tests.sh has said so")
	}
	c, _, err := connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var imported sync.Once

// importRedis makes an image of this machine's redis-server and nothing else: no shell, no tools.
func importRedis(t *testing.T, c *client.Client) {
	t.Helper()
	var layer bytes.Buffer
	out := tar.NewWriter(&layer)
	added := map[string]bool{}
	add := func(name string) {
		if added[name] {
			return
		}
		added[name] = true
		data, err := os.ReadFile(name)
		must(t, err)
		must(t, out.WriteHeader(&tar.Header{Name: strings.TrimPrefix(name, "/"), Mode: 0o755, Size: int64(len(data)), Typeflag: tar.TypeReg}))
		_, err = out.Write(data)
		must(t, err)
	}
	for _, program := range []string{"redis-server", "redis-cli"} {
		path, err := exec.LookPath(program)
		must(t, err)
		real, err := filepath.EvalSymlinks(path)
		must(t, err)
		data, err := os.ReadFile(real)
		must(t, err)
		must(t, out.WriteHeader(&tar.Header{Name: "usr/bin/" + program, Mode: 0o755, Size: int64(len(data)), Typeflag: tar.TypeReg}))
		_, err = out.Write(data)
		must(t, err)
		libraries, err := exec.Command("ldd", path).Output()
		must(t, err)
		for _, library := range regexp.MustCompile(`/[^ ]+`).FindAllString(string(libraries), -1) {
			add(library)
		}
	}
	must(t, out.WriteHeader(&tar.Header{Name: "data", Mode: 0o750, Uid: 999, Gid: 999, Typeflag: tar.TypeDir}))
	// An empty folder would not keep its owner in a volume.
	must(t, out.WriteHeader(&tar.Header{Name: "data/.keep", Mode: 0o600, Uid: 999, Gid: 999, Typeflag: tar.TypeReg}))
	must(t, out.Close())
	made, err := c.ImageImport(t.Context(), client.ImageImportSource{Source: &layer, SourceName: "-"}, image, client.ImageImportOptions{})
	must(t, err)
	_, err = io.Copy(io.Discard, made)
	must(t, err)
	must(t, made.Close())
}

// compose makes what docker-compose would make of db_g1, db_g2 and app_cp (a redis-server that plays it): two networks,
// read-only containers with a volume, and the labels of the given version of Compose.
func compose(t *testing.T, version int) (*Project, *client.Client, string) {
	t.Helper()
	c := engine(t)
	imported.Do(func() { importRedis(t, c) })
	ctx := t.Context()
	project := fmt.Sprintf("captoptest%d", time.Now().UnixNano())
	for name, subnet := range map[string]bool{"data": false, "front": true} {
		options := client.NetworkCreateOptions{Labels: map[string]string{labelProject: project}}
		if subnet {
			options.IPAM = &network.IPAM{Config: []network.IPAMConfig{{Subnet: freeSubnet(t, c)}}}
		}
		_, err := c.NetworkCreate(ctx, project+"_"+name, options)
		must(t, err)
	}
	for _, of := range []string{"db_g1", "db_g2", "app_cp", "db_g2-oneoff"} {
		labels := map[string]string{labelProject: project, labelService: strings.TrimSuffix(of, "-oneoff"), labelOneOff: "False"}
		separator := "_"
		if version == 2 {
			separator = "-"
		}
		if strings.HasSuffix(of, "-oneoff") {
			labels[labelOneOff] = "True"
		}
		name := project + separator + of + separator + "1"
		host := &container.HostConfig{ReadonlyRootfs: true, NetworkMode: container.NetworkMode(project + "_data"),
			Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: project + "_" + of, Target: "/data"}}}
		endpoint := &network.EndpointSettings{Aliases: []string{labels[labelService], "also-" + of}}
		created, err := c.ContainerCreate(ctx, client.ContainerCreateOptions{Name: name, HostConfig: host,
			Config: &container.Config{Image: image, User: "999:999", Labels: labels, StopTimeout: new(int),
				Cmd: []string{"redis-server", "--dir", "/data", "--appendonly", "yes", "--protected-mode", "no"}},
			NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{project + "_data": endpoint}}})
		must(t, err)
		if of == "app_cp" {
			_, err = c.NetworkConnect(ctx, project+"_front", client.NetworkConnectOptions{Container: created.ID})
			must(t, err)
		}
		if labels[labelOneOff] == "False" {
			_, err = c.ContainerStart(ctx, created.ID, client.ContainerStartOptions{})
			must(t, err)
		}
	}
	t.Cleanup(func() { remove(t, c, project) })
	p, err := Open(ctx, project)
	must(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p, c, project
}

// remove removes a project and proves that nothing of it is left, nor of what captop made for it.
func remove(t *testing.T, c *client.Client, project string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	all, err := c.ContainerList(ctx, client.ContainerListOptions{All: true})
	must(t, err)
	for _, found := range all.Items {
		if strings.HasPrefix(found.Labels[labelHelper], project) {
			t.Errorf("a helper is left: %s", found.Names)
		}
		if found.Labels[labelProject] == project {
			_, err := c.ContainerRemove(ctx, found.ID, client.ContainerRemoveOptions{Force: true})
			must(t, err)
		}
	}
	volumes, err := c.VolumeList(ctx, client.VolumeListOptions{})
	must(t, err)
	for _, v := range volumes.Items {
		if strings.HasPrefix(v.Name, project) || v.Labels[labelCut] == project {
			_, err := c.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{})
			must(t, err)
		}
	}
	for _, name := range []string{"data", "front"} {
		_, err := c.NetworkRemove(ctx, project+"_"+name, client.NetworkRemoveOptions{})
		must(t, err)
	}
}

func partOf(t *testing.T, p *Project, service string) stack.Part {
	t.Helper()
	parts, err := p.Parts(t.Context())
	must(t, err)
	var found []stack.Part
	for _, part := range parts {
		if part.Service == service {
			found = append(found, part)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d parts are %s: %+v", len(found), service, parts)
	}
	return found[0]
}

func do(t *testing.T, p *Project, service string, verb stack.Verb) {
	t.Helper()
	must(t, p.Do(t.Context(), partOf(t, p, service), verb))
}

// cli asks a node from within a container of the project, as one of its services would.
func cli(c *client.Client, from, host string, words ...string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	made, err := c.ExecCreate(ctx, from, client.ExecCreateOptions{Cmd: append([]string{"redis-cli", "-h", host}, words...), AttachStdout: true, AttachStderr: true, TTY: true})
	if err != nil {
		return err.Error()
	}
	attached, err := c.ExecAttach(ctx, made.ID, client.ExecAttachOptions{TTY: true})
	if err != nil {
		return err.Error()
	}
	defer attached.Close()
	output, _ := io.ReadAll(attached.Reader)
	return strings.TrimSpace(string(output))
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func TestLife(t *testing.T) {
	for version := 1; version <= 2; version++ {
		t.Run(fmt.Sprintf("compose%d", version), func(t *testing.T) {
			p, _, _ := compose(t, version)
			first := partOf(t, p, "db_g2") // and its one-off is none
			if first.State != stack.Running || first.Since.IsZero() || first.Cut || time.Since(first.Since) > time.Hour {
				t.Fatalf("%+v", first)
			}
			var log bytes.Buffer
			starts := 0
			ready := func() { // or the next step may stop it before it has said anything
				starts++
				eventually(t, "the log tells of each start", func() bool {
					log.Reset()
					must(t, p.Logs(t.Context(), first, time.Time{}, &log))
					return strings.Count(log.String(), "Ready to accept connections") == starts
				})
			}
			ready()
			for _, step := range []struct {
				verb stack.Verb
				want stack.State
			}{{stack.Pause, stack.Paused}, {stack.Unpause, stack.Running}, {stack.Stop, stack.Stopped}, {stack.Start, stack.Running}, {stack.Restart, stack.Running}} {
				before := partOf(t, p, "db_g2")
				command, err := p.Command(before, step.verb)
				if want := "docker " + string(step.verb) + " " + before.Instance; err != nil || command != want {
					t.Errorf("%q %v, want %q", command, err, want)
				}
				do(t, p, "db_g2", step.verb)
				after := partOf(t, p, "db_g2")
				if after.State != step.want {
					t.Errorf("after %s it is %s", step.verb, after.State)
				}
				if step.verb == stack.Restart && !after.Since.After(before.Since) {
					t.Errorf("it did not restart: %v, before %v", after.Since, before.Since)
				}
				if step.verb == stack.Start || step.verb == stack.Restart {
					ready()
				}
			}
			if other := partOf(t, p, "db_g1"); other.State != stack.Running {
				t.Errorf("the other node was touched: %+v", other)
			}
			log.Reset()
			must(t, p.Logs(t.Context(), first, time.Now().Add(time.Hour), &log))
			if log.Len() != 0 {
				t.Errorf("a log of the future: %q", log.String())
			}
		})
	}
}

// TestCutAndHeal: what is cut is out of reach for its peers, by whoever looks; healed it has its names again, and its
// address where that was chosen.
func TestCutAndHeal(t *testing.T) {
	p, c, project := compose(t, 1)
	app, g2 := partOf(t, p, "app_cp"), partOf(t, p, "db_g2")
	pong := func(host string) bool { return cli(c, app.Instance, host, "ping") == "PONG" }
	eventually(t, "app_cp reaches db_g2", func() bool { return pong("db_g2") && pong("also-db_g2") })
	command, err := p.Command(g2, stack.Cut)
	if want := "docker network disconnect " + project + "_data " + g2.Instance; err != nil || command != want {
		t.Errorf("%q %v", command, err)
	}
	do(t, p, "db_g2", stack.Cut)
	if pong("db_g2") {
		t.Error("app_cp still reaches db_g2")
	}
	other, err := Open(t.Context(), project) // another captop, which has seen nothing of it
	must(t, err)
	defer other.Close()
	cut := partOf(t, other, "db_g2")
	if !cut.Cut || cut.State != stack.Running {
		t.Fatalf("%+v", cut)
	}
	command, err = other.Command(cut, stack.Heal)
	if want := "docker network connect --alias db_g2 --alias also-db_g2 " + project + "_data " + g2.Instance; err != nil || command != want {
		t.Errorf("%q %v, want %q", command, err, want)
	}
	do(t, other, "db_g2", stack.Restart) // it stays cut
	if part := partOf(t, other, "db_g2"); !part.Cut {
		t.Errorf("a restart healed it: %+v", part)
	}
	must(t, other.Do(t.Context(), cut, stack.Heal))
	if part := partOf(t, p, "db_g2"); part.Cut {
		t.Errorf("%+v", part)
	}
	eventually(t, "app_cp reaches db_g2 by both names", func() bool { return pong("db_g2") && pong("also-db_g2") })
	must(t, p.Do(t.Context(), g2, stack.Heal)) // again: nothing to do
}

// TestCutsOnlyTheLinkToPeers: a service that is cut off from the nodes stays on the network by which it is asked.
func TestCutsOnlyTheLinkToPeers(t *testing.T) {
	p, c, project := compose(t, 2)
	before, err := p.inspect(t.Context(), partOf(t, p, "app_cp"))
	must(t, err)
	do(t, p, "app_cp", stack.Cut)
	now, err := p.inspect(t.Context(), partOf(t, p, "app_cp"))
	must(t, err)
	if n := now.NetworkSettings.Networks; len(n) != 1 || n[project+"_front"] == nil {
		t.Errorf("it is on %v", n)
	}
	do(t, p, "app_cp", stack.Heal)
	// The network front has a subnet of its own: an address there can be asked for.
	ctx := t.Context()
	must(t, p.disconnect(ctx, before, strings.TrimPrefix(before.Name, "/"), project+"_front"))
	do(t, p, "app_cp", stack.Heal)
	healed, err := p.inspect(ctx, partOf(t, p, "app_cp"))
	must(t, err)
	front := project + "_front"
	if is, was := healed.NetworkSettings.Networks[front].IPAddress, before.NetworkSettings.Networks[front].IPAddress; is != was {
		t.Errorf("its address is %v, was %v", is, was)
	}
	volumes, err := c.VolumeList(ctx, client.VolumeListOptions{Filters: make(client.Filters).Add("label", labelCut+"="+project)})
	if err != nil || len(volumes.Items) != 0 {
		t.Errorf("notes are left: %v %v", volumes.Items, err)
	}
}

// freeSubnet finds one that no network of the engine has.
func freeSubnet(t *testing.T, c *client.Client) (free netip.Prefix) {
	t.Helper()
	for i := range 200 {
		free = netip.MustParsePrefix(fmt.Sprintf("10.213.%d.0/24", i))
		made, err := c.NetworkCreate(t.Context(), fmt.Sprintf("captop-try-%d", time.Now().UnixNano()),
			client.NetworkCreateOptions{IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: free}}}})
		if err != nil {
			continue
		}
		_, err = c.NetworkRemove(t.Context(), made.ID, client.NetworkRemoveOptions{})
		must(t, err)
		return free
	}
	t.Fatal("no subnet is free")
	return free
}

func contents(t *testing.T, data stack.Data) map[string]*tar.Header {
	t.Helper()
	var saved bytes.Buffer
	must(t, data.Save(t.Context(), &saved))
	found := map[string]*tar.Header{}
	for in := tar.NewReader(&saved); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		must(t, err)
		found[header.Name] = header
	}
}

// TestData: a folder is saved, replaced with nothing of the old left, and brought back, in a container without a shell.
func TestData(t *testing.T) {
	p, c, _ := compose(t, 1)
	g2 := partOf(t, p, "db_g2")
	eventually(t, "db_g2 takes a write", func() bool { return cli(c, g2.Instance, "localhost", "set", "k", "v") == "OK" })
	data, err := p.Data(g2)
	must(t, err)
	if err := data.Replace(t.Context(), strings.NewReader("")); err == nil {
		t.Fatal("it was replaced under the feet of a running node")
	}
	do(t, p, "db_g2", stack.Stop)
	var saved bytes.Buffer
	must(t, data.Save(t.Context(), &saved))
	before := contents(t, data)
	if before["appendonlydir"] == nil || before["appendonlydir/appendonly.aof.1.incr.aof"] == nil {
		t.Fatalf("saved: %v", before)
	}
	for what, broken := range map[string][]byte{"torn": saved.Bytes()[:saved.Len()/2], "leads out": tarOf(t, "../evil"), "no tar": []byte(strings.Repeat("x", 2000))} {
		if err := data.Replace(t.Context(), bytes.NewReader(broken)); err == nil || errors.Is(err, stack.ErrEmptied) {
			t.Errorf("%s: %v", what, err)
		}
		if after := contents(t, data); len(after) != len(before) {
			t.Errorf("%s: the folder has changed: %v", what, after)
		}
	}
	must(t, data.Replace(t.Context(), bytes.NewReader(tarOf(t, "other.rdb"))))
	if after := contents(t, data); len(after) != 1 || after["other.rdb"] == nil || after["other.rdb"].Uid != 999 {
		t.Fatalf("after the replacement: %+v", after)
	}
	must(t, data.Replace(t.Context(), bytes.NewReader(saved.Bytes())))
	do(t, p, "db_g2", stack.Start)
	eventually(t, "the old data is back", func() bool { return cli(c, g2.Instance, "localhost", "get", "k") == `"v"` })
	if _, err := p.Data(partOf(t, p, "app_cp")); !errors.Is(err, stack.ErrUnsupported) {
		t.Errorf("a service has data? %v", err)
	}
}

func tarOf(t *testing.T, name string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	must(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: 3, Uid: 5, Gid: 5, Typeflag: tar.TypeReg}))
	_, err := w.Write([]byte("new"))
	must(t, errors.Join(err, w.Close()))
	return out.Bytes()
}

func TestWhatIsNotThere(t *testing.T) {
	p, c, _ := compose(t, 1)
	ctx := t.Context()
	if _, err := Open(ctx, "no-such-project"); !errors.Is(err, ErrNoProject) {
		t.Error(err)
	}
	if err := p.Do(ctx, stack.Part{Service: "db_g3", Instance: "nothing"}, stack.Stop); !errors.Is(err, stack.ErrNoPart) {
		t.Error(err)
	}
	// A container that is none of the project's is not touched.
	foreign, err := c.ContainerCreate(ctx, client.ContainerCreateOptions{Config: &container.Config{Image: image, Cmd: []string{"redis-server"}}})
	must(t, err)
	defer func() { _, _ = c.ContainerRemove(ctx, foreign.ID, client.ContainerRemoveOptions{Force: true}) }()
	if err := p.Do(ctx, stack.Part{Service: "db_g2", Instance: foreign.ID}, stack.Start); !errors.Is(err, stack.ErrNoPart) {
		t.Error(err)
	}
	t.Setenv("DOCKER_HOST", "ssh://ann@web1")
	if _, err := Open(ctx, "x"); err == nil || !strings.Contains(err.Error(), "ssh -fNL") {
		t.Error(err)
	}
	t.Setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
	if _, err := Open(ctx, "x"); err == nil || errdefs.IsNotFound(err) {
		t.Error(err)
	}
	if _, err := Discover(ctx, []int{5001}); err == nil {
		t.Error("an engine that was named and is not there is no error")
	}
	if _, err := Own(ctx); err == nil {
		t.Error("nor is it to who asks for his own project")
	}
}

func TestDiscover(t *testing.T) {
	p, c, project := compose(t, 1)
	ctx := t.Context()
	published, err := c.ContainerCreate(ctx, client.ContainerCreateOptions{Name: project + "_haproxy_1",
		Config: &container.Config{Image: image, Cmd: []string{"redis-server", "--protected-mode", "no"}, Labels: map[string]string{labelProject: project, labelService: "haproxy"},
			ExposedPorts: network.PortSet{network.MustParsePort("6379/tcp"): {}}},
		HostConfig: &container.HostConfig{PublishAllPorts: true}})
	must(t, err)
	_, err = c.ContainerStart(ctx, published.ID, client.ContainerStartOptions{})
	must(t, err)
	inspected, err := c.ContainerInspect(ctx, published.ID, client.ContainerInspectOptions{})
	must(t, err)
	var port int
	for _, bindings := range inspected.Container.NetworkSettings.Ports {
		_, err := fmt.Sscan(bindings[0].HostPort, &port)
		must(t, err)
	}
	found, err := Discover(ctx, []int{port})
	if err != nil || !slices.Equal(found, []string{project}) {
		t.Errorf("%v %v", found, err)
	}
	if found, err := Discover(ctx, []int{1}); err != nil || len(found) != 0 {
		t.Errorf("%v %v", found, err)
	}
	if got := p.About(); got != "compose project "+project {
		t.Error(got)
	}
}
