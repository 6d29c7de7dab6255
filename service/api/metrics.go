package api

import (
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

	"captop/service"
)

// latencyBuckets are upper bounds in seconds. 0.5 is there because alert rules compare with it.
var latencyBuckets = []float64{.0005, .001, .002, .003, .005, .0075, .01, .015, .025, .05, .075, .1, .15, .25, .35,
	.5, .75, 1, 1.5, 2, 2.5, 5, 10}

// metrics are what one instance counts, in a registry of its own.
type metrics struct {
	registry     *prometheus.Registry
	mode         string
	requests     *prometheus.CounterVec
	latency      *prometheus.HistogramVec
	answers      [2]answered // of reads and writes
	inFlight     prometheus.Gauge
	cached       prometheus.Counter
	rateLimited  prometheus.Counter
	authFailures prometheus.Counter
}

// answered are the metrics of one kind of operation. Looking a series up by its labels costs more than counting in it.
type answered struct {
	latency  prometheus.Observer
	byStatus sync.Map // status, an int: prometheus.Counter
}

func newMetrics(store service.Store, options Options, draining func() bool) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		mode:     string(options.Mode),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "app_requests_total",
			Help: "Reads and writes answered, by HTTP status."}, []string{"mode", "operation", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "app_request_latency_seconds",
			Help: "Time from a request's headers to its answer.", Buckets: latencyBuckets}, []string{"mode", "operation"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "app_requests_in_flight",
			Help: "Requests being answered now, on every route."}),
		cached: prometheus.NewCounter(prometheus.CounterOpts{Name: "app_cached_reads_total",
			Help: "Reads answered from the instance's own memory (AP_CACHE_MS)."}),
		rateLimited: prometheus.NewCounter(prometheus.CounterOpts{Name: "app_rate_limited_total",
			Help: "Reads and writes refused by a rate limit."}),
		authFailures: prometheus.NewCounter(prometheus.CounterOpts{Name: "app_auth_failures_total",
			Help: "Reads and writes refused for want of a valid token or of a sufficient role."}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "app_build_info", Help: "Always 1.",
		ConstLabels: prometheus.Labels{"version": options.Version, "goversion": runtime.Version(),
			"mode": string(options.Mode), "instance": options.Instance}})
	info.Set(1)
	staleness := prometheus.NewGauge(prometheus.GaugeOpts{Name: "app_max_staleness_ms",
		Help: "MAX_STALENESS_MS: reads further behind are marked stale."})
	staleness.Set(float64(options.MaxStaleness.Milliseconds()))
	drain := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "app_draining",
		Help: "1 while the instance is stopping."}, func() float64 { return number(draining()) })

	m.registry.MustRegister(m.requests, m.latency, m.inFlight, m.cached, m.rateLimited, m.authFailures, info, staleness, drain,
		newNodeCollector(store), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// Present from the start, so that a rate has two samples before the first failure.
	for _, operation := range []kind{read, write} {
		m.of(operation).latency = m.latency.WithLabelValues(m.mode, string(operation))
		m.requests.WithLabelValues(m.mode, string(operation), "200")
		m.requests.WithLabelValues(m.mode, string(operation), "503")
	}
	return m
}

func (m *metrics) handler() fasthttp.RequestHandler {
	return fasthttpadaptor.NewFastHTTPHandler(promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry}))
}

func (m *metrics) observe(operation kind, status int, took time.Duration) {
	answered := m.of(operation)
	answered.latency.Observe(took.Seconds())
	counter, known := answered.byStatus.Load(status)
	if !known {
		counter, _ = answered.byStatus.LoadOrStore(status, m.requests.WithLabelValues(m.mode, string(operation), strconv.Itoa(status)))
	}
	counter.(prometheus.Counter).Inc()
}

func (m *metrics) of(operation kind) *answered {
	if operation == read {
		return &m.answers[0]
	}
	return &m.answers[1]
}

// nodeMetric is one metric with a label node, read from a NodeState when it is scraped.
type nodeMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(service.NodeState) float64
}

type nodeCollector struct {
	store   service.Store
	metrics []nodeMetric
}

func newNodeCollector(store service.Store) *nodeCollector {
	c := &nodeCollector{store: store}
	add := func(name, help string, kind prometheus.ValueType, value func(service.NodeState) float64) {
		c.metrics = append(c.metrics, nodeMetric{prometheus.NewDesc(name, help, []string{"node"}, nil), kind, value})
	}
	add("circuit_breaker_state", "0 CLOSED, 1 HALF_OPEN, 2 OPEN.", prometheus.GaugeValue,
		func(s service.NodeState) float64 { return float64(s.Breaker.State) })
	add("data_staleness_ms", "Upper bound of how far the node is behind.", prometheus.GaugeValue,
		func(s service.NodeState) float64 { return float64(s.Staleness.Milliseconds()) })
	add("db_connection_failures_total", "Contacts that found no connection or got no answer.", prometheus.CounterValue,
		func(s service.NodeState) float64 { return float64(s.Failures) })
	add("db_connection_attempts_total", "Contacts tried.", prometheus.CounterValue,
		func(s service.NodeState) float64 { return float64(s.Attempts) })
	add("node_reachable", "1 if the last contact succeeded.", prometheus.GaugeValue,
		func(s service.NodeState) float64 { return number(s.Reachable) })
	add("replication_queue_depth", "Writes that the node still lacks (AP), keys in doubt at the head (CP).",
		prometheus.GaugeValue, func(s service.NodeState) float64 { return float64(s.QueueDepth) })
	add("rejoin_active", "1 while the node is settled with its peer before it is believed.", prometheus.GaugeValue,
		func(s service.NodeState) float64 { return number(s.Rejoin.Active) })
	add("rejoin_keys_done", "Keys settled so far.", prometheus.GaugeValue,
		func(s service.NodeState) float64 { return float64(s.Rejoin.Done) })
	add("rejoin_keys_total", "Keys to settle; 0 while unknown.", prometheus.GaugeValue,
		func(s service.NodeState) float64 { return float64(s.Rejoin.Total) })
	return c
}

// Describe implements prometheus.Collector.
func (c *nodeCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, metric := range c.metrics {
		descs <- metric.desc
	}
}

// Collect implements prometheus.Collector.
func (c *nodeCollector) Collect(values chan<- prometheus.Metric) {
	for _, state := range c.store.Nodes() {
		for _, metric := range c.metrics {
			values <- prometheus.MustNewConstMetric(metric.desc, metric.kind, metric.value(state), state.Name)
		}
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
