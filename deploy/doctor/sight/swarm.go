package sight

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"captop/deploy/doctor"
)

// labelZone is the label of a swarm's nodes by which deploy/swarm/stack.yml places the services.
const labelZone = "zone"

// swarm finds where the tasks of the stack run. Only a manager knows.
func (l *Looker) swarm(ctx context.Context) (doctor.Swarm, error) {
	here, err := l.stack(ctx)
	nothingHere := errors.Is(err, errNoStack) // a manager may have none of the stack's tasks itself
	if err != nil && !nothingHere {
		return doctor.Swarm{}, err
	}
	if err == nil && !here.swarm {
		return doctor.Swarm{}, doctor.ErrNoSwarm
	}
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	asked, err := l.engine.Info(ctx, client.InfoOptions{})
	switch {
	case err != nil:
		return doctor.Swarm{}, fmt.Errorf("asking the Docker engine for its swarm: %w", err)
	case asked.Info.Swarm.LocalNodeState == swarm.LocalNodeStateInactive:
		return doctor.Swarm{}, doctor.ErrNoSwarm
	case !asked.Info.Swarm.ControlAvailable:
		return doctor.Swarm{}, doctor.ErrNoManager
	}
	stack, names, err := l.services(ctx)
	if nothingHere && errors.Is(err, errNoStack) {
		return doctor.Swarm{}, doctor.ErrNoSwarm
	}
	if err != nil {
		return doctor.Swarm{}, err
	}
	tasks, err := l.tasks(ctx, stack, names)
	return doctor.Swarm{Stack: stack, Tasks: tasks}, err
}

// services gives the stack that is the pair, and the names of its services by their IDs.
func (l *Looker) services(ctx context.Context) (stack string, names map[string]string, err error) {
	listed, err := l.engine.ServiceList(ctx, client.ServiceListOptions{})
	if err != nil {
		return "", nil, fmt.Errorf("listing the services of the swarm: %w", err)
	}
	labels := make([]map[string]string, len(listed.Items))
	for i, s := range listed.Items {
		labels[i] = map[string]string{labelStack: s.Spec.Labels[labelStack], labelSwarm: s.Spec.Name}
	}
	if stack, err = l.project(labels); err != nil {
		return "", nil, err
	}
	names = map[string]string{}
	for i, s := range listed.Items {
		if of, name := placeOf(labels[i]); of == stack {
			names[s.ID] = name
		}
	}
	return stack, names, nil
}

// tasks are those of a stack's services that run, with the hosts that they run on.
func (l *Looker) tasks(ctx context.Context, stack string, names map[string]string) ([]doctor.Task, error) {
	nodes, err := l.engine.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the nodes of the swarm: %w", err)
	}
	hosts := map[string]swarm.Node{}
	for _, n := range nodes.Items {
		hosts[n.ID] = n
	}
	listed, err := l.engine.TaskList(ctx, client.TaskListOptions{Filters: make(client.Filters).Add("desired-state", "running")})
	if err != nil {
		return nil, fmt.Errorf("listing the tasks of %s: %w", stack, err)
	}
	var tasks []doctor.Task
	for _, t := range listed.Items {
		name, host := names[t.ServiceID], hosts[t.NodeID]
		if name == "" || t.Status.State != swarm.TaskStateRunning {
			continue
		}
		tasks = append(tasks, doctor.Task{Service: name, HostID: host.ID, Host: host.Description.Hostname, Zone: host.Spec.Labels[labelZone]})
	}
	return tasks, nil
}
