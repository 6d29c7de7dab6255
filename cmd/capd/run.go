package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"captop/service/api"
)

const usage = `capd serves one of two promises over the Redis nodes db_g1 and db_g2.

  capd --mode cp|ap     serve; every setting is an environment variable, see .env.example
  capd health           ask the instance with the same settings for its /health; exits 0 or 1
  capd token NAME ROLE  make a bearer token and its line for TOKENS_FILE; ROLE is read, write or admin
  capd --version
`

// run is the whole program. It returns when ctx ends or a SIGINT or SIGTERM has been served; a SIGINT behind that ends
// the process at once.
func run(ctx context.Context, args []string, io stdio) error {
	flags := flag.NewFlagSet("capd", flag.ContinueOnError)
	flags.SetOutput(io.Err)
	flags.Usage = func() { fmt.Fprint(io.Err, usage) }
	mode := flags.String("mode", "", "cp or ap; overrides MODE")
	version := flags.Bool("version", false, "print the version")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *version {
		fmt.Fprintln(io.Out, buildVersion())
		return nil
	}
	if flags.Arg(0) == "token" {
		return token(flags.Args()[1:], io)
	}
	environ := environment(io.Environ)
	if *mode != "" {
		environ["MODE"] = *mode
	}
	settings, err := load(environ)
	if err != nil {
		return err
	}
	switch flags.Arg(0) {
	case "":
		return untilSignal(ctx, func(ctx context.Context) error { return serve(ctx, settings, io) })
	case "health":
		return health(ctx, settings, io)
	}
	return fmt.Errorf("there is no command %q; capd -h lists them", flags.Arg(0))
}

// untilSignal ends f's context at the first SIGINT or SIGTERM, and does not wait for f where a SIGINT follows: somebody
// presses Ctrl-C again. A SIGTERM that follows is no hurry: two who stop the same instance, such as a rollout that was
// killed and the one that goes on with it, would cut off the requests for which the first one's drain is there.
func untilSignal(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-signals:
		cancel()
	}
	for {
		select {
		case err := <-ended:
			return err
		case again := <-signals:
			if again == syscall.SIGINT {
				return fmt.Errorf("ended by another signal (%s) before the requests in flight had ended", again)
			}
		}
	}
}

func environment(pairs []string) map[string]string {
	environ := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		if name, value, found := strings.Cut(pair, "="); found {
			environ[name] = value
		}
	}
	return environ
}

// token prints the token on stdout and what to do with the line on stderr, so that either can be redirected.
func token(args []string, io stdio) error {
	if len(args) != 2 {
		return errors.New("capd token takes a name and a role: capd token alice write")
	}
	secret, line, err := api.NewToken(args[0], args[1])
	if err != nil {
		return err
	}
	fmt.Fprintf(io.Out, "token  %s\nline   %s\n", secret, line)
	fmt.Fprintln(io.Err, "Give the token to its owner; add the line to TOKENS_FILE. Only the line is needed here.")
	return nil
}

func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
