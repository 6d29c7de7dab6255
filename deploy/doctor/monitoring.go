package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

func monitoringChecks() []check {
	return []check{
		{Line{"scrape", "monitoring", "Every instance is scraped, each one by itself",
			"what is not scraped cannot alert, and a balancer hides the instance that is broken"}, lookScrape},
		{Line{"rules-loaded", "monitoring", "Prometheus has loaded the very rules of deploy/prometheus/alerts.yml",
			"an alert that is not loaded, or has another limit, does not wake anybody"}, lookRules},
		{Line{"alertmanager", "monitoring", "Alertmanager is reached by Prometheus, and tells a person",
			"an alert that reaches nobody is a line on a screen that nobody watches"}, lookAlertmanager},
	}
}

// howToMonitor makes Prometheus or Alertmanager visible. A swarm's stack has neither.
func (r *round) howToMonitor(name string) string {
	named := "captop doctor monitoring --" + name + " URL"
	if r.eyes.Targets.Stack != "" {
		return named
	}
	return r.compose("--profile monitoring up -d") + ", or " + named
}

// rereadBy is how a part of the monitoring reads its files again.
func (r *round) rereadBy(name string) string {
	if r.eyes.Targets.Stack != "" {
		return "pkill -HUP " + name + " where it runs"
	}
	return r.compose("kill -s HUP " + name)
}

// address is where a service of the monitoring is: as named, or where its container is.
func (r *round) address(ctx context.Context, named, service, port string) (string, error) {
	if named != "" {
		return strings.TrimRight(named, "/"), nil
	}
	units, err := r.units(ctx)
	if err != nil {
		return "", err
	}
	for _, u := range units {
		if u.Service == service && u.Address != "" {
			return "http://" + u.Address + ":" + port, nil
		}
	}
	return "", fmt.Errorf("no %s was named, and none runs in the stack", service)
}

// ask gets JSON, and refuses everything that is none.
func (r *round) ask(ctx context.Context, address string, into any) error {
	answer, err := r.get(ctx, address)
	switch {
	case err != nil:
		return err
	case answer.Status != http.StatusOK:
		return fmt.Errorf("it answers %d", answer.Status)
	}
	if err := json.Unmarshal(answer.Body, into); err != nil {
		return errors.New("its answer is no JSON of the kind that was asked for")
	}
	return nil
}

func lookScrape(ctx context.Context, r *round, v *verdict) {
	running := map[string]int{}
	r.each(ctx, v, services, func(u Unit) { running[u.Service]++ })
	base, err := r.address(ctx, r.eyes.Targets.Prometheus, "prometheus", "9090")
	if err != nil {
		r.lookPolls(ctx, v, running)
		return
	}
	var answer struct {
		Data struct {
			Targets []struct {
				Labels    map[string]string `json:"labels"`
				Health    string            `json:"health"`
				LastError string            `json:"lastError"`
			} `json:"activeTargets"`
		} `json:"data"`
	}
	if err := r.ask(ctx, base+"/api/v1/targets?state=active", &answer); err != nil {
		v.cannot(r.howToMonitor("prometheus"), "Prometheus at %s: %v", base, err)
		return
	}
	up := map[string]int{}
	for _, target := range answer.Data.Targets {
		job := target.Labels["job"]
		switch {
		case !slices.Contains(services, job):
		case target.Health == "up":
			up[job]++
		case target.Health == "down":
			v.fail("curl -s "+base+"/api/v1/targets, and deploy/runbooks/target-down.md", "Prometheus: %s at %s is down: %s", job, target.Labels["instance"], target.LastError)
		default:
			v.cannot("captop doctor scrape, in a minute", "Prometheus has not scraped %s at %s yet", job, target.Labels["instance"])
		}
	}
	for _, job := range services {
		v.expect(up[job] > 0 && up[job] >= running[job], "let Prometheus discover every instance: deploy/prometheus/prometheus.yml", "Prometheus scrapes %d of %d instances of %s", up[job], running[job], job)
	}
}

