// Command captop is the dashboard of the pair, and the operator's commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/redis/go-redis/v9/logging"
)

func main() {
	shareProcessors()
	logging.Disable() // go-redis would write into the screen what probes show anyway
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(exitCode(err, os.Stderr))
}

// shareProcessors gives Go one processor more than there are, unless GOMAXPROCS says otherwise. A key that comes while
// polls keep all of Go's busy would wait until Go looks for it again; so it waits for the system's scheduler only, which
// lets it in at once.
func shareProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}

// streams are the standard streams.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run is captop with args. Its error says what the process ends with: an exitError, or a usage error.
func run(ctx context.Context, args []string, std streams) error {
	root := newRoot(std)
	root.SetArgs(args)
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	return root.ExecuteContext(ctx)
}

// exitUsage is what captop ends with when it was called wrongly or cannot start, as sysexits.h has it. It lies beyond
// the codes of --once, so that a monitoring system never takes a typing error for a state of the stack.
const exitUsage = 64

// exitError ends the process with a code and without a message: what there was to say is said.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// exitCode tells what err makes the process end with, after saying on w what it is.
func exitCode(err error, w io.Writer) int {
	var code exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintf(w, "captop: %v\n", err)
	return exitUsage
}
