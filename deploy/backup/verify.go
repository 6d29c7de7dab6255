package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/redis/go-redis/v9"

	"captop/deploy/backup/rdb"
	"captop/deploy/dbnode"
	"captop/deploy/scratch"
)

// Look is given a server that has loaded a backup.
type Look func(ctx context.Context, loaded *redis.Client) error

// Verify reads a backup's file again, compares it with its manifest, and has a scratch server load it. The manifest
// that it writes and gives says that it is verified; an error takes that back.
func (s Store) Verify(ctx context.Context, m Manifest, progress func(step string)) (Manifest, error) {
	return s.VerifyAnd(ctx, m, progress, nil)
}

// VerifyAnd is Verify with a look at what was loaded. An error of the look is given, and says nothing about the backup.
func (s Store) VerifyAnd(ctx context.Context, m Manifest, progress func(step string), look Look) (Manifest, error) {
	err := s.locked(func() (err error) {
		m, err = s.verify(ctx, m, progress, look)
		return err
	})
	return m, err
}

func (s Store) verify(ctx context.Context, m Manifest, progress func(string), look Look) (Manifest, error) {
	began, before := s.Now(), m.Verified
	var seen error
	if look != nil {
		inner := look
		look = func(ctx context.Context, loaded *redis.Client) error { seen = inner(ctx, loaded); return nil }
	}
	proof, err := s.prove(ctx, m, progress, look)
	if ctx.Err() != nil {
		return m, ctx.Err() // nothing was found out: the manifest stays
	}
	if (errors.Is(err, scratch.ErrNoServer) || errors.Is(err, scratch.ErrNoMemory)) && before != nil {
		return m, fmt.Errorf("verifying %s: %w", m.File, err) // nor here: it was loaded elsewhere, or when there was more
	}
	if err != nil {
		m.Verified = nil
		return m, errors.Join(fmt.Errorf("verifying %s: %w", m.File, err), s.write(m))
	}
	proof.At, proof.Took = s.Now().UTC(), s.Now().Sub(began)
	m.Verified = &proof
	return m, errors.Join(seen, s.write(m))
}

func (s Store) prove(ctx context.Context, m Manifest, progress func(string), look Look) (Verification, error) {
	path := filepath.Join(s.Dir, m.File)
	progress("comparing it with its manifest")
	content, hash, err := inspect(path)
	switch {
	case err != nil:
		return Verification{}, err
	case hash != m.SHA256:
		return Verification{}, fmt.Errorf("%w: its SHA-256 is %.12s…, %.12s… in the manifest", ErrDiffers, hash, m.SHA256)
	case content.Keys != m.Content.Keys:
		return Verification{}, fmt.Errorf("%w: it holds %d keys, %d in the manifest", ErrDiffers, content.Keys, m.Content.Keys)
	}
	return load(ctx, path, content, progress, look)
}

// load has a server of its own load a dump, and compares what it holds then. look sees the server, if it is not nil.
func load(ctx context.Context, path string, content rdb.Summary, progress func(string), look Look) (Verification, error) {
	dir, err := os.MkdirTemp("", "captop-verify-")
	if err != nil {
		return Verification{}, fmt.Errorf("making a folder for the scratch server: %w", err)
	}
	defer os.RemoveAll(dir)
	path, err = filepath.Abs(path)
	if err == nil {
		err = os.Symlink(path, filepath.Join(dir, "dump.rdb"))
	}
	if err != nil {
		return Verification{}, fmt.Errorf("giving the dump to the scratch server: %w", err)
	}
	progress("loading it into a scratch redis-server")
	server, err := scratch.Start(ctx, dir, content.Memory(), "--dbfilename", "dump.rdb", "--appendonly", "no")
	if err != nil {
		return Verification{}, err
	}
	defer server.Stop()
	standing, err := dbnode.Ask(ctx, server.Client())
	if err != nil {
		return Verification{}, err
	}
	v := Verification{Redis: standing.Version, Keys: standing.Keys}
	if least := content.Keys - content.Expiring; v.Keys < least || v.Keys > content.Keys {
		return v, fmt.Errorf("%w: the server holds %d keys, the dump %d (%d of them expire)", ErrDiffers, v.Keys, content.Keys, content.Expiring)
	}
	if look != nil {
		err = look(ctx, server.Client())
	}
	return v, err
}
