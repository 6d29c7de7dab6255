package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"captop/service"
)

// What a stack has to have.
var (
	nodes    = []string{service.G1, service.G2}
	services = []string{"app_cp", "app_ap"}
	required = slices.Concat(nodes, services)
)

// round is one run: what several checks need is looked at once.
type round struct {
	eyes  Eyes
	units func(context.Context) ([]Unit, error)
}

func newRound(eyes Eyes) *round {
	r := &round{eyes: eyes}
	var once sync.Mutex
	var units []Unit
	r.units = func(ctx context.Context) ([]Unit, error) {
		once.Lock()
		defer once.Unlock()
		if units != nil {
			return units, nil
		}
		if eyes.Units == nil {
			return nil, ErrNoEye
		}
		found, err := eyes.Units(ctx)
		if err == nil {
			units = found
		}
		return found, err
	}
	return r
}

// howToSee makes containers and processes visible.
const howToSee = "captop doctor --project NAME on the host of the stack, as root or a member of the group docker"

// each calls look for every unit of these services; with no names for every one there is. That a part of the pair which
// was asked for is nowhere cannot be passed over.
func (r *round) each(ctx context.Context, v *verdict, names []string, look func(Unit)) {
	units, err := r.units(ctx)
	if err != nil {
		v.cannot(howToSee, "the containers and processes cannot be seen: %v", err)
		return
	}
	for _, name := range required {
		if (names == nil || slices.Contains(names, name)) && !slices.ContainsFunc(units, func(u Unit) bool { return u.Service == name }) {
			v.cannot(howToSee, "no container and no process of %s was found", name)
		}
	}
	for _, u := range units {
		switch {
		case names != nil && !slices.Contains(names, u.Service):
		case u.Name == "" || u.Service == "":
			v.cannot(howToSee, "an instance of %q without a name was found", u.Service)
		default:
			look(u)
		}
	}
}

// known calls judge with something of a unit's, or says that it is not known.
func known[T any](v *verdict, u Unit, what string, value Known[T], judge func(T)) {
	if !value.OK {
		v.cannot("", "%s: %s cannot be told: %s", u.Name, what, value.Why)
		return
	}
	judge(value.Value)
}

// setting calls judge with what a variable of a unit says, "" where it is not set.
func setting(v *verdict, u Unit, name string, judge func(value string)) {
	known(v, u, name, u.Env, func(env map[string]string) { judge(env[name]) })
}

// secretOf gives a setting that may be in a file; where names the setting that it was found in.
func (r *round) secretOf(ctx context.Context, u Unit, name string) (value, where string, err error) {
	if !u.Env.OK {
		return "", name, fmt.Errorf("its environment: %s", u.Env.Why)
	}
	path := u.Env.Value[name+"_FILE"]
	if path == "" {
		return u.Env.Value[name], name, nil
	}
	file, err := r.readFile(ctx, u, path)
	return strings.TrimRight(string(file.Content), "\r\n"), name + "_FILE", err
}

func (r *round) readFile(ctx context.Context, u Unit, path string) (File, error) {
	if r.eyes.ReadFile == nil {
		return File{}, ErrNoEye
	}
	return r.eyes.ReadFile(ctx, u, path)
}

func (r *round) hostFile(ctx context.Context, path string) (File, error) {
	if r.eyes.HostFile == nil {
		return File{}, ErrNoEye
	}
	return r.eyes.HostFile(ctx, path)
}

func (r *round) swarm(ctx context.Context) (Swarm, error) {
	if r.eyes.Swarm == nil {
		return Swarm{}, ErrNoEye
	}
	return r.eyes.Swarm(ctx)
}

func (r *round) redis(ctx context.Context, node string, auth Auth, command ...string) (string, error) {
	if r.eyes.Redis == nil {
		return "", ErrNoEye
	}
	return r.eyes.Redis(ctx, node, auth, command...)
}

func (r *round) get(ctx context.Context, url string) (Response, error) {
	if r.eyes.Get == nil {
		return Response{}, ErrNoEye
	}
	return r.eyes.Get(ctx, url)
}

func (r *round) handshake(ctx context.Context, url string, limit uint16) (Session, error) {
	if r.eyes.Handshake == nil {
		return Session{}, ErrNoEye
	}
	return r.eyes.Handshake(ctx, url, limit)
}

// The commands of fixes, as the stack is run by: docker-compose, or a swarm.

// up brings services up as the files have them now; none means all.
func (r *round) up(services ...string) string {
	if stack := r.eyes.Targets.Stack; stack != "" {
		return "docker stack deploy -c " + swarmFile + " " + stack
	}
	return r.compose(strings.Join(append([]string{"up -d"}, services...), " "))
}

// upAnew brings services up with other secrets. What a swarm has of them cannot be changed, only replaced.
func (r *round) upAnew(services ...string) string {
	if r.eyes.Targets.Stack != "" {
		return "export SWARM_PREFIX=NEW; deploy/swarm/secrets.sh && " + r.up()
	}
	return r.up(services...)
}

// reread has HAProxy read its configuration and its certificate again.
func (r *round) reread() string {
	if r.eyes.Targets.Stack != "" {
		return r.upAnew()
	}
	return r.compose("kill -s USR2 haproxy")
}

func (r *round) logs(service string) string {
	if stack := r.eyes.Targets.Stack; stack != "" {
		return "docker service logs --tail 50 " + stack + "_" + service
	}
	return r.compose("logs --tail 50 " + service)
}

// file is where the services are written down.
func (r *round) file() string {
	if r.eyes.Targets.Stack != "" {
		return swarmFile
	}
	return "the Compose file"
}

const swarmFile = "deploy/swarm/stack.yml"

func (r *round) compose(command string) string {
	if project := r.eyes.Targets.Project; project != "" {
		return "docker-compose -p " + project + " " + command
	}
	return "docker-compose " + command
}

// list writes a few things in a row.
func list(things []string) string {
	if len(things) > 6 {
		return strings.Join(things[:6], ", ") + fmt.Sprintf(" and %d more", len(things)-6)
	}
	return strings.Join(things, ", ")
}
