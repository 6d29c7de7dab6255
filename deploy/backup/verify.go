package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/deploy/backup/rdb"
)

// ErrNoServer says that there is no redis-server here to load a backup with.
var ErrNoServer = errors.New("there is no redis-server here to load it with (Debian: apt install redis-server)")

// Verify reads a backup's file again, compares it with its manifest, and has a scratch server load it. The manifest
// that it writes and gives says that it is verified; an error takes that back.
func (s Store) Verify(ctx context.Context, m Manifest, progress func(step string)) (Manifest, error) {
	err := s.locked(func() (err error) {
		m, err = s.verify(ctx, m, progress)
		return err
	})
	return m, err
}

func (s Store) verify(ctx context.Context, m Manifest, progress func(string)) (Manifest, error) {
	began := s.Now()
	m.Verified = nil
	proof, err := s.prove(ctx, m, progress)
	if ctx.Err() != nil {
		return m, ctx.Err() // nothing was found out: the manifest stays
	}
	if err != nil {
		return m, errors.Join(fmt.Errorf("verifying %s: %w", m.File, err), s.write(m))
	}
	proof.At, proof.Took = s.Now().UTC(), s.Now().Sub(began)
	m.Verified = &proof
	return m, s.write(m)
}

func (s Store) prove(ctx context.Context, m Manifest, progress func(string)) (Verification, error) {
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
	return load(ctx, path, content, progress)
}

// load has a server of its own, which nobody else can reach, load a dump, and compares what it holds then.
func load(ctx context.Context, path string, content rdb.Summary, progress func(string)) (Verification, error) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return Verification{}, ErrNoServer
	}
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
	socket, log := filepath.Join(dir, "socket"), filepath.Join(dir, "log")
	server := exec.CommandContext(ctx, binary, "--port", "0", "--unixsocket", socket, "--dir", dir, "--dbfilename", "dump.rdb",
		"--save", "", "--appendonly", "no", "--logfile", log, "--loglevel", "warning")
	if err := server.Start(); err != nil {
		return Verification{}, fmt.Errorf("starting the scratch server: %w", err)
	}
	ended := make(chan struct{})
	go func() { _ = server.Wait(); close(ended) }()
	defer func() { _ = server.Process.Kill(); <-ended }()
	v, err := held(ctx, socket, ended)
	if errors.Is(err, errEnded) {
		reason, _ := os.ReadFile(log)
		err = fmt.Errorf("%w: %.300s", err, reason)
	}
	if err != nil {
		return v, err
	}
	if least := content.Keys - content.Expiring; v.Keys < least || v.Keys > content.Keys {
		return v, fmt.Errorf("%w: the server holds %d keys, the dump %d (%d of them expire)", ErrDiffers, v.Keys, content.Keys, content.Expiring)
	}
	return v, nil
}

// errEnded: the scratch server did not take the dump.
var errEnded = errors.New("the scratch server ended")

// held waits until the server has loaded its dump, and counts.
func held(ctx context.Context, socket string, ended <-chan struct{}) (Verification, error) {
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, MaxRetries: -1, DialerRetries: 1, Protocol: 2, DisableIdentity: true})
	defer client.Close()
	for {
		if _, err := os.Stat(socket); err == nil {
			info, err := client.Info(ctx).Result()
			if err == nil && field(info, "loading") == "0" {
				v := Verification{Redis: field(info, "redis_version")}
				v.Keys, err = countKeys(info)
				return v, err
			}
		}
		select {
		case <-ended:
			return Verification{}, errEnded
		case <-ctx.Done():
			return Verification{}, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
