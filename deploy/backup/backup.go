// Package backup takes backups of Redis nodes, and proves what they are worth.
//
// A backup is two files in a folder: a dump as Redis writes it, and a manifest beside it. It counts as verified only
// when a Redis server of its own has loaded it and holds what the dump holds.
package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"captop/deploy/backup/rdb"
	"captop/deploy/dbnode"
)

// Errors that callers tell apart.
var (
	ErrBusy     = errors.New("another captop works in this folder")
	ErrNoSpace  = errors.New("there is not enough room")
	ErrDiffers  = errors.New("the backup is not what its manifest says")
	ErrNoBackup = errors.New("there is no such backup; captop backup list shows them")
)

// Manifest is what is known of one backup. It is a JSON file beside the dump.
type Manifest struct {
	Format   int           `json:"format"` // 1
	Node     string        `json:"node"`
	File     string        `json:"file"` // beside the manifest
	TakenAt  time.Time     `json:"taken_at"`
	Took     time.Duration `json:"took_ns"`
	SHA256   string        `json:"sha256"`
	RunID    string        `json:"run_id"`
	Offsets  [2]int64      `json:"repl_offsets"` // master_repl_offset before and after: what was written between may be missing
	Redis    string        `json:"redis_version"`
	Content  rdb.Summary   `json:"content"`
	Verified *Verification `json:"verified,omitempty"` // nil until a server has loaded it
}

// Verification is the proof that a server could use a backup.
type Verification struct {
	At    time.Time     `json:"at"`
	Took  time.Duration `json:"took_ns"`
	Redis string        `json:"redis_version"` // of the server that loaded it
	Keys  int64         `json:"keys"`          // that it held then; keys may have expired since the dump
}

const manifestFormat = 1

// manifestEnding is the manifest's ending beside the dump's, partialEnding that of a dump that is not whole yet.
const (
	manifestEnding = ".json"
	partialEnding  = ".partial"
)

// Store is a folder of backups. Only one process at a time takes, verifies or prunes in it.
type Store struct {
	Dir string
	Now func() time.Time
}

// locked runs f while no other process works in the folder.
func (s Store) locked(f func() error) error {
	unlock, err := s.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	return f()
}

// Lock keeps other processes from working in the folder, which is made if it is absent, until unlock is called or this
// process ends. ErrBusy where one works there. Take, Verify and Prune lock by themselves.
func (s Store) Lock() (unlock func(), err error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of backups: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(s.Dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the folder of backups: %w", err)
	}
	// A process that was killed while it started another one leaves the lock to that one for a moment.
	for tries := 20; syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil; tries-- {
		if tries == 0 {
			_ = lock.Close()
			return nil, fmt.Errorf("%w: %s", ErrBusy, s.Dir)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return func() { _ = lock.Close() }, nil // and with it the lock, as the end of the process does
}

// Take makes a backup of a node and verifies it. It names each step to progress. What a backup that was killed left
// behind is removed first; one that fails leaves nothing. Where only the verification fails, the backup stays, the
// manifest says that it is not verified, and the error says why.
func (s Store) Take(ctx context.Context, node, url string, progress func(step string)) (m Manifest, err error) {
	err = s.locked(func() error {
		if err := s.removePartial(node); err != nil {
			return err
		}
		if m, err = s.fetch(ctx, node, url, progress); err != nil {
			return fmt.Errorf("backing %s up: %w", node, err)
		}
		m, err = s.verify(ctx, m, progress, nil)
		return err
	})
	return m, err
}

// fetch brings the dump here and reads it back.
func (s Store) fetch(ctx context.Context, node, url string, progress func(string)) (Manifest, error) {
	began := s.Now()
	m := Manifest{Format: manifestFormat, Node: node, TakenAt: began.UTC(), File: node + "-" + began.UTC().Format("20060102T150405.000Z") + ".rdb"}
	before, err := dbnode.AskAt(ctx, url)
	if err != nil {
		return m, err
	}
	partial := filepath.Join(s.Dir, m.File+partialEnding)
	if err := s.receive(ctx, url, partial, progress); err != nil {
		return m, errors.Join(err, os.Remove(partial))
	}
	progress("reading it back")
	if m.Content, m.SHA256, err = inspect(partial); err != nil {
		return m, errors.Join(err, os.Remove(partial))
	}
	after, err := dbnode.AskAt(ctx, url)
	if err == nil && after.RunID != before.RunID {
		err = fmt.Errorf("the node restarted meanwhile: run id %.8s, before %.8s", after.RunID, before.RunID)
	}
	if err != nil {
		return m, errors.Join(err, os.Remove(partial))
	}
	m.RunID, m.Redis, m.Offsets = before.RunID, before.Version, [2]int64{before.Offset, after.Offset}
	m.Took = s.Now().Sub(began)
	if err := os.Rename(partial, filepath.Join(s.Dir, m.File)); err != nil {
		return m, fmt.Errorf("naming the dump: %w", err)
	}
	return m, s.write(m)
}

// inspect reads a dump from the disk, for its content and its hash.
func inspect(path string) (rdb.Summary, string, error) {
	file, err := os.Open(path)
	if err != nil {
		return rdb.Summary{}, "", err
	}
	defer file.Close()
	hash := sha256.New()
	content, err := rdb.Read(io.TeeReader(file, hash))
	if err != nil {
		return content, "", fmt.Errorf("reading %s: %w", filepath.Base(path), err)
	}
	return content, hex.EncodeToString(hash.Sum(nil)), nil
}

// write puts a manifest beside its dump, whole or not at all.
func (s Store) write(m Manifest) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	path := filepath.Join(s.Dir, m.File+manifestEnding)
	file, err := os.OpenFile(path+partialEnding, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	_, err = file.Write(append(text, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(path+partialEnding, path)
	}
	if err != nil {
		return fmt.Errorf("writing the manifest: %w", errors.Join(err, os.Remove(path+partialEnding)))
	}
	return s.syncDir()
}

// syncDir makes the names in the folder last.
func (s Store) syncDir() error {
	dir, err := os.Open(s.Dir)
	if err != nil {
		return fmt.Errorf("syncing the folder of backups: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("syncing the folder of backups: %w", err)
	}
	return nil
}

func (s Store) removePartial(node string) error {
	left, err := filepath.Glob(filepath.Join(s.Dir, node+"-*"+partialEnding))
	if err != nil {
		return fmt.Errorf("looking for what a killed backup left: %w", err)
	}
	for _, path := range left {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("removing what a killed backup left: %w", err)
		}
	}
	return nil
}
