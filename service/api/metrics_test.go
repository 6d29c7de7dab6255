package api_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"captop/service"
)

// scrape gets the metrics of the instance at addr.
func scrape(t *testing.T, addr string) map[string]*dto.MetricFamily {
	t.Helper()
	response, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

func inFlight(t *testing.T, addr string) int {
	t.Helper()
	return int(scrape(t, addr)["app_requests_in_flight"].Metric[0].GetGauge().GetValue())
}

// sample finds the sample of a family with these labels (name=value), and fails the test without one.
func sample(t *testing.T, families map[string]*dto.MetricFamily, name string, labels ...string) *dto.Metric {
	t.Helper()
	for _, metric := range families[name].GetMetric() {
		var has []string
		for _, label := range metric.Label {
			has = append(has, label.GetName()+"="+label.GetValue())
		}
		if strings.Join(has, ",") == strings.Join(labels, ",") {
			return metric
		}
	}
	t.Fatalf("no sample %s%v in %v", name, labels, families[name])
	return nil
}

func TestMetrics(t *testing.T) {
	store := newFakeStore()
	store.states[1] = service.NodeState{Name: service.G2, Staleness: 1500 * time.Millisecond, QueueDepth: 7, Attempts: 20,
		Failures: 3, Breaker: service.Breaker{State: service.BreakerHalfOpen},
		Rejoin: service.Rejoin{Active: true, Done: 4, Total: 9}}
	addr, _ := serve(t, store, testOptions(io.Discard))
	for range 3 {
		send(t, "POST", "http://"+addr+"/write/k/v", nil, nil)
	}
	send(t, "GET", "http://"+addr+"/read/nobody", nil, nil)
	send(t, "GET", "http://"+addr+"/health", nil, nil)
	families := scrape(t, addr)

	if got := sample(t, families, "app_requests_total", "mode=cp", "operation=write", "status=200").Counter.GetValue(); got != 3 {
		t.Errorf("writes: %v", got)
	}
	if got := sample(t, families, "app_requests_total", "mode=cp", "operation=read", "status=404").Counter.GetValue(); got != 1 {
		t.Errorf("reads: %v", got)
	}
	histogram := sample(t, families, "app_request_latency_seconds", "mode=cp", "operation=write").Histogram
	bounds := map[float64]bool{}
	for _, bucket := range histogram.Bucket {
		bounds[bucket.GetUpperBound()] = true
	}
	if histogram.GetSampleCount() != 3 || !bounds[0.5] || !bounds[0.0005] || !bounds[10] {
		t.Errorf("latency: %v", histogram)
	}
	for name, want := range map[string]float64{"circuit_breaker_state": 1, "data_staleness_ms": 1500,
		"replication_queue_depth": 7, "rejoin_active": 1, "rejoin_keys_done": 4, "rejoin_keys_total": 9, "node_reachable": 0} {
		if got := sample(t, families, name, "node=db_g2").Gauge.GetValue(); got != want {
			t.Errorf("%s: %v, wanted %v", name, got, want)
		}
	}
	for name, want := range map[string]float64{"db_connection_failures_total": 3, "db_connection_attempts_total": 20} {
		if got := sample(t, families, name, "node=db_g2").Counter.GetValue(); got != want {
			t.Errorf("%s: %v, wanted %v", name, got, want)
		}
	}
	if got := sample(t, families, "app_max_staleness_ms").Gauge.GetValue(); got != 5000 {
		t.Errorf("app_max_staleness_ms: %v", got)
	}
	for _, name := range []string{"app_draining", "app_rate_limited_total", "app_auth_failures_total", "app_build_info",
		"go_goroutines", "process_open_fds"} {
		if families[name] == nil {
			t.Errorf("no %s", name)
		}
	}
}
