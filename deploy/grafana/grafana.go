// Package grafana holds what a Grafana beside the pair is provisioned with: its source of data and a dashboard.
package grafana

import _ "embed"

// Dashboard is dashboards/captop.json. Do not change it.
//
//go:embed dashboards/captop.json
var Dashboard []byte
