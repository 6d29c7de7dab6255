package main

import (
	"fmt"

	"captop/deploy/runbooks"
	"captop/tui/alertview"
)

// runbookChecks gives the screen the check steps of a runbook page.
func runbookChecks(name string) ([]alertview.Check, error) {
	page, err := runbooks.Page(name)
	if err != nil {
		return nil, err
	}
	steps, err := runbooks.Checks(page)
	if err != nil {
		return nil, fmt.Errorf("the runbook page %s: %w", name, err)
	}
	checks := make([]alertview.Check, len(steps))
	for i, step := range steps {
		checks[i] = alertview.Check(step)
	}
	return checks, nil
}
