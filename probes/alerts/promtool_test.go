package alerts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"testing"
)

// promtool gives the path of a promtool of the same version as the Prometheus packages that captop is built from. It is
// built once and kept under the user's cache folder.
func promtool(t testing.TB) string {
	t.Helper()
	path, err := buildPromtool()
	if err != nil {
		t.Fatalf("building promtool: %v", err)
	}
	return path
}

var buildPromtool = sync.OnceValues(func() (string, error) { return buildPrometheus("promtool") })

// buildPrometheus builds one of Prometheus' commands, in a module of its own, for they need far more than captop does.
func buildPrometheus(command string) (string, error) {
	version, err := required("../../go.mod")
	if err != nil {
		return "", err
	}
	own, err := required("testdata/promtool/go.mod")
	if err != nil {
		return "", err
	}
	if own != version {
		return "", fmt.Errorf("testdata/promtool/go.mod requires Prometheus %s and captop %s: they have to be the same", own, version)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "captop-tests")
	path := filepath.Join(dir, fmt.Sprintf("%s-%s-%s", command, version, runtime.GOARCH))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	made := fmt.Sprintf("%s.%d", path, os.Getpid())
	// The tag leaves out service discovery, which would bring in the libraries of every cloud.
	build := exec.Command("go", "build", "-C", "testdata/promtool", "-p", "2", "-tags", "remove_all_sd", "-o", made,
		"github.com/prometheus/prometheus/cmd/"+command)
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, output)
	}
	return path, os.Rename(made, path)
}

var requirement = regexp.MustCompile(`github\.com/prometheus/prometheus (v\S+)`)

func required(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	match := requirement.FindSubmatch(text)
	if match == nil {
		return "", fmt.Errorf("%s requires no Prometheus", file)
	}
	return string(match[1]), nil
}
