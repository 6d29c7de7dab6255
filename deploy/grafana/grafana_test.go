package grafana

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"go.yaml.in/yaml/v3"
)

// TestDashboard holds the dashboard against Grafana's own schema, as its Foundation SDK has it: no field that it does not
// know, none missing, every value allowed. There is no Grafana here to load it.
func TestDashboard(t *testing.T) {
	runtime := cog.NewRuntime()
	runtime.RegisterPanelcfgVariant(stat.VariantConfig())
	runtime.RegisterPanelcfgVariant(statetimeline.VariantConfig())
	runtime.RegisterPanelcfgVariant(timeseries.VariantConfig())
	runtime.RegisterDataqueryVariant(prometheus.VariantConfig())
	var d dashboard.Dashboard //lint:ignore SA1019 it is the schema of the files that provisioning loads
	if err := problems(d.UnmarshalJSONStrict(Dashboard)); err != nil {
		t.Fatal(err)
	}
	if err := problems(d.Validate()); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) < 10 {
		t.Errorf("the dashboard has %d panels", len(d.Panels))
	}
	broken := strings.Replace(string(Dashboard), `"colorMode": "background"`, `"colourMode": "background"`, 1)
	if err := problems(d.UnmarshalJSONStrict([]byte(broken))); err == nil {
		t.Error("a field that Grafana does not know passes")
	}
}

// problems is err, but for the empty list that the SDK gives where all is well.
func problems(err error) error {
	var list cog.BuildErrors
	if errors.As(err, &list) && len(list) == 0 {
		return nil
	}
	return err
}

// TestProvisioning: the dashboard asks the source of data that is provisioned, and lies where it is looked for.
func TestProvisioning(t *testing.T) {
	var sources struct {
		Datasources []struct {
			UID, Type, URL string
		}
	}
	var providers struct {
		Providers []struct{ Options struct{ Path string } }
	}
	for name, into := range map[string]any{"datasources/prometheus.yml": &sources, "dashboards/captop.yml": &providers} {
		text, err := os.ReadFile("provisioning/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(text, into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if len(sources.Datasources) != 1 || len(providers.Providers) != 1 {
		t.Fatalf("provisioned are %+v and %+v", sources, providers)
	}
	var asked struct {
		Panels []struct {
			Datasource struct{ UID, Type string }
		}
	}
	if err := json.Unmarshal(Dashboard, &asked); err != nil {
		t.Fatal(err)
	}
	for i, panel := range asked.Panels {
		if source := sources.Datasources[0]; panel.Datasource.UID != source.UID || panel.Datasource.Type != source.Type {
			t.Errorf("panel %d asks %+v, which is not provisioned", i, panel.Datasource)
		}
	}
	compose, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	if mount := "./deploy/grafana/dashboards:" + providers.Providers[0].Options.Path + ":ro"; !strings.Contains(string(compose), mount) {
		t.Errorf("docker-compose.yml does not mount %s", mount)
	}
}
