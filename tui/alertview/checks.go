// Package alertview is the screen of alerts: what fires and since when, what will fire and when, beside the runbook
// page that says what to do about it.
package alertview

// Check is one check step of a runbook page: it passes while Expr has at least one sample.
type Check struct {
	Title string // what is checked, in words
	Expr  string // PromQL
}
