// Package runbooks holds the pages that alerts lead to: what has happened, what the services do about it, and what a
// tired person does now. Their check steps can be run.
package runbooks

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed *.md
var pages embed.FS

// ErrNoPage: there is no page of that name.
var ErrNoPage = errors.New("there is no such runbook page")

// Names are the names of all pages, as the label runbook of an alert has them, in alphabetical order.
func Names() []string {
	entries, err := fs.ReadDir(pages, ".")
	if err != nil { // they are part of the program
		panic(err)
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = strings.TrimSuffix(entry.Name(), ".md")
	}
	return names
}

// Page gives the text of a page, in Markdown. Its error is ErrNoPage.
func Page(name string) (string, error) {
	text, err := pages.ReadFile(name + ".md")
	if err != nil {
		return "", fmt.Errorf("%q: %w", name, ErrNoPage)
	}
	return string(text), nil
}

// Check is one check step of a page. It passes if the query gives at least one sample, fails if it gives none, and tells
// nothing if it errs or the series that it is about are absent.
type Check struct {
	Title string // what has to be so, in words
	Expr  string // PromQL
}

// Checks gives the check steps in the text of a page, in their order: the lines of its fenced blocks called check, each a
// title, a colon, a space and a query. The error names the line that is none.
func Checks(page string) ([]Check, error) {
	var checks []Check
	inside := false
	number := 0
	for line := range strings.Lines(page) {
		number++
		line = strings.TrimSpace(line)
		switch {
		case line == "```check":
			inside = true
		case strings.HasPrefix(line, "```"):
			inside = false
		case !inside || line == "":
		default:
			title, expr, ok := strings.Cut(line, ": ")
			if !ok || title == "" || expr == "" {
				return nil, fmt.Errorf("line %d: %q is no check step: write a title, a colon, a space and a query", number, line)
			}
			checks = append(checks, Check{Title: title, Expr: expr})
		}
	}
	if inside {
		return nil, fmt.Errorf("line %d: the block of check steps does not end: close it with ```", number)
	}
	return checks, nil
}
