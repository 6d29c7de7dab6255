package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// newDemoCommand is replaced by the demo itself.
func newDemoCommand() *cobra.Command {
	return &cobra.Command{Use: "demo", RunE: func(*cobra.Command, []string) error { return errors.New("not built yet") }}
}
