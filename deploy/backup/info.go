package backup

import (
	"fmt"
	"strconv"
	"strings"
)

// field gives one field of an answer to INFO, "" where it is absent.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), name+":"); found {
			return value
		}
	}
	return ""
}

// countKeys sums the keys of all databases up.
func countKeys(info string) (int64, error) {
	var sum int64
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		count, isDB := strings.CutPrefix(value, "keys=")
		if !isDB || !strings.HasPrefix(name, "db") {
			continue
		}
		count, _, _ = strings.Cut(count, ",")
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading %s of INFO: %w", name, err)
		}
		sum += n
	}
	return sum, nil
}
