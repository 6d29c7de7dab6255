package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Entry is one backup of a folder, with what is wrong with it at first sight.
type Entry struct {
	Manifest
	Problem string // "" where the file is there with the size that the manifest says
}

// List gives all backups, the newest first. A manifest that cannot be read is an entry with that problem, and so is a
// dump without a manifest. A folder that is absent holds none.
func (s Store) List() ([]Entry, error) {
	files, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the backups: %w", err)
	}
	var entries []Entry
	for _, file := range files {
		if name, isDump := strings.CutSuffix(file.Name(), ".rdb"); isDump && name != "" {
			entries = append(entries, s.entry(file.Name()))
		} else if dump, isManifest := strings.CutSuffix(file.Name(), ".rdb"+manifestEnding); isManifest && !s.has(dump+".rdb") {
			entries = append(entries, s.entry(dump+".rdb"))
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return b.TakenAt.Compare(a.TakenAt) })
	return entries, nil
}

// NewestVerified gives the newest backup of a node that counts, of entries as List gives them.
func NewestVerified(entries []Entry, node string) (newest Manifest, ok bool) {
	for _, e := range entries {
		if e.Node == node && e.Problem == "" && e.Verified != nil {
			return e.Manifest, true
		}
	}
	return Manifest{}, false
}

func (s Store) has(file string) bool {
	_, err := os.Stat(filepath.Join(s.Dir, file))
	return err == nil
}

// entry reads the manifest of a dump.
func (s Store) entry(file string) Entry {
	e := Entry{Manifest: Manifest{File: file}}
	text, err := os.ReadFile(filepath.Join(s.Dir, file+manifestEnding))
	if err != nil {
		e.Problem = "it has no manifest: " + err.Error()
		return e
	}
	if err := json.Unmarshal(text, &e.Manifest); err != nil || e.File != file || e.Format != manifestFormat {
		e.File, e.Problem = file, "its manifest cannot be used"
		return e
	}
	info, err := os.Stat(filepath.Join(s.Dir, file))
	switch {
	case err != nil:
		e.Problem = "its dump is gone"
	case info.Size() != e.Content.Bytes:
		e.Problem = fmt.Sprintf("its dump has %d bytes, %d in the manifest", info.Size(), e.Content.Bytes)
	}
	return e
}

// Prune removes all but the newest keep verified backups of each node, with what is older than those, and gives the
// names of what it removed. The newest verified backup of a node always stays, and so does what has a problem: a
// person should look at that.
func (s Store) Prune(keep int) (removed []string, err error) {
	err = s.locked(func() error {
		entries, err := s.List()
		if err != nil {
			return err
		}
		kept := map[string]int{}
		for _, e := range entries {
			if e.Problem != "" {
				continue
			}
			if kept[e.Node] < max(keep, 1) {
				if e.Verified != nil {
					kept[e.Node]++
				}
				continue
			}
			if err := s.remove(e.Manifest); err != nil {
				return err
			}
			removed = append(removed, e.File)
		}
		return nil
	})
	return removed, err
}

// remove takes the dump first: a manifest without a dump is seen, and no use to anybody.
func (s Store) remove(m Manifest) error {
	for _, name := range []string{m.File, m.File + manifestEnding} {
		if err := os.Remove(filepath.Join(s.Dir, name)); err != nil {
			return fmt.Errorf("removing the backup %s: %w", m.File, err)
		}
	}
	return nil
}
