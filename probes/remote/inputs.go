package remote

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"captop/probes"
	"captop/service"
	"captop/service/api"
)

// targets tells of the instances where they have changed since the last time.
func (s *Source) targets(seen []*instance) []probes.Input {
	var services []probes.ServiceTarget
	var names []string
	for _, i := range seen {
		services = append(services, probes.ServiceTarget{Name: i.target(), Mode: i.mode(), URL: "http://" + i.name})
		names = append(names, i.target()+string(i.mode()))
	}
	if slices.Equal(names, s.names) {
		return nil
	}
	s.names = names
	return []probes.Input{probes.TargetsInput(services)}
}

// target is the name of an instance on the screen.
func (i *instance) target() string { return "app_" + string(i.mode()) + "@" + i.name }

// mode is what the instance says that it is; where it says nothing now, what its job's name says.
func (i *instance) mode() service.Mode {
	for _, sample := range i.series {
		if mode := service.Mode(sample.Metric["mode"]); mode == service.ModeCP || mode == service.ModeAP {
			return mode
		}
	}
	if strings.Contains(i.job, string(service.ModeCP)) {
		return service.ModeCP
	}
	return service.ModeAP
}

// scrapes makes of each scrape that is new the answers that captop would have got itself.
func (s *Source) scrapes(seen []*instance) []probes.Input {
	var inputs []probes.Input
	for _, i := range seen {
		if !i.at.After(s.scraped[i.target()]) {
			continue
		}
		s.scraped[i.target()] = i.at
		for _, part := range []probes.Part{probes.PartHealth, probes.PartBreakers, probes.PartMetrics} {
			in := probes.Input{At: i.at, Target: i.target(), Part: part, Fault: probes.Up, Status: http.StatusOK}
			if !i.up {
				in.Fault, in.Status, in.Error = probes.Down, 0, "Prometheus cannot scrape it"
			} else {
				in.Body = i.body(part)
			}
			inputs = append(inputs, in)
		}
	}
	return inputs
}

func (i *instance) body(part probes.Part) string {
	var body any
	switch part {
	case probes.PartMetrics:
		return i.page()
	case probes.PartHealth:
		body = i.health()
	default:
		body = i.breakers()
	}
	text, err := json.Marshal(body)
	if err != nil {
		return "" // which is no health body, and said to be none
	}
	return string(text)
}

// page writes the series as the instance does. Job and instance are what captop gives them itself.
func (i *instance) page() string {
	var page strings.Builder
	for _, sample := range i.series {
		metric := sample.Metric.Clone()
		delete(metric, "job")
		delete(metric, "instance")
		fmt.Fprintf(&page, "%s %s\n", exposed(metric), sample.Value)
	}
	return page.String()
}

// exposed writes a series with its labels in order, as the text format has them.
func exposed(metric model.Metric) string {
	var labels []string
	for name, value := range metric {
		if name != model.MetricNameLabel {
			labels = append(labels, fmt.Sprintf("%s=%q", name, string(value)))
		}
	}
	slices.Sort(labels)
	return string(metric[model.MetricNameLabel]) + "{" + strings.Join(labels, ",") + "}"
}

// value gives one series' value; node is "" for one without that label.
func (i *instance) value(name, node string) float64 {
	for _, sample := range i.series {
		if string(sample.Metric[model.MetricNameLabel]) == name && string(sample.Metric["node"]) == node {
			return float64(sample.Value)
		}
	}
	return 0
}

func (i *instance) label(name, label model.LabelName) string {
	for _, sample := range i.series {
		if sample.Metric[model.MetricNameLabel] == model.LabelValue(name) {
			return string(sample.Metric[label])
		}
	}
	return ""
}

// health is what the metrics say of what the health body has. Since when is not among it.
func (i *instance) health() api.HealthBody {
	body := api.HealthBody{Status: api.StatusOK, Mode: i.mode(), Instance: i.label("app_build_info", "exported_instance"),
		Version: i.label("app_build_info", "version"), Draining: i.value("app_draining", "") == 1,
		MaxStalenessMS: int64(i.value("app_max_staleness_ms", ""))}
	if start := i.value("process_start_time_seconds", ""); start > 0 {
		body.UptimeSeconds = i.at.Sub(time.UnixMilli(int64(start * 1000))).Seconds()
	}
	away := 0
	for _, name := range []string{service.G1, service.G2} {
		node := api.NodeBody{Name: name, Reachable: i.value("node_reachable", name) == 1, Breaker: i.breaker(name).String(),
			StalenessMS: int64(i.value("data_staleness_ms", name)), QueueDepth: int64(i.value("replication_queue_depth", name)),
			Rejoin: api.RejoinBody{Active: i.value("rejoin_active", name) == 1, Done: int64(i.value("rejoin_keys_done", name)),
				Total: int64(i.value("rejoin_keys_total", name))}}
		if !node.Reachable {
			away++
		}
		if away > 0 || node.Rejoin.Active || i.breaker(name) != service.BreakerClosed {
			body.Status = api.StatusDegraded
		}
		body.Nodes = append(body.Nodes, node)
	}
	if away == len(body.Nodes) {
		body.Status = api.StatusUnavailable
	}
	if body.Draining {
		body.Status = api.StatusDraining
	}
	return body
}

func (i *instance) breaker(node string) service.BreakerState {
	return service.BreakerState(i.value("circuit_breaker_state", node))
}

func (i *instance) breakers() api.BreakersBody {
	body := api.BreakersBody{Mode: i.mode(), Instance: i.name}
	for _, node := range []string{service.G1, service.G2} {
		body.Breakers = append(body.Breakers, api.BreakerBody{Node: node, State: i.breaker(node).String()})
	}
	return body
}
