// Package prometheus holds the files that deploy a Prometheus beside the pair, and the alerting rules that it and
// captop evaluate alike.
package prometheus

import _ "embed"

// Rules is alerts.yml: the rules that captop evaluates unless it is given others. Do not change it.
//
//go:embed alerts.yml
var Rules []byte
