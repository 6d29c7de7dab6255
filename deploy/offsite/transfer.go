package offsite

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/minio/minio-go/v7"

	"captop/deploy/backup"
)

// Push copies a backup of a folder into the bucket, unless it is there. What an earlier try has sent is not sent again.
func (b *Bucket) Push(ctx context.Context, dir string, m backup.Manifest) error {
	if there, err := b.manifest(ctx, m.File); err == nil && there.SHA256 == m.SHA256 {
		return nil
	} else if err != nil && !errors.Is(err, ErrNoCopy) {
		return err
	}
	file, err := os.Open(filepath.Join(dir, m.File))
	if err != nil {
		return fmt.Errorf("reading the backup: %w", err)
	}
	defer file.Close()
	if hash, err := hashOf(file); err != nil || hash != m.SHA256 {
		return errors.Join(fmt.Errorf("%s: %w", m.File, backup.ErrDiffers), err)
	}
	if err := b.send(ctx, file, m); err != nil {
		return err
	}
	if err := b.readBack(ctx, m); err != nil {
		return err
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	_, err = b.core.PutObject(ctx, b.bucket, b.name(m.File+".json"), bytes.NewReader(text), int64(len(text)), "", "", minio.PutObjectOptions{})
	return b.explain("sending the manifest", err)
}

// send sends a dump in parts.
func (b *Bucket) send(ctx context.Context, file *os.File, m backup.Manifest) error {
	name, size := b.name(m.File), m.Content.Bytes
	upload, have, err := b.resumed(ctx, name)
	if err != nil {
		return err
	}
	if upload == "" {
		if upload, err = b.core.NewMultipartUpload(ctx, b.bucket, name, minio.PutObjectOptions{}); err != nil {
			return b.explain("beginning to send "+m.File, err)
		}
	}
	var parts []minio.CompletePart
	for number, at := 1, int64(0); at < size; number, at = number+1, at+b.part {
		length := min(b.part, size-at)
		hash, signed := md5.New(), sha256.New()
		if _, err := io.Copy(io.MultiWriter(hash, signed), io.NewSectionReader(file, at, length)); err != nil {
			return fmt.Errorf("reading the backup: %w", err)
		}
		etag := hex.EncodeToString(hash.Sum(nil))
		if have[number] != etag {
			sent, err := b.core.PutObjectPart(ctx, b.bucket, name, upload, number, io.NewSectionReader(file, at, length), length,
				minio.PutObjectPartOptions{Md5Base64: base64.StdEncoding.EncodeToString(hash.Sum(nil)), Sha256Hex: hex.EncodeToString(signed.Sum(nil)), DisableContentSha256: true})
			if err != nil {
				return b.explain("sending "+m.File, err)
			}
			etag = sent.ETag
		}
		parts = append(parts, minio.CompletePart{PartNumber: number, ETag: etag})
		b.Tell("sending "+m.File, at+length, size)
	}
	_, err = b.core.CompleteMultipartUpload(ctx, b.bucket, name, upload, parts, minio.PutObjectOptions{})
	return b.explain("sending "+m.File, err)
}

// resumed finds what an earlier try has sent: its upload, and the MD5 of each part.
func (b *Bucket) resumed(ctx context.Context, name string) (upload string, have map[int]string, err error) {
	have = map[int]string{}
	uploads, err := b.core.ListMultipartUploads(ctx, b.bucket, name, "", "", "", 100)
	if minio.ToErrorResponse(err).Code == "NoSuchUpload" { // some stores' way of saying that there is none
		return "", have, nil
	}
	if err != nil {
		return "", have, b.explain("looking for what was sent before", err)
	}
	for _, one := range uploads.Uploads {
		if one.Key == name {
			upload = one.UploadID
		}
	}
	for marker := 0; upload != ""; {
		page, err := b.core.ListObjectParts(ctx, b.bucket, name, upload, marker, 1000)
		if err != nil {
			return "", have, b.explain("looking for what was sent before", err)
		}
		for _, part := range page.ObjectParts {
			have[part.PartNumber] = strings.Trim(part.ETag, `"`)
		}
		if !page.IsTruncated {
			break
		}
		marker = page.NextPartNumberMarker
	}
	return upload, have, nil
}

// readBack compares what the bucket has with what was sent.
func (b *Bucket) readBack(ctx context.Context, m backup.Manifest) error {
	object, _, _, err := b.core.GetObject(ctx, b.bucket, b.name(m.File), minio.GetObjectOptions{})
	if err != nil {
		return b.explain("reading "+m.File+" back", err)
	}
	defer object.Close()
	b.Tell("reading "+m.File+" back", 0, m.Content.Bytes)
	hash, err := hashOf(object)
	if err != nil {
		return b.explain("reading "+m.File+" back", err)
	}
	if hash != m.SHA256 {
		return fmt.Errorf("%w: %s has SHA-256 %.12s… in the bucket, %.12s… here", ErrDiffers, m.File, hash, m.SHA256)
	}
	return nil
}

func hashOf(from io.Reader) (string, error) {
	hash := sha256.New()
	if _, err := io.Copy(hash, from); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// pulling is the ending of a dump that has not come whole yet.
const pulling = ".pulling"

// Pull copies a backup from the bucket into a folder. What an earlier try has fetched is not fetched again. It is not
// verified by that: only its bytes are those that were sent.
func (b *Bucket) Pull(ctx context.Context, dir, name string) (m backup.Manifest, err error) {
	if m, err = b.manifest(ctx, name); err != nil {
		return m, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return m, fmt.Errorf("making the folder of backups: %w", err)
	}
	path := filepath.Join(dir, m.File)
	file, err := os.OpenFile(path+pulling, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return m, fmt.Errorf("making the file: %w", err)
	}
	defer file.Close()
	if err := b.fetch(ctx, file, m); err != nil {
		return m, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return m, fmt.Errorf("reading what came: %w", err)
	}
	hash, err := hashOf(file)
	if err != nil {
		return m, fmt.Errorf("reading what came: %w", err)
	}
	if hash != m.SHA256 {
		return m, errors.Join(fmt.Errorf("%w: %s has SHA-256 %.12s…, %.12s… in its manifest", ErrDiffers, m.File, hash, m.SHA256), os.Remove(path+pulling))
	}
	if err := errors.Join(file.Sync(), os.Rename(path+pulling, path)); err != nil {
		return m, fmt.Errorf("naming the dump: %w", err)
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = os.WriteFile(path+".json"+pulling, append(text, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(path+".json"+pulling, path+".json")
	}
	if err != nil {
		return m, fmt.Errorf("writing the manifest: %w", err)
	}
	return m, nil
}

// fetch brings what the file lacks.
func (b *Bucket) fetch(ctx context.Context, file *os.File, m backup.Manifest) error {
	have, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("going on with what came before: %w", err)
	}
	if have >= m.Content.Bytes {
		return nil // the hash tells
	}
	var options minio.GetObjectOptions
	if have > 0 {
		if err := options.SetRange(have, 0); err != nil {
			return fmt.Errorf("going on with what came before: %w", err)
		}
	}
	object, _, _, err := b.core.GetObject(ctx, b.bucket, b.name(m.File), options)
	if err != nil {
		return b.explain("fetching "+m.File, err)
	}
	defer object.Close()
	got, err := io.Copy(file, object)
	b.Tell("fetching "+m.File, have+got, m.Content.Bytes)
	if err == nil && have+got < m.Content.Bytes {
		return fmt.Errorf("%w: %s has %d bytes in the bucket, %d in its manifest", ErrDiffers, m.File, have+got, m.Content.Bytes)
	}
	return b.explain("fetching "+m.File, err)
}
