package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"captop/probes/bench"
	"captop/service"
	"captop/service/api"
)

// benchOptions are the flags of bench.
type benchOptions struct {
	flags     *flagSet
	plan      bench.Plan
	keys      string // how requests are spread over them
	compare   string
	rounds    int
	json      bool
	yes       bool
	yesRemote bool
}

// The ways in which requests can be spread over the keys.
const (
	uniform = "uniform"
	zipf    = "zipf"
)

func newBenchCommand(std streams) *cobra.Command {
	var o benchOptions
	command := &cobra.Command{
		Use:   "bench cp|ap|URL",
		Short: "measure what a service can do: requests a second, latency, errors",
		Long: "bench sends reads and writes to a service and tells how many it answers a second, how long they take, and what it refuses.\n" +
			"cp and ap are the configured services, all their instances together; a URL is one instance of either.\n\n" +
			"Without --rate each connection sends its next request when the last one was answered (closed loop): that shows how much\n" +
			"the service can do. With --rate requests are due at fixed times whatever the service does (open loop), and latency counts\n" +
			"from then: that shows what users meet, stalls included. Where the client runs on the same machine, it takes its share.\n\n" +
			"It writes keys of its own only, which begin with " + bench.Prefix + " and stay. It asks before it does (--yes), and\n" +
			"goes to no other host than those configured and this one (--yes-remote).\n\n" +
			"Exit codes: 0 done, 1 some requests failed or it could not be done, 64 called wrongly.",
		Example: "  captop bench cp --reads 0.9 --duration 30s\n" +
			"  captop bench ap --rate 2000 --json --yes\n" +
			"  captop bench http://localhost:5001 --compare http://localhost:5002 --reads 0",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("bench takes one target, cp, ap or a URL, and was given %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0], std) },
	}
	flags := command.Flags()
	flags.Float64Var(&o.plan.Reads, "reads", 0.5, "share of reads, 0 to 1; the rest are writes")
	flags.IntVar(&o.plan.Keys, "keys", 15_000, "how many keys")
	flags.StringVar(&o.keys, "key-distribution", uniform, "uniform, or zipf: a few keys get most of the requests")
	flags.IntVar(&o.plan.ValueBytes, "value-bytes", 100, "size of each value that is written")
	flags.IntVar(&o.plan.Connections, "connections", 50, "how many connections, each with one request at a time")
	flags.Float64Var(&o.plan.Rate, "rate", 0, "requests a second over all connections; 0 is as fast as they are answered")
	flags.DurationVar(&o.plan.Duration, "duration", 10*time.Second, "how long")
	flags.Int64Var(&o.plan.Requests, "requests", 0, "how many requests at most; 0 is no bound")
	flags.DurationVar(&o.plan.Timeout, "timeout", 10*time.Second, "of one request")
	flags.StringVar(&o.compare, "compare", "", "another target (cp, ap or a URL), measured in turn: A B A B")
	flags.IntVar(&o.rounds, "rounds", 5, "with --compare: how often each is measured")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	flags.BoolVar(&o.yes, "yes", false, "do not ask")
	flags.BoolVar(&o.yesRemote, "yes-remote", false, "go to another host than those configured and this one, too")
	o.flags = bindOnly(flags, "cp", "ap", "targets", "token", "token_file")
	command.AddCommand(newSuiteCommand(std), newScaleCommand(std), newFloorCommand())
	return command
}

func (o benchOptions) run(ctx context.Context, name string, std streams) error {
	switch o.keys {
	case uniform, zipf:
		o.plan.Zipf = o.keys == zipf
	default:
		return fmt.Errorf("--key-distribution %q: give %s or %s", o.keys, uniform, zipf)
	}
	if err := o.plan.Check(); err != nil {
		return err
	}
	if o.rounds < 1 {
		return fmt.Errorf("--rounds %d: give 1 or more", o.rounds)
	}
	names := []string{name}
	if o.compare != "" {
		names = append(names, o.compare)
	}
	targets, err := o.targets(ctx, names)
	if err != nil {
		return err
	}
	if err := o.ask(targets, std); err != nil {
		return err
	}
	return failed(std, o.measure(ctx, targets, std))
}

// benchTarget is a target, and where it came from.
type benchTarget struct {
	bench.Target
	urls  []string
	token string
}

// targets finds what was named, and refuses hosts that nobody has agreed to.
func (o benchOptions) targets(ctx context.Context, names []string) ([]benchTarget, error) {
	settings, err := o.flags.settings()
	if err != nil {
		return nil, err
	}
	config, err := settings.probeConfig()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // what is found at the start is what is measured
	if err := settings.discover(ctx, &config); err != nil {
		return nil, err
	}
	var targets []benchTarget
	for _, name := range names {
		t := benchTarget{}
		for _, s := range config.Targets.Services {
			if name == string(s.Mode) || name == s.URL {
				t.urls, t.token = append(t.urls, s.URL), s.Token
			}
		}
		if len(t.urls) == 0 {
			if t, err = o.stranger(name, settings); err != nil {
				return nil, err
			}
		}
		if t.Target, err = bench.NewTarget(name, bench.Capd, t.token, t.urls...); err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// stranger is a target that no setting names.
func (o benchOptions) stranger(name string, s settings) (t benchTarget, err error) {
	if name == string(service.ModeCP) || name == string(service.ModeAP) {
		return t, fmt.Errorf("no instance of app_%s is known now; see --%[1]s and --targets", name)
	}
	if err := checkURL(name, "http://localhost:5001", "http", "https"); err != nil {
		return t, fmt.Errorf("%q is no target: give cp, ap, or the URL of a service: %w", name, err)
	}
	if !o.yesRemote && !onLoopback(name) {
		return t, fmt.Errorf("%s is neither this host nor configured (--cp, --ap): a load like this can take a service down. "+
			"If it is yours to measure, add --yes-remote", name)
	}
	t.urls = []string{name}
	// A token of the config file is for the services that the file names.
	if s.from["token"] == "--token" || s.from["token_file"] == "--token-file" {
		t.token, err = s.token()
	}
	return t, err
}

func onLoopback(address string) bool {
	parsed, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(parsed.Hostname())
	return parsed.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// ask says what will be done, and has somebody agree to it.
func (o benchOptions) ask(targets []benchTarget, std streams) error {
	if o.yes {
		return nil
	}
	where := make([]string, len(targets))
	for i, t := range targets {
		where[i] = fmt.Sprintf("%s (%s)", t.Name, strings.Join(t.urls, ", "))
		if len(t.urls) == 1 && t.urls[0] == t.Name {
			where[i] = t.Name
		}
	}
	p := o.plan
	text := fmt.Sprintf("This loads %s\nwith %d connections", strings.Join(where, " and "), p.Connections)
	if p.Rate > 0 {
		text += fmt.Sprintf(" and %.0f requests a second", p.Rate)
	}
	if p.Duration > 0 {
		text += fmt.Sprintf(", %s each time", p.Duration)
	}
	text += fmt.Sprintf(".\nIt writes up to %d keys named %s… with %d bytes each. They stay, on both nodes; no other key is touched.\n",
		p.Keys, bench.Prefix, p.ValueBytes)
	file, ok := std.in.(*os.File)
	if !ok || !isatty.IsTerminal(file.Fd()) {
		return errors.New(strings.TrimSpace(text) + "\nNobody is there to agree to that; add --yes")
	}
	if _, err := fmt.Fprint(std.err, text+"Type yes to go on: "); err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	answer, err := bufio.NewReader(std.in).ReadString('\n')
	if strings.TrimSpace(answer) != "yes" || err != nil {
		return errors.New("nothing was done")
	}
	return nil
}

// measure looks whether the targets can be measured, fills them where there is something to read, and measures.
func (o benchOptions) measure(ctx context.Context, targets []benchTarget, std streams) error {
	for _, t := range targets {
		if err := o.ready(ctx, t); err != nil {
			return err
		}
		if o.plan.Reads > 0 {
			filled, err := bench.Fill(ctx, t.Target, o.plan, bar(std.err, "writing keys of "+t.Name))
			if err != nil {
				return err
			}
			if filled.Failed > 0 {
				return fmt.Errorf("%s: %d of the %d keys could not be written (%s), so reads would not find them",
					t.Name, filled.Failed, o.plan.Keys, failureText(filled.Failures))
			}
		}
	}
	if len(targets) == 1 {
		result, err := bench.Run(ctx, targets[0].Target, o.plan, bar(std.err, targets[0].Name))
		if err != nil && result.Answered+result.Failed == 0 {
			return err
		}
		return errors.Join(o.print(std.out, result), err, complaint(result))
	}
	results := make([][]bench.Result, len(targets))
	for round := range o.rounds {
		for i, t := range targets {
			result, err := bench.Run(ctx, t.Target, o.plan, bar(std.err, fmt.Sprintf("round %d of %d, %s", round+1, o.rounds, t.Name)))
			if err != nil {
				return err
			}
			results[i] = append(results[i], result)
		}
	}
	return errors.Join(o.printComparison(std.out, results[0], results[1]), complaint(slices.Concat(results...)...))
}

// ready refuses what is not capd, what does not work now, and what does not take these writes.
func (o benchOptions) ready(ctx context.Context, t benchTarget) error {
	ctx, cancel := context.WithTimeout(ctx, o.plan.Timeout)
	defer cancel()
	for _, address := range t.urls {
		client := api.NewClient(address, t.token, nil)
		health, err := client.Health(ctx)
		if err != nil {
			return fmt.Errorf("looking at %s: %w", address, err)
		}
		if health.Status == api.StatusUnavailable || health.Status == api.StatusDraining {
			return fmt.Errorf("%s is %s: there is nothing to measure", address, health.Status)
		}
		if _, err := client.Write(ctx, bench.Prefix+"probe", nil); err != nil {
			return fmt.Errorf("%s takes no writes: %w", address, err)
		}
	}
	return nil
}

// complaint is an error where requests failed.
func complaint(results ...bench.Result) error {
	var requests, bad int64
	limited := false
	for _, r := range results {
		requests, bad = requests+r.Answered+r.Failed, bad+r.Failed
		for _, f := range r.Failures {
			limited = limited || f.Code == string(service.CodeRateLimited)
		}
	}
	switch {
	case bad == 0:
		return nil
	case limited:
		return fmt.Errorf("%d of %d requests failed; some hit RATE_LIMITS, so this measures the limit, not the service", bad, requests)
	}
	return fmt.Errorf("%d of %d requests failed", bad, requests)
}

// bar draws a progress bar on a terminal, in one line of 80 cells at most; elsewhere there is none.
func bar(w io.Writer, title string) func(bench.Progress) {
	file, ok := w.(*os.File)
	if !ok || !isatty.IsTerminal(file.Fd()) {
		return nil
	}
	return func(p bench.Progress) {
		const width, most = 20, 79
		done := int(p.Share * width)
		text := fmt.Sprintf("[%s%s] %3.0f %%  %.0f/s  p99 %s", strings.Repeat("#", done), strings.Repeat("-", width-done), 100*p.Share, p.Rate(), millis(p.P99))
		if p.Failed > 0 {
			text += fmt.Sprintf("  %d failed", p.Failed)
		}
		text += "  " + title
		if p.Share >= 1 {
			text = ""
		}
		fmt.Fprint(w, "\r\x1b[K"+text[:min(len(text), most)])
	}
}
