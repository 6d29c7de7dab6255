// Package offsite keeps copies of backups in an object store that speaks S3.
//
// A copy counts only when it was read back and has the backup's SHA-256; then its manifest is put beside it. So a manifest
// in the bucket says that the dump beside it is whole.
package offsite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"captop/deploy/backup"
)

// Errors that callers tell apart.
var (
	ErrURL         = errors.New("the address of a bucket is https://HOST/BUCKET or https://HOST/BUCKET/FOLDER")
	ErrCredentials = errors.New("there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or each with _FILE, naming a file), or write ~/.aws/credentials")
	ErrDiffers     = errors.New("what came back is not what was sent")
	ErrNoCopy      = errors.New("the bucket has no such backup")
)

// partSize is how much is sent at once, and what a broken transfer repeats at most. S3 takes 10,000 parts of 5 MiB or more.
const partSize = 64 << 20

// Bucket is a folder of a bucket.
type Bucket struct {
	core           *minio.Core
	bucket, folder string
	part           int64
	Tell           func(text string, done, total int64)
}

// Open reads the address of a bucket and the credentials from the environment. Nobody is asked yet.
func Open(address string, getenv func(string) string) (*Bucket, error) {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || parsed.Scheme != "https" && parsed.Scheme != "http" {
		return nil, ErrURL // it may hold what should not be printed
	}
	if parsed.User != nil {
		return nil, fmt.Errorf("%w, without credentials in it", ErrURL)
	}
	bucket, folder, _ := strings.Cut(strings.Trim(parsed.Path, "/"), "/")
	if bucket == "" {
		return nil, fmt.Errorf("%w: it names no bucket", ErrURL)
	}
	keys, err := readCredentials(getenv)
	if err != nil {
		return nil, err
	}
	core, err := minio.NewCore(parsed.Host, &minio.Options{Creds: keys, Secure: parsed.Scheme == "https", Region: getenv("AWS_REGION"), MaxRetries: 3,
		BucketLookup: minio.BucketLookupPath})
	if err != nil {
		return nil, fmt.Errorf("preparing for the bucket: %w", err)
	}
	return &Bucket{core: core, bucket: bucket, folder: folder, part: partSize, Tell: func(string, int64, int64) {}}, nil
}

func readCredentials(getenv func(string) string) (*credentials.Credentials, error) {
	var values [3]string
	for i, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		values[i] = getenv(name)
		if file := getenv(name + "_FILE"); file != "" {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("reading %s_FILE: %w", name, err)
			}
			values[i] = strings.TrimSpace(string(text))
		}
	}
	if values[0] != "" && values[1] != "" {
		return credentials.NewStaticV4(values[0], values[1], values[2]), nil
	}
	found := credentials.NewFileAWSCredentials("", "")
	if _, err := found.GetWithContext(nil); err != nil {
		return nil, ErrCredentials
	}
	return found, nil
}

// name is an object's in the bucket.
func (b *Bucket) name(file string) string { return path.Join(b.folder, file) }

// explain says what a store's refusal means.
func (b *Bucket) explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	hint := map[string]string{
		"NoSuchBucket":          "there is no bucket " + b.bucket,
		"InvalidAccessKeyId":    "the store does not know this access key (AWS_ACCESS_KEY_ID)",
		"SignatureDoesNotMatch": "the secret key is wrong (AWS_SECRET_ACCESS_KEY)",
		"AccessDenied":          "the key may not do that in bucket " + b.bucket,
		"RequestTimeTooSkewed":  "this machine's clock is too far from the store's: set it (chronyc tracking)",
	}[minio.ToErrorResponse(err).Code]
	if hint == "" {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %s: %w", doing, hint, err)
}

// List gives the backups that the bucket holds, the newest first.
func (b *Bucket) List(ctx context.Context) ([]backup.Manifest, error) {
	var found []backup.Manifest
	for object := range b.core.Client.ListObjects(ctx, b.bucket, minio.ListObjectsOptions{Prefix: b.name("db_"), Recursive: true}) {
		if object.Err != nil {
			return nil, b.explain("listing the bucket", object.Err)
		}
		file, isManifest := strings.CutSuffix(path.Base(object.Key), ".json")
		if !isManifest {
			continue
		}
		m, err := b.manifest(ctx, file)
		if err != nil {
			return nil, err
		}
		found = append(found, m)
	}
	slices.SortFunc(found, func(a, b backup.Manifest) int { return b.TakenAt.Compare(a.TakenAt) })
	return found, nil
}

// manifest reads the manifest of a backup. ErrNoCopy where there is none.
func (b *Bucket) manifest(ctx context.Context, file string) (backup.Manifest, error) {
	var m backup.Manifest
	object, _, _, err := b.core.GetObject(ctx, b.bucket, b.name(file+".json"), minio.GetObjectOptions{})
	if minio.ToErrorResponse(err).Code == "NoSuchKey" {
		return m, fmt.Errorf("%s: %w", file, ErrNoCopy)
	}
	if err != nil {
		return m, b.explain("reading the manifest of "+file, err)
	}
	defer object.Close()
	text, err := io.ReadAll(io.LimitReader(object, 1<<20))
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err == nil && (m.File != file || filepath.Base(file) != file) {
		err = errors.New("it is of another file")
	}
	if err != nil {
		return m, fmt.Errorf("reading the manifest of %s: %w", file, err)
	}
	return m, nil
}
