package sight

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"captop/deploy/doctor"
	"captop/service/node/nodetest"
)

// edge is a listener with TLS as an edge has it.
func edge(t *testing.T, config *tls.Config, header http.Header) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	server.TLS = config
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// noProject is one that is not, so that what else runs on the engine is not looked at.
const noProject = "captop-no-such-project"

var hsts = http.Header{"Strict-Transport-Security": {"max-age=31536000"}}

func TestEdges(t *testing.T) {
	ca := newAuthority(t)
	good, _, _ := ca.issue(t, time.Now().AddDate(0, 3, 0))
	expired, _, _ := ca.issue(t, time.Now().Add(-time.Hour))
	soon, _, _ := ca.issue(t, time.Now().Add(24*time.Hour))
	stranger, _, _ := newAuthority(t).issue(t, time.Now().AddDate(0, 3, 0))
	with := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }))
	t.Cleanup(plain.Close)
	secure := edge(t, with(good), hsts)
	moved := httptest.NewServer(http.RedirectHandler(secure+"/health", http.StatusPermanentRedirect))
	t.Cleanup(moved.Close)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })

	tlsChecks := []string{"tls-certificate", "tls-protocol", "tls-hsts", "tls-redirect"}
	for name, c := range map[string]struct {
		edge   string
		wanted map[string]doctor.Outcome
		says   string
	}{
		"good":       {secure, all(doctor.Pass, tlsChecks...), ""},
		"redirects":  {moved.URL, all(doctor.Pass, tlsChecks...), ""},
		"plain":      {plain.URL, all(doctor.Fail, tlsChecks...), "in the clear"},
		"expired":    {edge(t, with(expired), hsts), all(doctor.Fail, "tls-certificate"), "the certificate ended on"},
		"soon":       {edge(t, with(soon), hsts), all(doctor.Fail, "tls-certificate"), "in 0 days"},
		"stranger":   {edge(t, with(stranger), hsts), all(doctor.Fail, "tls-certificate"), "unknown authority"},
		"other name": {strings.Replace(secure, "127.0.0.1", "127.0.0.2", 1), all(doctor.CannotTell, "tls-certificate"), "connection refused"},
		"old":        {edge(t, &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10}, hsts), all(doctor.Fail, "tls-protocol"), "speaks TLS 1.1"},
		"no hsts":    {edge(t, with(good), nil), all(doctor.Fail, "tls-hsts"), "sends no Strict-Transport-Security"},
		"short":      {edge(t, with(good), http.Header{"Strict-Transport-Security": {"max-age=3600"}}), all(doctor.Fail, "tls-hsts"), "for 0 days"},
		"silent":     {"https://" + silent.Addr().String(), all(doctor.CannotTell, "tls-certificate", "tls-protocol", "tls-hsts"), "cannot be asked"},
		"nobody":     {"https://127.0.0.1:1", all(doctor.CannotTell, "tls-certificate", "tls-protocol", "tls-hsts"), "cannot be asked"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range outcomes(t, newLooker(t, Config{Project: noProject, Edges: []string{c.edge}, CA: ca.file}), c.wanted) {
				if !strings.Contains(r.Seen[0], c.says) {
					t.Errorf("%s has seen %q", r.Name, r.Seen)
				}
			}
		})
	}
}

func TestCertificatesToTrust(t *testing.T) {
	file := t.TempDir() + "/ca.pem"
	if _, err := New(Config{CA: file}); !os.IsNotExist(unwrapAll(err)) {
		t.Errorf("a file that is absent gives %v", err)
	}
	write(t, file, "no certificate", 0o600)
	if _, err := New(Config{CA: file}); err == nil || !strings.Contains(err.Error(), "holds none in PEM") {
		t.Errorf("a file without one gives %v", err)
	}
}

func unwrapAll(err error) error {
	for {
		wrapped, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		if inner := wrapped.Unwrap(); inner != nil {
			err = inner
		} else {
			return err
		}
	}
}

// TestMonitoring runs a real Prometheus with the shipped rules and a real Alertmanager, well and not well set up.
func TestMonitoring(t *testing.T) {
	rules, err := os.ReadFile("../../prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("app_draining 0\n")) }))
	t.Cleanup(service.Close)
	target := strings.TrimPrefix(service.URL, "http://")
	manager := func(receiver string) string {
		dir, at := t.TempDir(), "127.0.0.1:"+nodetest.FreePort(t)
		write(t, dir+"/am.yml", "route: {receiver: night}\nreceivers: [{name: night"+receiver+"}]\n", 0o600)
		start(t, "http://"+at+"/-/ready", nil, "prometheus-alertmanager", "--config.file="+dir+"/am.yml", "--storage.path="+dir, "--web.listen-address="+at, "--cluster.listen-address=")
		return at
	}
	prometheus := func(rules, cp, alertmanager string) string {
		dir, at := t.TempDir(), "127.0.0.1:"+nodetest.FreePort(t)
		write(t, dir+"/alerts.yml", rules, 0o600)
		write(t, dir+"/prometheus.yml", "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [alerts.yml]\n"+
			"alerting: {alertmanagers: [{static_configs: [{targets: ["+alertmanager+"]}]}]}\nscrape_configs:\n"+
			"- {job_name: app_cp, static_configs: [{targets: ['"+cp+"']}]}\n- {job_name: app_ap, static_configs: [{targets: ['"+target+"']}]}\n", 0o600)
		start(t, "http://"+at+"/-/ready", nil, "prometheus", "--config.file="+dir+"/prometheus.yml", "--storage.tsdb.path="+dir+"/data", "--web.listen-address="+at, "--log.level=error")
		return "http://" + at
	}
	well, mute := manager(", webhook_configs: [{url: 'http://127.0.0.1:1/'}]"), manager("")
	good := prometheus(string(rules), target, well)
	other := prometheus(strings.Replace(string(rules), "> 0.05", "> 0.5", 1), "127.0.0.1:1", mute)
	settled := func(url, text string) { // scrapes and rules need their first second
		l := newLooker(t, Config{})
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			targets, err := l.get(t.Context(), url+"/api/v1/targets?state=active")
			known, amErr := l.get(t.Context(), url+"/api/v1/alertmanagers")
			if err == nil && amErr == nil && strings.Count(string(targets.Body), `"health":"up"`)+strings.Count(string(targets.Body), `"health":"down"`) == 2 && strings.Contains(string(known.Body), text) {
				return
			}
		}
		t.Fatalf("%s does not settle", url)
	}
	settled(good, well)
	settled(other, mute)
	config := Config{Project: noProject, Rules: rules, Prometheus: good, Alertmanager: "http://" + well}
	wanted := all(doctor.Pass, "rules-loaded", "alertmanager")
	wanted["scrape"] = doctor.CannotTell // nothing says how many instances there are
	outcomes(t, newLooker(t, config), wanted)
	config.Prometheus, config.Alertmanager = other, "http://"+mute
	results := outcomes(t, newLooker(t, config), all(doctor.Fail, "scrape", "rules-loaded", "alertmanager"))
	for name, says := range map[string]string{"scrape": "app_cp at 127.0.0.1:1 is down", "rules-loaded": "ErrorRatioHigh is loaded, and is another one", "alertmanager": "tells nobody"} {
		if !strings.Contains(strings.Join(results[name].Seen, " "), says) {
			t.Errorf("%s has seen %q", name, results[name].Seen)
		}
	}
	config.Prometheus = "http://127.0.0.1:1"
	outcomes(t, newLooker(t, config), all(doctor.CannotTell, "scrape", "rules-loaded"))
}
