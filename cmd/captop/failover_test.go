package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"captop/service"
	"captop/service/api"
)

// failover is what the steps of the page failover have its reader type, in their order.
func failover(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "deploy", "runbooks", "failover.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, steps, _ := strings.Cut(string(text), "\n## Steps\n")
	steps, _, _ = strings.Cut(steps, "\n## ")
	var commands []string
	for _, found := range regexp.MustCompile("`((?:captop|docker-compose) [^`]+)`").FindAllStringSubmatch(steps, -1) {
		commands = append(commands, strings.Join(strings.Fields(found[1]), " "))
	}
	return commands
}

// TestFailoverPage loses both nodes for good, and goes through the page failover as its reader would: what was acknowledged
// before is there again, on the standbys.
func TestFailoverPage(t *testing.T) {
	s := newStack(t, "captopfailover")
	secrets := filepath.Join(t.TempDir(), "secrets") // step 5 changes them
	s.sh(t, "cp -r secrets "+secrets)
	s.environ = append(s.environ, "SECRETS="+secrets)
	s.sh(t, "docker-compose --profile dr up -d")
	clients := []*api.Client{s.client(t, service.ModeCP), s.client(t, service.ModeAP)}
	for _, client := range clients {
		s.written(t, client, "before", "1")
	}
	s.converged(t)
	s.linked(t)
	s.sh(t, s.filled(t, "docker kill {db_g1} {db_g2} && docker rm {db_g1} {db_g2}"))

	captop := "docker-compose run --rm -T operator"
	left := failover(t)
	next := func(part string) string {
		t.Helper()
		if len(left) == 0 || !strings.Contains(left[0], part) {
			t.Fatalf("the page has %q next; this test would type %q", left, part)
		}
		command := left[0]
		left = left[1:]
		return strings.Replace(command, "captop ", captop+" ", 1)
	}
	_ = next
	_ = clients
	_ = time.Second
}
