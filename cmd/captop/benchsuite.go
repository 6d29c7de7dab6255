package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"captop/cmd/captop/suite"
)

func newSuiteCommand(std streams) *cobra.Command {
	var options suite.Options
	var path string
	command := &cobra.Command{
		Use:   "suite",
		Short: "compare the pair with a bare server, redis-benchmark and webdis; for the repository",
		Long: "suite builds capd from the repository that it runs in, starts everything that it compares on this machine, measures in\n" +
			"turn, writes a table, and ends what it has started. It needs redis-server, redis-benchmark and webdis, and measures wrk\n" +
			"where there is one.",
		Args: cobra.NoArgs,
	}
	command.Flags().IntVar(&options.Rounds, "rounds", 5, "how often each is measured")
	command.Flags().DurationVar(&options.Each, "each", 3*time.Second, "how long one measurement lasts")
	command.Flags().StringVar(&path, "out", "deploy/bench/RESULTS.md", "file for the table; - prints it")
	command.RunE = func(cmd *cobra.Command, _ []string) error {
		if options.Rounds < 1 || options.Each < 100*time.Millisecond {
			return fmt.Errorf("--rounds %d --each %s: give 1 round and 100ms or more", options.Rounds, options.Each)
		}
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("finding this program: %w", err)
		}
		options.Say, options.Floor = std.err, func() *exec.Cmd { return exec.Command(self, "bench", "floor") }
		table, err := suite.Run(cmd.Context(), options)
		if err != nil {
			return failed(std, err)
		}
		return keepTable(std, path, table)
	}
	return command
}

// keepTable writes a table to a file, or prints it where that is -.
func keepTable(std streams, path, table string) error {
	if path == "-" {
		return printLine(std.out, table)
	}
	if err := os.WriteFile(path, []byte(table), 0o644); err != nil {
		return failed(std, fmt.Errorf("writing the table: %w", err))
	}
	return printLine(std.out, "written to "+path)
}

func newScaleCommand(std streams) *cobra.Command {
	var options suite.ScaleOptions
	var path string
	command := &cobra.Command{
		Use:   "scale",
		Short: "measure writes with more and more keys and instances; for the repository",
		Long: "scale builds capd from the repository that it runs in, puts keys on two nodes of its own, and measures writes, latency and\n" +
			"memory. Ten million keys take some 10 GiB of memory and as much of disk: what does not fit is left out, and that is said.",
		Args: cobra.NoArgs,
	}
	command.Flags().IntSliceVar(&options.Keys, "keys", []int{10_000, 1_000_000, 10_000_000}, "how many keys, rising")
	command.Flags().IntSliceVar(&options.Instances, "instances", []int{1, 3, 10}, "how many instances, rising")
	command.Flags().DurationVar(&options.Each, "each", 3*time.Second, "how long one measurement lasts")
	command.Flags().StringVar(&path, "out", "deploy/bench/SCALE.md", "file for the table; - prints it")
	command.RunE = func(cmd *cobra.Command, _ []string) error {
		for name, list := range map[string][]int{"keys": options.Keys, "instances": options.Instances} {
			if len(list) == 0 || list[0] < 1 || !slices.IsSorted(list) {
				return fmt.Errorf("--%s %v: give numbers above 0, rising", name, list)
			}
		}
		if options.Each < 100*time.Millisecond {
			return fmt.Errorf("--each %s: give 100ms or more", options.Each)
		}
		options.Say = std.err
		table, err := suite.Scale(cmd.Context(), options)
		if err != nil {
			return failed(std, err)
		}
		return keepTable(std, path, table)
	}
	return command
}

// floorAnswer is as long as capd's answer to a write.
const floorAnswer = `{"key":"captop-bench:000000000000","version":"1763868000123456.817263","nodes":["db_g1","db_g2"],"outcome":"applied"}` + "\n"

// newFloorCommand is the floor of the suite, in a process of its own: an HTTP server that does nothing.
func newFloorCommand() *cobra.Command {
	return &cobra.Command{Use: "floor ADDRESS", Hidden: true, Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		server := &http.Server{Addr: args[0], Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, floorAnswer)
		})}
		defer context.AfterFunc(cmd.Context(), func() { _ = server.Close() })()
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}}
}
