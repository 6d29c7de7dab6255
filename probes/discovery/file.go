package discovery

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"captop/probes"
	"captop/service"
)

// file is a target file that is read again when it changes.
type file struct {
	path string
	at   time.Time
	size int64
	err  error // of the last reading
}

// group is one element of a file in Prometheus' file_sd format. JSON is YAML, too.
type group struct {
	Targets []string          `yaml:"targets"`
	Labels  map[string]string `yaml:"labels"`
}

// readFile reads the target file if it has changed. A file that cannot be used leaves what was listed.
func (f *Finder) readFile() error {
	if f.file.path == "" {
		return nil
	}
	info, err := os.Stat(f.file.path)
	if err != nil {
		return fmt.Errorf("reading the target file: %w", err)
	}
	if info.ModTime().Equal(f.file.at) && info.Size() == f.file.size {
		return f.file.err
	}
	text, err := os.ReadFile(f.file.path)
	if err != nil {
		return fmt.Errorf("reading the target file: %w", err)
	}
	f.file.at, f.file.size = info.ModTime(), info.Size()
	listed, err := f.parse(text)
	if f.file.err = err; err == nil {
		f.listed = listed
	}
	return err
}

// parse reads groups of targets. The label mode, or else job, says which service they are; __scheme__ may say https. What
// other labels say is on their series, as in Prometheus.
func (f *Finder) parse(text []byte) ([]probes.ServiceTarget, error) {
	var groups []group
	if err := yaml.Unmarshal(text, &groups); err != nil {
		return nil, fmt.Errorf("reading the target file %s: %w", f.file.path, err)
	}
	var all []probes.ServiceTarget
	for i, g := range groups {
		mode, err := modeOf(g.Labels)
		if err != nil {
			return nil, fmt.Errorf("reading the target file %s: group %d: %w", f.file.path, i+1, err)
		}
		scheme := g.Labels["__scheme__"]
		if scheme == "" {
			scheme = "http"
		}
		for _, target := range g.Targets {
			parsed, err := url.Parse(scheme + "://" + target)
			if err != nil || parsed.Hostname() == "" || parsed.Path != "" || parsed.User != nil {
				return nil, fmt.Errorf("reading the target file %s: group %d: %q is no target; it looks like 10.0.0.5:5001", f.file.path, i+1, target)
			}
			found := f.target(mode, *parsed)
			found.Labels = shown(g.Labels)
			all = append(all, found)
		}
	}
	return all, nil
}

// shown are the labels that end up on series: not those for Prometheus itself.
func shown(all map[string]string) map[string]string {
	left := maps.Clone(all)
	maps.DeleteFunc(left, func(name, _ string) bool { return strings.HasPrefix(name, "__") })
	return left
}

func modeOf(labels map[string]string) (service.Mode, error) {
	for _, label := range []struct{ name, prefix string }{{"mode", ""}, {"job", "app_"}} {
		for _, mode := range []service.Mode{service.ModeCP, service.ModeAP} {
			if labels[label.name] == label.prefix+string(mode) {
				return mode, nil
			}
		}
	}
	return "", fmt.Errorf("its labels do not say which service it is: give it mode: cp or ap, or job: app_cp or app_ap (they are %v)", labels)
}
