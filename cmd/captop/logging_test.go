package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestLogShipper looks at the shipper's settings as far as one can without the shipper, which no package here has: each is
// YAML of the form that it takes, sends everything to one output, and takes nothing from the environment that
// docker-compose.yml does not give it.
func TestLogShipper(t *testing.T) {
	compose, err := os.ReadFile(filepath.Join(root(t), "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	type section struct {
		Inputs, Filters, Outputs []map[string]any
	}
	read := func(name string) (text string, pipeline section) {
		t.Helper()
		content, err := os.ReadFile(filepath.Join(root(t), "deploy", "logging", name))
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Service  map[string]any
			Includes []string
			Pipeline section
		}
		decoder := yaml.NewDecoder(strings.NewReader(string(content)))
		decoder.KnownFields(true)
		if err := decoder.Decode(&file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return string(content), file.Pipeline
	}
	_, shared := read("fluent-bit.yaml")
	if len(shared.Inputs) != 1 || len(shared.Filters) != 3 || len(shared.Outputs) != 0 {
		t.Fatalf("fluent-bit.yaml is %+v", shared)
	}
	for name, plugin := range map[string]string{"elastic": "es", "splunk": "splunk", "cloudwatch": "cloudwatch_logs", "s3": "s3"} {
		text, own := read(name + ".yaml")
		if len(own.Outputs) != 1 || own.Outputs[0]["name"] != plugin || own.Outputs[0]["match"] != shared.Inputs[0]["tag"] {
			t.Errorf("%s.yaml sends %+v", name, own.Outputs)
		}
		for _, found := range regexp.MustCompile(`\$\{([A-Z_]+)\}`).FindAllStringSubmatch(text, -1) {
			if !strings.Contains(string(compose), found[1]+": ${"+found[1]+":-") {
				t.Errorf("%s.yaml wants %s, which docker-compose.yml does not give the shipper", name, found[1])
			}
		}
	}
	parsers, err := os.ReadFile(filepath.Join(root(t), "deploy", "logging", "parsers.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []any{shared.Inputs[0]["parser"], shared.Filters[2]["parser"]} {
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^ +Name +%v$`, name)).Match(parsers) {
			t.Errorf("parsers.conf has no parser %v", name)
		}
	}
	// By this it tells the stack's lines from those of others.
	if label := shared.Filters[0]["regex"]; !slices.Contains([]any{"$attrs['com.docker.compose.service'] .+"}, label) ||
		!strings.Contains(string(compose), "com.docker.compose.service\"}") {
		t.Errorf("the filter takes %v", label)
	}
	if own := shared.Filters[1]["exclude"]; own != "$attrs['com.docker.compose.service'] ^shipper$" || !strings.Contains(string(compose), "\n  shipper:\n") {
		t.Errorf("of its own lines it leaves out %v", own)
	}
}
