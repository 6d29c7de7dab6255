package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"captop/deploy/act"
	"captop/deploy/journal"
	acting "captop/deploy/stack"
	"captop/deploy/stack/commands"
	"captop/deploy/stack/docker"
	"captop/deploy/stack/local"
	"captop/probes"
	"captop/probes/record"
	"captop/service/api"
)

// errNoStack: there is nothing that captop could act on.
var errNoStack = errors.New("there is nothing to act on: no Compose project publishes the configured ports, and no node runs on this host; " +
	"--stack compose:PROJECT, --stack local or --act say otherwise")

const (
	stackAuto    = "auto"
	stackLocal   = "local"
	stackNone    = "none"
	stackCompose = "compose:"
)

// checkStack refuses what is no way to act.
func checkStack(value string) error {
	if name, ok := strings.CutPrefix(value, stackCompose); ok && name != "" {
		return nil
	}
	return oneOf(stackAuto, stackLocal, stackNone, stackCompose+"PROJECT")(value)
}

// checkAct refuses a text that gives no command.
func checkAct(value string) error {
	_, err := commands.Parse([]string{value})
	return err
}

// stack is what can be acted on, as the settings say or as it is found. errNoStack if there is nothing.
func (s settings) stack(ctx context.Context) (acting.Stack, error) {
	name, isCompose := strings.CutPrefix(s.Stack, stackCompose)
	switch {
	case isCompose:
		return docker.Open(ctx, name)
	case s.Stack == stackLocal:
		return s.local()
	case s.Stack == stackNone:
		return nil, errNoStack
	case len(s.Act) > 0:
		return commands.Parse(s.Act)
	}
	switch own, err := docker.Own(ctx); {
	case err != nil:
		return nil, err
	case own != "": // the service operator of docker-compose.yml
		return docker.Open(ctx, own)
	}
	projects, err := docker.Discover(ctx, s.localPorts())
	switch {
	case err != nil:
		return nil, err
	case len(projects) == 1:
		return docker.Open(ctx, projects[0])
	case len(projects) > 1:
		return nil, fmt.Errorf("several Compose projects publish the configured ports: %s; choose one with --stack compose:PROJECT", strings.Join(projects, ", "))
	}
	found, err := s.local()
	if err != nil {
		return nil, err
	}
	if parts, err := found.Parts(ctx); err != nil || len(parts) == 0 {
		return nil, errors.Join(errNoStack, err)
	}
	return found, nil
}

func (s settings) local() (acting.Stack, error) {
	state := record.Dir(os.Getenv)
	if state == "" {
		return nil, errors.New("there is no place on this system to note how the nodes were started")
	}
	return local.Open(s.nodeURLs(), filepath.Join(state, "local"))
}

// localPorts are those of the configured addresses that lie on this host.
func (s settings) localPorts() []int {
	var ports []int
	for _, address := range append(append([]string{s.G1, s.G2}, s.CP...), s.AP...) {
		parsed, err := url.Parse(address)
		if err != nil {
			continue
		}
		ip := net.ParseIP(parsed.Hostname())
		if parsed.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			continue
		}
		if port, err := strconv.Atoi(parsed.Port()); err == nil {
			ports = append(ports, port)
		}
	}
	return ports
}

func (s settings) nodeURLs() map[string]string {
	both, _ := s.nodes(nil) // no names are both
	urls := map[string]string{}
	for _, node := range both {
		urls[node.name] = node.url
	}
	return urls
}

// journalFile is the journal of this user.
func journalFile() (journal.File, error) {
	state := record.Dir(os.Getenv)
	if state == "" {
		return journal.File{}, errors.New("there is no place for a journal on this system: set XDG_STATE_HOME")
	}
	return journal.File{Path: filepath.Join(state, "journal.jsonl"), Now: time.Now}, nil
}

// engine acts on a stack; face is what somebody sits before.
func newEngine(on acting.Stack, file journal.File, targets probes.Targets, face string) *act.Engine {
	e := &act.Engine{Stack: on, Journal: file, Nodes: map[string]string{}, Who: whoami(), Seat: seat(face), Now: time.Now}
	for _, target := range targets.Services {
		e.Services = append(e.Services, act.Service{Name: target.Name, Client: api.NewClient(target.URL, target.Token, nil)})
	}
	for _, node := range targets.Nodes {
		if node.URL != "" {
			e.Nodes[node.Name] = node.URL
		}
	}
	return e
}

// whoami and seat are who acts and from where, for the journal.
func whoami() string          { return journal.Who(os.Getenv) }
func seat(face string) string { return journal.Seat(face, os.Getenv) }
