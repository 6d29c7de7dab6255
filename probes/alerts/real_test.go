//go:build long

package alerts

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"captop/service/node/nodetest"
)

// TestARealPrometheusComesToTheSame lets captop's engine and a Prometheus of the same version scrape the real services,
// each on its own, while nodes die and services hang. After each blow both have to come to the same alerts. Building the
// Prometheus takes minutes, so the test has a tag: go test -tags long -timeout 30m -run RealPrometheus ./probes/alerts
func TestARealPrometheusComesToTheSame(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	capd := filepath.Join(t.TempDir(), "capd")
	if output, err := exec.Command("go", "build", "-o", capd, "captop/cmd/capd").CombinedOutput(); err != nil {
		t.Fatalf("building capd: %v\n%s", err, output)
	}
	w := &watched{t: t, targets: map[string]string{}}
	cp := w.service(capd, "app_cp", g1, g2)
	w.service(capd, "app_ap", g1, g2)
	w.start(hastened(t))

	w.until("all is well", func(firing map[string]int) bool { return firing["TargetDown"] == 0 && firing["BackupTooOld"] == 0 })
	g2.Kill()
	w.until("db_g2 is dead", func(firing map[string]int) bool { return firing["CircuitBreakerOpen"] >= 2 })
	if err := cp.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w.until("app_cp hangs", func(firing map[string]int) bool { return firing["TargetDown"] == 1 && firing["ServiceDown"] == 1 })
	g2.Restart()
	if err := cp.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	w.until("all is well again", func(firing map[string]int) bool {
		return firing["TargetDown"] == 0 && firing["CircuitBreakerOpen"] == 0 && firing["StalenessHigh"] == 0
	})
}

// hastened are the shipped rules, which fire sooner, or the test would take an hour.
func hastened(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("../../deploy/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`for: \d+[ms]`).ReplaceAll(text, []byte("for: 5s"))
}

// watched are the services, captop's engine and the Prometheus.
type watched struct {
	t          *testing.T
	targets    map[string]string // job by address
	engine     *Engine
	prometheus string // URL
}

// address gives a free one.
func address(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// run starts a command that ends with the test.
func (w *watched) run(command *exec.Cmd) *os.Process {
	w.t.Helper()
	if err := command.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	return command.Process
}

func (w *watched) service(binary, job string, g1, g2 *nodetest.Server) *os.Process {
	w.t.Helper()
	addr := address(w.t)
	daemon := exec.Command(binary, "--mode", strings.TrimPrefix(job, "app_"))
	daemon.Env = append(os.Environ(), "LISTEN_ADDR="+addr, "DB_G1_URL="+g1.URL(), "DB_G2_URL="+g2.URL())
	w.targets[addr] = job
	return w.run(daemon)
}

// start begins to watch with both.
func (w *watched) start(text []byte) {
	w.t.Helper()
	rules, err := Parse("alerts.yml", text)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.engine, err = New(rules, Options{}); err != nil {
		w.t.Fatal(err)
	}
	binary, err := buildPrometheus("prometheus")
	if err != nil {
		w.t.Fatalf("building Prometheus: %v", err)
	}
	dir, addr := w.t.TempDir(), address(w.t)
	config := "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files: [alerts.yml]\nscrape_configs:\n"
	for target, job := range w.targets {
		config += fmt.Sprintf("- {job_name: %s, static_configs: [{targets: ['%s']}]}\n", job, target)
	}
	for name, text := range map[string][]byte{"alerts.yml": text, "prometheus.yml": []byte(config)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	w.prometheus = "http://" + addr
	w.run(exec.Command(binary, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--web.listen-address="+addr,
		"--storage.tsdb.path="+filepath.Join(dir, "data")))
}

// scrape asks every service once, and evaluates.
func (w *watched) scrape() {
	client := http.Client{Timeout: time.Second}
	for target, job := range w.targets {
		of := map[string]string{"job": job, "instance": target}
		answer, err := client.Get("http://" + target + "/metrics")
		if err != nil {
			w.engine.Lost(of, time.Now())
			continue
		}
		page, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			w.engine.Lost(of, time.Now())
			continue
		}
		if err := w.engine.Ingest(of, string(page), time.Now(), nil); err != nil {
			w.t.Fatal(err)
		}
	}
	w.engine.Evaluate(time.Now())
}

// until scrapes once a second until a condition holds of captop's alerts, and Prometheus has the same ones three times
// in a row.
func (w *watched) until(what string, holds func(firing map[string]int) bool) {
	w.t.Helper()
	var own, other []string
	same := 0
	for limit := time.Now().Add(5 * time.Minute); time.Now().Before(limit); time.Sleep(time.Second) {
		w.scrape()
		var firing map[string]int
		own, firing = w.own()
		other = w.other()
		if same++; !holds(firing) || !slices.Equal(own, other) {
			same = 0
		}
		if same == 3 {
			w.t.Logf("%s: both have\n%s", what, strings.Join(own, "\n"))
			return
		}
	}
	w.t.Fatalf("%s: captop has\n%s\nand Prometheus\n%s", what, strings.Join(own, "\n"), strings.Join(other, "\n"))
}

func (w *watched) own() (all []string, firing map[string]int) {
	firing = map[string]int{}
	for _, rule := range w.engine.Rules() {
		if rule.Error != "" {
			w.t.Fatalf("%s: %s", rule.Name, rule.Error)
		}
		for _, alert := range rule.Alerts {
			if alert.State == Inactive {
				continue
			}
			all = append(all, alert.State.String()+" "+selectorOf(alert.Labels))
			if alert.State == Firing {
				firing[rule.Name]++
			}
		}
	}
	slices.Sort(all)
	return all, firing
}

// other are the alerts of the Prometheus; none while it starts.
func (w *watched) other() []string {
	answer, err := http.Get(w.prometheus + "/api/v1/alerts")
	if err != nil {
		return []string{err.Error()}
	}
	defer answer.Body.Close()
	var body struct {
		Data struct {
			Alerts []struct {
				Labels map[string]string
				State  string
			}
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
		return []string{err.Error()}
	}
	var all []string
	for _, alert := range body.Data.Alerts {
		all = append(all, alert.State+" "+selectorOf(maps.Clone(alert.Labels)))
	}
	slices.Sort(all)
	return all
}