// lookPolls judges captop's own scrapes, where there is no Prometheus.
func (r *round) lookPolls(ctx context.Context, v *verdict, running map[string]int) {
	if r.eyes.Polls == nil {
		v.cannot(r.howToMonitor("prometheus"), "there is no Prometheus, and captop does not poll")
		return
	}
	polled, err := r.eyes.Polls(ctx)
	if err != nil {
		v.cannot(r.howToMonitor("prometheus"), "there is no Prometheus, and captop cannot poll: %v", err)
		return
	}
	scraped := map[string]int{}
	for _, p := range polled {
		if p.Up && p.Scraped {
			scraped[p.Service]++
		} else {
			v.fail("captop --once", "captop gets no metrics of %s %s", p.Service, p.Instance)
		}
	}
	for _, job := range services {
		v.expect(scraped[job] > 0 && scraped[job] >= running[job], "captop doctor scrape --targets FILE with every instance", "captop scrapes %d of %d instances of %s", scraped[job], running[job], job)
	}
}

// rule is an alerting rule, in a form in which equal rules are equal.
type rule struct {
	expr        string
	held, kept  time.Duration // for and keep_firing_for
	labels      string
	annotations string
}

// shipped reads the rules of a file by name.
func shipped(text []byte) (map[string]rule, error) {
	groups, problems := rulefmt.Parse(text, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(problems) > 0 {
		return nil, problems[0]
	}
	rules := map[string]rule{}
	for _, group := range groups.Groups {
		for _, r := range group.Rules {
			expr, err := canonical(r.Expr)
			if err != nil {
				return nil, err
			}
			rules[r.Alert] = rule{expr, time.Duration(r.For), time.Duration(r.KeepFiringFor), sorted(r.Labels), sorted(r.Annotations)}
		}
	}
	return rules, nil
}

// canonical writes an expression as our own parser does: two versions of Prometheus do not write alike.
func canonical(expr string) (string, error) {
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		return "", err
	}
	return parsed.String(), nil
}

func sorted(set map[string]string) string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(set)) {
		fmt.Fprintf(&out, "%s=%q ", name, set[name])
	}
	return out.String()
}

