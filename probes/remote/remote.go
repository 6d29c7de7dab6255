// Package remote sees the services through a Prometheus, or what speaks its API, in place of scrapes of captop's own.
//
// What it finds becomes the Inputs that scrapes would have given, so everything behind them stays the same, and a
// recording replays them.
package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	prometheus "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"captop/probes"
)

// ErrAddress says that the address of a Prometheus cannot be used.
var ErrAddress = errors.New("no URL of a Prometheus; it looks like http://localhost:9090")

// The queries. A job is capd's where its series are, and up tells of those instances that have none now.
const (
	seriesQuery = `{__name__=~"app_.*|circuit_breaker_state|data_staleness_ms|db_connection_.*_total|node_reachable|replication_queue_depth|rejoin_.*|process_start_time_seconds"}`
	upQuery     = `up`
	timeQuery   = `timestamp(up)`
	jobsQuery   = `group by (job) (last_over_time(circuit_breaker_state[15m]))`
)

// defaultInterval is taken for the time between two scrapes where Prometheus cannot be asked.
const defaultInterval = 15 * time.Second

// Source is one Prometheus.
type Source struct {
	api     prometheus.API
	base    string
	header  string
	client  *http.Client
	now     func() time.Time
	scraped map[string]time.Time // by instance: the last scrape that was taken over
	names   []string             // of the instances that were told last

	warnings []string // of the last answers: what they lack
}

// New reads the address. User and password in it are sent as such; a password alone is a bearer token.
func New(address string, now func() time.Time) (*Source, error) {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return nil, ErrAddress
	}
	s := &Source{now: now, scraped: map[string]time.Time{}}
	s.base, s.header = probes.Credentials(address)
	s.client = &http.Client{Transport: authorized{s.header}}
	client, err := api.NewClient(api.Config{Address: s.base, Client: s.client})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAddress, err)
	}
	s.api = prometheus.NewAPI(client)
	return s, nil
}

// authorized adds a header to every request.
type authorized struct{ header string }

func (a authorized) RoundTrip(request *http.Request) (*http.Response, error) {
	if a.header != "" {
		request = request.Clone(request.Context())
		request.Header.Set("Authorization", a.header)
	}
	return http.DefaultTransport.RoundTrip(request)
}

// Name is the address without credentials.
func (s *Source) Name() string { return s.base }

// Interval gives the time between two scrapes of the services, as the last minutes show it; where they do not, what is
// usual.
func (s *Source) Interval(ctx context.Context) time.Duration {
	value, _, _, err := s.api.Query(ctx, `up[5m]`, s.now())
	matrix, ok := value.(model.Matrix)
	if err != nil || !ok {
		return defaultInterval
	}
	var gaps []time.Duration
	for _, series := range matrix {
		for i := 1; i < len(series.Values); i++ {
			gaps = append(gaps, series.Values[i].Timestamp.Time().Sub(series.Values[i-1].Timestamp.Time()))
		}
	}
	if len(gaps) == 0 {
		return defaultInterval
	}
	slices.Sort(gaps)
	return gaps[len(gaps)/2].Round(100 * time.Millisecond)
}

// Collect asks once, and gives what it learnt as Inputs: always one about Prometheus itself, then the instances where
// they have changed, those that were scraped since, and the rules with their alerts.
func (s *Source) Collect(ctx context.Context) []probes.Input {
	began := s.now()
	s.warnings = nil
	seen, err := s.look(ctx)
	inputs := []probes.Input{s.about(began, err)}
	if err == nil {
		inputs = append(inputs, s.targets(seen)...)
		inputs = append(inputs, s.scrapes(seen)...)
		var rules probes.Input
		rules, err = s.rules(ctx)
		inputs[0] = s.about(began, err)
		inputs = append(inputs, rules)
	}
	for i := range inputs {
		if inputs[i].At.IsZero() {
			inputs[i].At = s.now().Round(0)
		}
	}
	return inputs
}

