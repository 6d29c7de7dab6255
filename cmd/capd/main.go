// Command capd is the service daemon: capd --mode cp refuses rather than lies, capd --mode ap answers rather than waits.
// It is also its own health check (capd health) and makes bearer tokens (capd token).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

// gcPercent lets garbage grow to several times of what is in use before it is collected: an instance holds a few
// megabytes, and would spend a tenth of its time on collecting at each four of garbage. GOGC overrides it.
const gcPercent = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	err := run(context.Background(), os.Args[1:], stdio{Environ: os.Environ(), Out: os.Stdout, Err: os.Stderr})
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	default:
		fmt.Fprintln(os.Stderr, "capd:", err)
		os.Exit(1)
	}
}

// stdio is what the process is given from outside.
type stdio struct {
	Environ []string
	Out     io.Writer
	Err     io.Writer
}
