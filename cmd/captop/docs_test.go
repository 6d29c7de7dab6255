package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"captop/deploy/doctor"
)

// named is a captop command in a page: in backquotes, or a line of a block.
var named = regexp.MustCompile("(?m)(?:`|^\\s*)captop ((?:[a-z][a-z-]*\\b)[^`\n]*)")

// TestDocumentsNameRealCommands: every captop command and flag of the runbooks and the guides exists.
func TestDocumentsNameRealCommands(t *testing.T) {
	pages, err := filepath.Glob(root(t) + "/deploy/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, page := range append(pages, root(t)+"/deploy/GUIDE.md", root(t)+"/deploy/GUIDE.vi.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range named.FindAllStringSubmatch(string(text), -1) {
			tried++
			if problem := commandProblem(strings.TrimSpace(found[1])); problem != "" {
				t.Errorf("%s: captop %s: %s", filepath.Base(page), found[1], problem)
			}
		}
	}
	if tried < 60 {
		t.Errorf("only %d commands were found", tried)
	}
}

// commandProblem says what is wrong with a command line as a page has it, "" for nothing. Whether it would work there is
// another question: only names are looked up, of commands, flags, and the checks of captop doctor.
func commandProblem(line string) string {
	line, _, _ = strings.Cut(line, "  #")
	words := strings.Fields(line)
	command := newRoot(streams{})
	for len(words) > 0 {
		at := slices.IndexFunc(command.Commands(), func(c *cobra.Command) bool { return c.Name() == words[0] })
		if at < 0 {
			break
		}
		command, words = command.Commands()[at], words[1:]
	}
	if !command.HasParent() {
		return "there is no such command"
	}
	if command.HasAvailableSubCommands() && !command.Runnable() && len(words) > 0 && !strings.HasPrefix(words[0], "-") {
		return command.CommandPath() + " has no command " + words[0]
	}
	for _, word := range words {
		name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
		if strings.HasPrefix(word, "--") && command.Flag(name) == nil && command.InheritedFlags().Lookup(name) == nil {
			return command.CommandPath() + " has no flag --" + name
		}
	}
	if command.Name() == "doctor" {
		return doctorProblem(words)
	}
	return ""
}

// doctorProblem holds what is asked of captop doctor against the checklist.
func doctorProblem(words []string) string {
	for _, word := range words {
		if strings.HasPrefix(word, "-") {
			return ""
		}
		if _, err := doctor.Choose([]string{word}); err != nil {
			return err.Error()
		}
	}
	return ""
}
