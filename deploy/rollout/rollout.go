// Package rollout replaces the instances of the services of a Compose project by those of another image, one at a time,
// so that no request fails, over the Docker Engine API.
//
// What it knows it keeps in the engine: labels of the new containers say whom they replace, and an instance that is told to
// end has another name from then on. It is removed only when all are replaced. So whoever comes after a rollout that was
// killed can go on with it, or go back.
package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// Errors that callers tell apart.
var (
	ErrNoInstances = errors.New("the engine runs no instances of app_cp or app_ap of this Compose project")
	ErrNoImage     = errors.New("the engine has no such image")
	ErrRolledBack  = errors.New("the rollout failed, and every instance is of its old image again")
	ErrHalf        = errors.New("the rollout failed, and not every instance could be brought back")
)

// Services are rolled in this order: first the one that goes on answering when something is wrong.
var Services = []string{"app_ap", "app_cp"}

const (
	patience = 2 * time.Minute        // for an instance to be healthy, and seen behind HAProxy
	glance   = 200 * time.Millisecond // between two looks
)

// The labels of Compose, and ours. A new container says whom it replaces, and what it will be called.
const (
	labelProject  = "com.docker.compose.project"
	labelService  = "com.docker.compose.service"
	labelReplaces = "captop.rollout.replaces"
	labelName     = "captop.rollout.name"
)

// Rollout replaces instances. Client, Project and Say are required.
type Rollout struct {
	Client  *client.Client
	Project string
	Say     func(step string) // what is being done, a line each
}

// pair is an instance and the one that takes its place.
type pair struct {
	service  string
	old, new container.InspectResponse // either may have no ID: it is not there
}

// Run rolls all instances to an image. It first ends what an earlier run has left: goes on with it where that was for
// the same image, else goes back. When an instance does not get well, all go back: ErrRolledBack, or ErrHalf.
func (r *Rollout) Run(ctx context.Context, image string) error {
	found, err := r.Client.ImageInspect(ctx, image)
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("%s: %w; docker pull or docker load it first", image, ErrNoImage)
	}
	if err != nil {
		return fmt.Errorf("looking at the image %s: %w", image, err)
	}
	pairs, err := r.pairs(ctx)
	if err != nil {
		return err
	}
	if pairs, err = r.resume(ctx, pairs, found.ID); err != nil {
		return err
	}
	if len(pairs) == 0 {
		return fmt.Errorf("%s: %w", r.Project, ErrNoInstances)
	}
	for i := range pairs {
		if err := r.replace(ctx, &pairs[i], image, found.ID); err != nil {
			return r.back(context.WithoutCancel(ctx), pairs, fmt.Errorf("replacing %s: %w", pairs[i].name(), err))
		}
	}
	return r.finish(ctx, pairs)
}

// pairs lists the instances that run, and those that an earlier run has begun to replace.
func (r *Rollout) pairs(ctx context.Context) ([]pair, error) {
	listed, err := r.Client.ContainerList(ctx, client.ContainerListOptions{All: true,
		Filters: make(client.Filters).Add("label", labelProject+"="+r.Project)})
	if err != nil {
		return nil, fmt.Errorf("listing the containers of %s: %w", r.Project, err)
	}
	var all []container.InspectResponse
	for _, c := range listed.Items {
		if !slices.Contains(Services, c.Labels[labelService]) {
			continue
		}
		inspected, err := r.Client.ContainerInspect(ctx, c.ID, client.ContainerInspectOptions{})
		if err != nil {
			return nil, fmt.Errorf("looking at the container %.12s: %w", c.ID, err)
		}
		all = append(all, inspected.Container)
	}
	var pairs []pair
	replaced := map[string]bool{}
	for _, c := range all {
		if of := c.Config.Labels[labelReplaces]; of != "" && strings.HasSuffix(c.Name, nextSuffix) {
			p := pair{service: c.Config.Labels[labelService], new: c}
			if at := slices.IndexFunc(all, func(other container.InspectResponse) bool { return other.ID == of }); at >= 0 {
				p.old = all[at]
				replaced[of] = true
			}
			pairs = append(pairs, p)
		}
	}
	for _, c := range all {
		if !strings.HasSuffix(c.Name, nextSuffix) && !replaced[c.ID] && (c.State.Running || strings.HasSuffix(c.Name, oldSuffix)) {
			pairs = append(pairs, pair{service: c.Config.Labels[labelService], old: c})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		if a.service != b.service {
			return slices.Index(Services, a.service) - slices.Index(Services, b.service)
		}
		return strings.Compare(a.name(), b.name())
	})
	return pairs, nil
}

// resume ends what an earlier run has left for another image, and gives the instances as they are then.
func (r *Rollout) resume(ctx context.Context, pairs []pair, image string) ([]pair, error) {
	var others []pair
	for _, p := range pairs {
		switch {
		case p.new.ID == "" && strings.HasSuffix(p.old.Name, oldSuffix): // somebody has removed what was to replace it
			others = append(others, p)
		case p.new.ID == "":
		case p.new.Image == image:
			r.Say("going on with " + p.name() + ", which an earlier rollout has begun to replace")
		case p.old.ID == "": // it had been replaced wholly, but for its name
			if err := r.finish(ctx, []pair{p}); err != nil {
				return nil, err
			}
		default:
			r.Say("going back with " + p.name() + ", which an earlier rollout to another image has begun to replace")
			others = append(others, p)
		}
	}
	if err := r.undo(ctx, others); err != nil {
		return nil, err
	}
	return r.pairs(ctx)
}

