package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goPackage is what go list says of a package.
type goPackage struct {
	ImportPath string
	Doc        string
	Imports    []string
	Deps       []string
	Standard   bool
}

func goList(t *testing.T) []goPackage {
	t.Helper()
	command := exec.Command("go", "list", "-json=ImportPath,Doc,Imports,Deps", "captop/...")
	command.Dir = root(t)
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var packages []goPackage
	decoder := json.NewDecoder(output)
	for {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
	return packages
}

// root is the folder of go.mod.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// arrows are the imports within captop that may be: who may know whom, by the longest prefix that fits.
var arrows = map[string][]string{
	"captop/cmd/captop": {"captop/cmd/captop", "captop/tui", "captop/probes", "captop/service", "captop/deploy"},
	"captop/cmd/capd":   {"captop/service"},
	"captop/tui":        {"captop/tui", "captop/probes", "captop/service"},
	// How keys lie on the nodes: a comparison of the nodes reads what the services write.
	"captop/probes":          {"captop/probes", "captop/service/api", "captop/service/layout", "captop/service"},
	"captop/deploy":          {"captop/deploy", "captop/service"},
	"captop/service":         {},
	"captop/service/node":    {"captop/service", "captop/service/node", "captop/service/layout"},
	"captop/service/layout":  {"captop/service"},
	"captop/service/cache":   {"captop/service"},
	"captop/service/sharded": {"captop/service", "captop/service/layout"},
	"captop/service/cp":      {"captop/service", "captop/service/node", "captop/service/layout"},
	"captop/service/ap":      {"captop/service", "captop/service/node", "captop/service/layout"},
	"captop/service/api":     {"captop/service", "captop/service/node"},
}

// exact are the targets that stand for themselves only, not for what lies below them.
var exact = []string{"captop/service"}

func TestImportArrowsNeverRunBack(t *testing.T) {
	packages := goList(t)
	if len(packages) < 8 {
		t.Fatalf("go list found %d packages only", len(packages))
	}
	for _, p := range packages {
		from := longestPrefix(p.ImportPath)
		if from == "" {
			t.Errorf("%s has no place in the house: give it one in arrows", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, "captop/") && !allowed(from, imported) {
				t.Errorf("%s imports %s: the arrow runs the wrong way", p.ImportPath, imported)
			}
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

func longestPrefix(path string) (longest string) {
	for prefix := range arrows {
		if (path == prefix || strings.HasPrefix(path, prefix+"/")) && len(prefix) > len(longest) {
			longest = prefix
		}
	}
	return longest
}

func allowed(from, imported string) bool {
	targets := arrows[from]
	if strings.HasPrefix(from, "captop/cmd/") || from == "captop/deploy" {
		// What wires may know every layer below service too.
		return slices.ContainsFunc(targets, func(target string) bool { return under(imported, target) })
	}
	return slices.ContainsFunc(targets, func(target string) bool {
		if slices.Contains(exact, target) {
			return imported == target
		}
		return under(imported, target)
	})
}

func under(path, prefix string) bool { return path == prefix || strings.HasPrefix(path, prefix+"/") }

// TestScreensReachNothing: what draws has no Redis and no Docker of its own.
func TestScreensReachNothing(t *testing.T) {
	for _, p := range goList(t) {
		if !under(p.ImportPath, "captop/tui") {
			continue
		}
		for _, imported := range p.Imports {
			if strings.Contains(imported, "redis") || strings.Contains(imported, "docker") || strings.Contains(imported, "moby") {
				t.Errorf("%s imports %s: a screen shows what probes saw, and asks nobody", p.ImportPath, imported)
			}
		}
	}
}

// TestTopLevel: the folders and files that the project's owner fixed, and what tools demand beside them.
func TestTopLevel(t *testing.T) {
	wanted := []string{"cmd", "tui", "service", "probes", "deploy", "go.mod", "docker-compose.yml", "README.md",
		"go.sum", ".env.example", ".gitignore", ".dockerignore", ".ci", ".github", "LICENSE", "run_tests.sh"}
	command := exec.Command("git", "ls-tree", "--name-only", "HEAD")
	command.Dir = root(t)
	output, err := command.Output()
	if err != nil {
		t.Fatalf("listing the top level: %v", err)
	}
	for name := range strings.FieldsSeq(string(output)) {
		if !slices.Contains(wanted, name) {
			t.Errorf("%s is not one of the folders and files at the top level", name)
		}
	}
}
