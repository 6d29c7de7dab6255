package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"captop/deploy/runbooks"
	"captop/probes"
)

// notHere are the steps that a young pair without backups, without a rejoin and without limits of memory does not pass.
var notHere = []string{
	"db_g1 has not restarted for 10 minutes", "db_g2 has not restarted for 10 minutes", "No node restarts again and again",
	"It goes on", "Some backup of db_g1 was verified", "Some backup of db_g2 was verified", "db_g1 has a fresh backup", "db_g2 has a fresh backup",
	"No node is near its memory limit",
}

// TestRunbookStepsOnTheRealPair runs the check steps of every page: all pass while all is well, and once db_g2 is gone those
// fail that say that it is there.
func TestRunbookStepsOnTheRealPair(t *testing.T) {
	pair := startPair(t)
	engine, snapshots := watchPair(t, pair)
	until := func(reached func(failing []string) bool) {
		t.Helper()
		var last []string
		for limit := time.Now().Add(time.Minute); time.Now().Before(limit); {
			ask(pair.args)
			<-snapshots
			if last = failingSteps(t, engine); reached(last) {
				return
			}
		}
		t.Fatalf("the failing steps are %q", last)
	}
	slices.Sort(notHere)
	until(func(failing []string) bool { return slices.Equal(failing, notHere) })

	pair.g2.Kill()
	gone := []string{"db_g2 answers captop", "Both nodes answer captop", "app_cp sees both nodes", "app_ap sees both nodes",
		"Every breaker is closed", "No instance refuses more than 1 % of its requests", "Less than 1 % of the contacts fails"}
	until(func(failing []string) bool {
		return !slices.Contains(failing, "db_g1 answers captop") && !slices.Contains(failing, "app_cp has an instance that answers") &&
			!slices.ContainsFunc(gone, func(title string) bool { return !slices.Contains(failing, title) })
	})
}

// watchPair watches the pair until the test ends.
func watchPair(t *testing.T, pair realPair) (*probes.Engine, <-chan *probes.Snapshot) {
	t.Helper()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	set := bind(flags)
	if err := flags.Parse(pair.args); err != nil {
		t.Fatal(err)
	}
	engine, err := openEngine(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	snapshots := engine.Watch(ctx)
	t.Cleanup(func() {
		cancel()
		for range snapshots {
		}
		_ = engine.Close()
	})
	return engine, snapshots
}

// ask gives the services something to count.
func ask(args []string) {
	for i, arg := range args {
		if arg != "--cp" && arg != "--ap" {
			continue
		}
		answer, err := http.Post(fmt.Sprintf("%s/write/step/1", args[i+1]), "", nil)
		if err != nil {
			continue // it has just been started
		}
		_ = answer.Body.Close()
	}
}

// failingSteps are the titles of the steps that do not pass, each once, in alphabetical order.
func failingSteps(t *testing.T, engine *probes.Engine) (titles []string) {
	t.Helper()
	for _, name := range runbooks.Names() {
		steps, err := runbookChecks(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range steps {
			samples, err := engine.Query(t.Context(), step.Expr)
			if err != nil {
				t.Errorf("%s, %s: %v", name, step.Title, err)
			}
			if len(samples) == 0 && !slices.Contains(titles, step.Title) {
				titles = append(titles, step.Title)
			}
		}
	}
	slices.Sort(titles)
	return titles
}
