package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"captop/deploy/backup"
)

// PruneSafety removes the safety copies of all but the newest keep restores, and gives the names of what it removed. What
// is not over keeps its copies, and so does the newest restore: it can be undone. The records stay, as history.
func PruneSafety(store backup.Store, keep int) (removed []string, err error) {
	unlock, err := store.Lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	records, err := Records(store.Dir)
	if err != nil {
		return nil, err
	}
	kept := 0
	for _, record := range records {
		if record.Kind != Restore || !record.Over() {
			continue
		}
		if kept++; kept <= max(keep, 1) {
			continue
		}
		for _, n := range record.Nodes {
			if n.Safety == "" {
				continue
			}
			switch err := os.Remove(filepath.Join(store.Dir, n.Safety)); {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				return removed, fmt.Errorf("removing a safety copy: %w", err)
			default:
				removed = append(removed, n.Safety)
			}
		}
	}
	return removed, nil
}