// replace brings an instance of the image up, waits until it is well and HAProxy sends to it, and stops the old one, which
// drains. What an earlier run has done of this is not done again.
func (r *Rollout) replace(ctx context.Context, p *pair, image, id string) error {
	if p.new.ID == "" && p.old.Image == id {
		r.Say(p.name() + " has the image already")
		return nil
	}
	if p.new.ID == "" {
		r.Say("starting another " + p.service + " beside " + p.name())
		created, err := r.create(ctx, p.old, image)
		if err != nil {
			return err
		}
		p.new = created
	}
	if err := r.start(ctx, p.new); err != nil {
		return err
	}
	if p.old.ID == "" {
		return nil
	}
	r.Say("draining " + p.name())
	if err := r.rename(ctx, &p.old, p.name()+oldSuffix); err != nil {
		return err
	}
	return r.stop(ctx, p.old)
}

// start starts a container and waits until it is healthy and HAProxy sends to it.
func (r *Rollout) start(ctx context.Context, c container.InspectResponse) error {
	if _, err := r.Client.ContainerStart(ctx, c.ID, client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("starting it: %w", err)
	}
	if err := r.healthy(ctx, c); err != nil {
		return err
	}
	return r.seen(ctx, c)
}

// stop ends a container in its own time: capd drains first.
func (r *Rollout) stop(ctx context.Context, c container.InspectResponse) error {
	options := client.ContainerStopOptions{}
	if c.Config.StopTimeout == nil { // Compose 1 keeps stop_grace_period to itself
		grace := int(patience.Seconds())
		options.Timeout = &grace
	}
	if _, err := r.Client.ContainerStop(ctx, c.ID, options); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("stopping %s: %w", name(c), err)
	}
	return nil
}

// healthy waits for the container's own health check.
func (r *Rollout) healthy(ctx context.Context, c container.InspectResponse) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		now, err := r.Client.ContainerInspect(ctx, c.ID, client.ContainerInspectOptions{})
		if err != nil {
			return fmt.Errorf("waiting until it is healthy: %w", err)
		}
		state := now.Container.State
		switch {
		case !state.Running || state.Restarting:
			return fmt.Errorf("it has ended with exit code %d; %s", state.ExitCode, r.lastWords(c.ID))
		case state.Health == nil:
			return errors.New("it has no health check, so nobody can tell whether it is well")
		case state.Health.Status == container.Healthy:
			return nil
		case state.Health.Status == container.Unhealthy:
			return fmt.Errorf("it is unhealthy: %s", r.complaint(c.ID, state.Health))
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("it was not healthy within %s: %s", patience, r.complaint(c.ID, state.Health))
		}
	}
}

// back undoes all of it, and says why.
func (r *Rollout) back(ctx context.Context, pairs []pair, why error) error {
	r.Say("going back: " + why.Error())
	if err := r.undo(ctx, pairs); err != nil {
		return fmt.Errorf("%w: %w; going back: %w", ErrHalf, why, err)
	}
	return fmt.Errorf("%w: %w", ErrRolledBack, why)
}

// undo brings the old instances back, the last one that was replaced first, each before its successor goes.
func (r *Rollout) undo(ctx context.Context, pairs []pair) error {
	var all error
	for _, p := range slices.Backward(pairs) {
		if p.old.ID == "" || p.new.ID == "" && !strings.HasSuffix(p.old.Name, oldSuffix) {
			continue
		}
		r.Say("bringing " + p.name() + " back")
		err := r.revive(ctx, &p.old)
		if err == nil && p.new.ID != "" {
			err = errors.Join(r.stop(ctx, p.new), r.remove(ctx, p.new))
		}
		if err != nil {
			all = errors.Join(all, fmt.Errorf("bringing %s back: %w", p.name(), err))
		}
	}
	return all
}

// revive starts an old instance again. One that was told to end ends first: the engine goes on with that on its own.
func (r *Rollout) revive(ctx context.Context, old *container.InspectResponse) error {
	if strings.HasSuffix(old.Name, oldSuffix) {
		if err := r.stop(ctx, *old); err != nil {
			return err
		}
	}
	if err := r.start(ctx, *old); err != nil {
		return err
	}
	return r.rename(ctx, old, strings.TrimSuffix(name(*old), oldSuffix))
}

// finish removes what was replaced, and gives its name to its successor.
func (r *Rollout) finish(ctx context.Context, pairs []pair) error {
	for _, p := range pairs {
		if p.new.ID == "" {
			continue
		}
		if p.old.ID != "" {
			if err := r.remove(ctx, p.old); err != nil {
				return fmt.Errorf("removing what was replaced: %w", err)
			}
		}
		if err := r.rename(ctx, &p.new, p.name()); err != nil {
			return err
		}
	}
	return nil
}

// rename gives a container a name, unless it has it.
func (r *Rollout) rename(ctx context.Context, c *container.InspectResponse, to string) error {
	if name(*c) == to {
		return nil
	}
	if _, err := r.Client.ContainerRename(ctx, c.ID, client.ContainerRenameOptions{NewName: to}); err != nil {
		return fmt.Errorf("naming %s %s: %w", name(*c), to, err)
	}
	c.Name = "/" + to
	return nil
}

func (r *Rollout) remove(ctx context.Context, c container.InspectResponse) error {
	_, err := r.Client.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true})
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("removing %s: %w", name(c), err)
	}
	return nil
}

// name is what the instance is called before and after.
func (p pair) name() string {
	if p.old.ID != "" {
		return strings.TrimSuffix(name(p.old), oldSuffix)
	}
	return p.new.Config.Labels[labelName]
}

func name(c container.InspectResponse) string { return strings.TrimPrefix(c.Name, "/") }

// pause waits for a glance; an error when ctx ends.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(glance):
		return nil
	}
}
