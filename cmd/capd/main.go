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
)

func main() {
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
