package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"captop/deploy/backup"
	"captop/deploy/offsite"
)

// openBucket opens a bucket that tells on out how far it is, in quarters.
func openBucket(address string, out io.Writer) (*offsite.Bucket, error) {
	if address == "" {
		return nil, errors.New("give the bucket: --s3 https://HOST/BUCKET/FOLDER")
	}
	bucket, err := offsite.Open(address, os.Getenv)
	if err != nil {
		return nil, fmt.Errorf("--s3: %w", err)
	}
	text, quarter := "", int64(0)
	bucket.Tell = func(doing string, done, total int64) {
		if doing != text {
			text, quarter = doing, 0
			_, _ = fmt.Fprintln(out, doing)
		}
		if total > 0 && done*4/total > quarter {
			quarter = done * 4 / total
			_, _ = fmt.Fprintf(out, "%s: %d %%\n", doing, quarter*25)
		}
	}
	return bucket, nil
}

const credentialsHelp = "Credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or each with _FILE, naming a file), or ~/.aws/credentials.\n\n" +
	"Exit codes: 0 done, 1 failed or not all of it done, 64 called wrongly."

func newBackupPushCommand(store *backup.Store, std streams) *cobra.Command {
	var address string
	command := &cobra.Command{Use: "push --s3 URL [FILE…]", Short: "copy backups to an object store; without names the newest of each node",
		Long: "Copies backups into a bucket that speaks S3, in parts: one that was broken off goes on. A copy counts when it was read back and\n" +
			"has the backup's SHA-256.\n\n" + credentialsHelp,
		RunE: func(cmd *cobra.Command, names []string) error {
			bucket, err := openBucket(address, std.out)
			if err != nil {
				return err
			}
			chosen, err := choose(*store, names)
			if err != nil {
				return err
			}
			var all error
			for _, e := range chosen {
				all = errors.Join(all, push(cmd.Context(), bucket, store.Dir, e.Manifest, std.out))
			}
			return failed(std, all)
		}}
	command.Flags().StringVar(&address, "s3", "", "https://HOST/BUCKET/FOLDER")
	return command
}

func push(ctx context.Context, bucket *offsite.Bucket, dir string, m backup.Manifest, out io.Writer) error {
	if err := bucket.Push(ctx, dir, m); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s: the bucket holds it, with the same SHA-256\n", m.File)
	return err
}

func newBackupPullCommand(store *backup.Store, std streams) *cobra.Command {
	var address string
	command := &cobra.Command{Use: "pull --s3 URL [FILE…]", Short: "fetch backups from an object store; without names list what it holds",
		Long: "Fetches backups from a bucket into the folder of backups; one that was broken off goes on. Only what has the SHA-256 of its\n" +
			"manifest stays.\n\n" + credentialsHelp,
		RunE: func(cmd *cobra.Command, names []string) error {
			bucket, err := openBucket(address, std.out)
			if err != nil {
				return err
			}
			if len(names) == 0 {
				held, err := bucket.List(cmd.Context())
				for _, m := range held {
					_, _ = fmt.Fprintf(std.out, "%-36s %8.1f MB %10d keys\n", m.File, float64(m.Content.Bytes)/1e6, m.Content.Keys)
				}
				return failed(std, err)
			}
			var all error
			for _, name := range names {
				m, err := bucket.Pull(cmd.Context(), store.Dir, filepath.Base(name))
				if err != nil {
					all = errors.Join(all, err)
					continue
				}
				_, _ = fmt.Fprintf(std.out, "%s: %.1f MB in %s\n", m.File, float64(m.Content.Bytes)/1e6, store.Dir)
			}
			return failed(std, all)
		}}
	command.Flags().StringVar(&address, "s3", "", "https://HOST/BUCKET/FOLDER")
	return command
}