func lookRules(ctx context.Context, r *round, v *verdict) {
	fix := "cp deploy/prometheus/alerts.yml to where rule_files points, then " + r.rereadBy("prometheus")
	wanted, err := shipped(r.eyes.Targets.Rules)
	if err != nil || len(wanted) == 0 {
		v.cannot("captop doctor rules-loaded --rules FILE", "the rules to compare with cannot be read: %v", err)
		return
	}
	base, err := r.address(ctx, r.eyes.Targets.Prometheus, "prometheus", "9090")
	if err != nil {
		v.cannot(r.howToMonitor("prometheus"), "%v", err)
		return
	}
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct {
					Name        string            `json:"name"`
					Query       string            `json:"query"`
					Duration    float64           `json:"duration"`
					Kept        float64           `json:"keepFiringFor"`
					Labels      map[string]string `json:"labels"`
					Annotations map[string]string `json:"annotations"`
					Health      string            `json:"health"`
				} `json:"rules"`
			} `json:"groups"`
		} `json:"data"`
	}
	if err := r.ask(ctx, base+"/api/v1/rules?type=alert", &answer); err != nil {
		v.cannot(r.howToMonitor("prometheus"), "Prometheus at %s: %v", base, err)
		return
	}
	loaded := map[string]bool{}
	for _, group := range answer.Data.Groups {
		for _, l := range group.Rules {
			want, ours := wanted[l.Name]
			if !ours {
				continue
			}
			loaded[l.Name] = true
			expr, err := canonical(l.Query)
			got := rule{expr, seconds(l.Duration), seconds(l.Kept), sorted(l.Labels), sorted(l.Annotations)}
			switch {
			case err != nil:
				v.cannot("", "%s: Prometheus has an expression that cannot be read: %v", l.Name, err)
			case got != want:
				v.fail(fix, "%s is loaded, and is another one than shipped%s", l.Name, difference(got, want))
			case l.Health == "err":
				v.fail(fix, "%s is loaded, and cannot be evaluated", l.Name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if !loaded[name] {
			v.fail(fix, "%s is not loaded", name)
		}
	}
	if len(v.findings) == 0 {
		v.pass("all %d alerts are loaded as they were shipped", len(wanted))
	}
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

func difference(got, want rule) string {
	switch {
	case got.expr != want.expr:
		return ": the expression is " + got.expr
	case got.held != want.held:
		return fmt.Sprintf(": for is %s, and %s in the file", got.held, want.held)
	case got.kept != want.kept:
		return fmt.Sprintf(": keep_firing_for is %s, and %s in the file", got.kept, want.kept)
	case got.labels != want.labels:
		return ": the labels are " + got.labels
	}
	return ": the annotations differ"
}

func lookAlertmanager(ctx context.Context, r *round, v *verdict) {
	base, err := r.address(ctx, r.eyes.Targets.Alertmanager, "alertmanager", "9093")
	if err != nil {
		v.cannot(r.howToMonitor("alertmanager"), "%v", err)
		return
	}
	var status struct {
		Config struct {
			Original string `json:"original"`
		} `json:"config"`
	}
	if err := r.ask(ctx, base+"/api/v2/status", &status); err != nil {
		v.cannot(r.howToMonitor("alertmanager"), "Alertmanager at %s: %v", base, err)
		return
	}
	r.judgeRoute(v, status.Config.Original)
	prometheus, err := r.address(ctx, r.eyes.Targets.Prometheus, "prometheus", "9090")
	if err != nil {
		v.cannot(r.howToMonitor("prometheus"), "whether anybody sends alerts there cannot be told: %v", err)
		return
	}
	var known struct {
		Data struct {
			Active []struct {
				URL string `json:"url"`
			} `json:"activeAlertmanagers"`
		} `json:"data"`
	}
	if err := r.ask(ctx, prometheus+"/api/v1/alertmanagers", &known); err != nil {
		v.cannot(r.howToMonitor("prometheus"), "Prometheus at %s: %v", prometheus, err)
		return
	}
	v.expect(len(known.Data.Active) > 0, "alerting: in deploy/prometheus/prometheus.yml, then "+r.rereadBy("prometheus"), "Prometheus sends its alerts to %d Alertmanagers", len(known.Data.Active))
}

// judgeRoute passes where the alerts that no other route takes reach a receiver that does something.
func (r *round) judgeRoute(v *verdict, text string) {
	fix := "give the receiver of the first route in alertmanager.yml an address: webhook_configs, email_configs, pagerduty_configs; then " + r.rereadBy("alertmanager")
	var config struct {
		Route struct {
			Receiver string `yaml:"receiver"`
		} `yaml:"route"`
		Receivers []map[string]any `yaml:"receivers"`
	}
	if err := yaml.Unmarshal([]byte(text), &config); err != nil || config.Route.Receiver == "" {
		v.cannot(r.howToMonitor("alertmanager"), "Alertmanager shows no configuration with a route")
		return
	}
	for _, receiver := range config.Receivers {
		if receiver["name"] != config.Route.Receiver {
			continue
		}
		var ways []string
		for key, value := range receiver {
			if entries, ok := value.([]any); ok && strings.HasSuffix(key, "_configs") && len(entries) > 0 {
				ways = append(ways, strings.TrimSuffix(key, "_configs"))
			}
		}
		slices.Sort(ways)
		v.expect(len(ways) > 0, fix, "alerts go to %q, which tells %s", config.Route.Receiver, orText(list(ways), "nobody"))
		return
	}
	v.fail(fix, "alerts go to %q, which is no receiver", config.Route.Receiver)
}
