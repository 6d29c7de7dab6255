package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDiscover: instances of a target file and of a name are watched beside those of flags, and no default is.
func TestDiscover(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	path := filepath.Join(t.TempDir(), "targets.json")
	if err := os.WriteFile(path, []byte(`[{"targets": ["127.0.0.1`+port+`"], "labels": {"mode": "ap"}}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, problem := capture(t, "--once", "--json", "--interval", "500ms", "--targets", path, "--cp", "dns+http://localhost"+port)
	if code == exitUsage {
		t.Fatal(problem)
	}
	var snap struct{ Services []struct{ Name string } }
	if err := json.Unmarshal([]byte(out), &snap); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range snap.Services {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); !strings.Contains(got, "app_cp@127.0.0.1"+port) || !strings.HasSuffix(got, "app_ap@127.0.0.1"+port) {
		t.Errorf("watched are %q", got)
	}
	for _, c := range []struct{ flag, value, want string }{
		{"--targets", path + ".absent", "reading the target file"},
		{"--cp", "dns+localhost:5001", "not a URL of the form http:// or https://"},
	} {
		if code, _, problem := capture(t, "--once", c.flag, c.value); code != exitUsage || !strings.Contains(problem, c.want) {
			t.Errorf("%s %s: %d %s", c.flag, c.value, code, problem)
		}
	}
}
