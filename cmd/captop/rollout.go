package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"captop/deploy/journal"
	"captop/deploy/rollout"
	"captop/probes/record"
)

// errRolling: only one rollout of a project goes at a time.
var errRolling = errors.New("another rollout of it is under way")

func newRolloutCommand(std streams) *cobra.Command {
	var project string
	command := &cobra.Command{
		Use:   "rollout IMAGE",
		Short: "roll app_cp and app_ap of a Compose project to another image without a failed request",
		Long: "rollout starts an instance of the new image beside each old one, waits until it is healthy and HAProxy sends to it, and has\n" +
			"the old one drain and end; one at a time. When one does not get well, all go back to the old image. After a rollout that was\n" +
			"killed, run it again: with the same image it goes on, with another one it goes back first.\n\n" +
			"Exit codes: 0 done, 1 failed and said what runs now, 64 called wrongly.",
		Example: "  captop rollout captop/capd:2 --project shop",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("rollout takes one image, such as captop/capd:2, and was given %d", len(args))
			}
			return nil
		},
	}
	command.Flags().StringVar(&project, "project", "", "the Compose project (default: COMPOSE_PROJECT_NAME, else the name of this folder)")
	command.RunE = func(cmd *cobra.Command, args []string) error {
		if project == "" {
			project = composeProject()
		}
		engine, err := client.New(client.FromEnv)
		if err != nil {
			return fmt.Errorf("preparing for the Docker engine: %w", err)
		}
		defer engine.Close()
		return failed(std, roll(cmd.Context(), engine, project, args[0], std))
	}
	return command
}

// composeProject is the project that Compose would act on here.
func composeProject() string {
	if name := os.Getenv("COMPOSE_PROJECT_NAME"); name != "" {
		return name
	}
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	return strings.ToLower(filepath.Base(dir))
}

// roll does it, and journals it.
func roll(ctx context.Context, engine *client.Client, project, image string, std streams) error {
	act, err := beginRollout(project, image)
	if err != nil {
		return err
	}
	r := rollout.Rollout{Client: engine, Project: project, Say: func(step string) {
		_, _ = fmt.Fprintf(std.out, "%s %s\n", time.Now().UTC().Format("15:04:05"), step)
		_ = act.Step(step) // the engine's labels are what counts
	}}
	err = r.Run(ctx, image)
	result := journal.Result{Outcome: journal.Done, Proof: "every instance was healthy and had requests from HAProxy before the one that it replaces went"}
	switch {
	case errors.Is(err, rollout.ErrHalf):
		result = journal.Result{Outcome: journal.Failed, Error: err.Error()}
	case err != nil:
		result = journal.Result{Outcome: journal.Undone, Error: err.Error()}
	default:
		r.Say(fmt.Sprintf("all instances are of %s; put CAPD_IMAGE=%s into .env, or the next docker-compose up takes the old image again", image, image))
	}
	return errors.Join(err, act.End(result))
}

// beginRollout journals the begin. Rollouts that were killed get an end: this one goes on with them, or back.
func beginRollout(project, image string) (*journal.Open, error) {
	state := record.Dir(os.Getenv)
	if state == "" {
		return nil, errors.New("there is no place for a journal on this system: set XDG_STATE_HOME")
	}
	file := journal.File{Path: filepath.Join(state, "journal.jsonl"), Now: time.Now}
	records, err := file.Read(time.Time{})
	if err != nil {
		return nil, err
	}
	who, what, stack := journal.Who(os.Getenv), "roll out ", "compose project "+project
	for _, r := range records {
		if !r.Open() || r.Stack != stack || !strings.HasPrefix(r.What, what) {
			continue
		}
		left, err := file.Adopt(r.ID)
		switch {
		case errors.Is(err, journal.ErrHeld):
			return nil, fmt.Errorf("%s: %w, begun by %s", project, errRolling, r.Who)
		case errors.Is(err, journal.ErrEnded):
			continue
		case err != nil:
			return nil, err
		}
		if err := left.End(journal.Result{Outcome: journal.Unknown, Error: "it was killed; the next rollout has gone on with it, or back", By: who}); err != nil {
			return nil, err
		}
	}
	return file.Begin(journal.Act{Who: who, Seat: journal.Seat("command", os.Getenv), Stack: stack, What: what + image,
		Command: "captop rollout " + image + " --project " + project})
}