// about tells how Prometheus fares.
func (s *Source) about(began time.Time, err error) probes.Input {
	in := probes.Input{Target: probes.RemoteTarget, Part: probes.PartSource, Fault: probes.Up, Took: s.now().Sub(began)}
	if err == nil {
		in.Error = strings.Join(s.warnings, "; ")
		return in
	}
	in.Error = err.Error()
	var answered *prometheus.Error
	switch {
	case errors.As(err, &answered) && strings.Contains(answered.Msg, "client error: 40"), errors.Is(err, errDenied):
		in.Fault = probes.Denied
	case errors.As(err, &answered), errors.Is(err, errNonsense):
		in.Fault = probes.Nonsense
	default:
		in.Fault = probes.FaultOf(err)
	}
	return in
}

// instance is what Prometheus says of one.
type instance struct {
	job, name string
	up        bool
	at        time.Time // of the last scrape
	series    model.Vector
}

// errNonsense: the answer is none of Prometheus; errDenied: it wants other credentials.
var (
	errNonsense = errors.New("this is no answer of a Prometheus")
	errDenied   = errors.New("it refuses the credentials")
)

// look asks for everything that is known of capd's instances.
func (s *Source) look(ctx context.Context) ([]*instance, error) {
	answers := map[string]model.Vector{}
	for _, query := range []string{jobsQuery, upQuery, timeQuery, seriesQuery} {
		value, warnings, _, err := s.api.Query(ctx, query, s.now())
		s.warnings = append(s.warnings, warnings...)
		if err != nil {
			return nil, fmt.Errorf("asking Prometheus: %w", withoutURL(err))
		}
		vector, ok := value.(model.Vector)
		if !ok {
			return nil, fmt.Errorf("asking Prometheus: %w", errNonsense)
		}
		answers[query] = vector
	}
	jobs := map[model.LabelValue]bool{}
	for _, sample := range answers[jobsQuery] {
		jobs[sample.Metric["job"]] = true
	}
	found := map[string]*instance{}
	for _, sample := range answers[upQuery] {
		if jobs[sample.Metric["job"]] {
			found[key(sample.Metric)] = &instance{job: string(sample.Metric["job"]), name: string(sample.Metric["instance"]), up: sample.Value == 1}
		}
	}
	for _, sample := range answers[timeQuery] {
		if i := found[key(sample.Metric)]; i != nil {
			seconds, fraction := math.Modf(float64(sample.Value))
			i.at = time.Unix(int64(seconds), int64(fraction*1e9)).UTC()
		}
	}
	for _, sample := range answers[seriesQuery] {
		if i := found[key(sample.Metric)]; i != nil {
			i.series = append(i.series, sample)
		}
	}
	var all []*instance
	for _, i := range found {
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b *instance) int { return strings.Compare(a.job+a.name, b.job+b.name) })
	return all, nil
}

func key(metric model.Metric) string {
	return string(metric["job"]) + "\x00" + string(metric["instance"])
}

// withoutURL drops the URL that net/url quotes with an error.
func withoutURL(err error) error {
	var quoted *url.Error
	if errors.As(err, &quoted) {
		return quoted.Err
	}
	return err
}

// maxRules bounds what is read of the rules, in bytes.
const maxRules = 32 << 20

// rules asks for rules and alerts, as they are.
func (s *Source) rules(ctx context.Context) (probes.Input, error) {
	in := probes.Input{Target: probes.RemoteTarget, Part: probes.PartRemoteRules, Fault: probes.Up}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/api/v1/rules?type=alert", nil)
	if err != nil {
		return in, ErrAddress
	}
	response, err := s.client.Do(request)
	if err != nil {
		in.Fault, in.Error = probes.FaultOf(err), withoutURL(err).Error()
		return in, fmt.Errorf("asking Prometheus for its rules: %w", withoutURL(err))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxRules))
	in.Status, in.Body = response.StatusCode, string(body)
	switch {
	case err != nil:
	case response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden:
		err = errDenied
	case response.StatusCode != http.StatusOK:
		err = fmt.Errorf("%w: HTTP %d", errNonsense, response.StatusCode)
	}
	if err != nil {
		return in, fmt.Errorf("asking Prometheus for its rules: %w", err)
	}
	return in, nil
}
