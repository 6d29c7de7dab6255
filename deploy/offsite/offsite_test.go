package offsite

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/redis/go-redis/v9"

	"captop/deploy/backup"
	"captop/service/node/nodetest"
)

// store is a fake S3 before which a test may stand.
type store struct {
	url   string
	parts atomic.Int64 // that were sent
	stand atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool]
}

func newStore(t *testing.T) *store {
	t.Helper()
	memory := s3mem.New()
	if err := memory.CreateBucket("backups"); err != nil {
		t.Fatal(err)
	}
	fake, s := gofakes3.New(memory).Server(), &store{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("partNumber") {
			s.parts.Add(1)
		}
		if stand := s.stand.Load(); stand == nil || !(*stand)(w, r) {
			fake.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// answers makes the store refuse everything with one of S3's codes.
func (s *store) answers(code string, status int) {
	f := func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>no</Message></Error>`, code)
		return true
	}
	s.stand.Store(&f)
}

func environment(name string) string {
	return map[string]string{"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "top-secret", "AWS_REGION": "us-east-1"}[name]
}

func open(t *testing.T, s *store, path string) *Bucket {
	t.Helper()
	b, err := Open(s.url+path, environment)
	if err != nil {
		t.Fatal(err)
	}
	b.part = 5 << 20
	return b
}

// taken is a folder with a backup of some 12 MB: three parts.
func taken(t *testing.T) (string, backup.Manifest) {
	t.Helper()
	server := nodetest.Start(t, "--rdbcompression", "no")
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), Protocol: 2})
	defer client.Close()
	for i := range 12 {
		if err := client.Set(t.Context(), fmt.Sprint(i), strings.Repeat(fmt.Sprint(i%10), 1<<20), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	m, err := backup.Store{Dir: dir, Now: time.Now}.Take(t.Context(), "db_g1", server.URL(), func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	return dir, m
}

func TestThereAndBack(t *testing.T) {
	s := newStore(t)
	b := open(t, s, "/backups/site/a")
	dir, m := taken(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.Tell = func(text string, done, _ int64) {
		if strings.HasPrefix(text, "sending") && done > 5<<20 {
			cancel()
		}
	}
	if err := b.Push(ctx, dir, m); err == nil {
		t.Fatal("it was stopped, and says that all went well")
	}
	if list, err := b.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("half a copy counts: %+v, %v", list, err)
	}
	before := s.parts.Load()
	b.Tell = func(string, int64, int64) {}
	if err := b.Push(t.Context(), dir, m); err != nil {
		t.Fatal(err)
	}
	if sent := s.parts.Load() - before; before < 2 || sent != 1 {
		t.Errorf("%d parts, then %d: what was there was sent again", before, sent)
	}
	if err := b.Push(t.Context(), dir, m); err != nil || s.parts.Load() != before+1 {
		t.Errorf("what is there was sent again: %v", err)
	}
	list, err := b.List(t.Context())
	if err != nil || len(list) != 1 || list[0].SHA256 != m.SHA256 {
		t.Fatalf("%+v, %v", list, err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, m.File))
	if err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, m.File+pulling), whole[:len(whole)/3], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Pull(t.Context(), other, m.File); err != nil {
		t.Fatal(err)
	}
	if _, err := (backup.Store{Dir: other, Now: time.Now}).Verify(t.Context(), m, func(string) {}); err != nil {
		t.Error(err)
	}
	if files, err := os.ReadDir(other); err != nil || len(files) != 3 { // and the lock
		t.Errorf("%v, %v", files, err)
	}
	if err := os.WriteFile(filepath.Join(other, m.File+pulling), []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Pull(t.Context(), other, m.File); !errors.Is(err, ErrDiffers) {
		t.Errorf("it went on with something else: %v", err)
	}
	if _, err := b.Pull(t.Context(), other, "db_g1-none.rdb"); !errors.Is(err, ErrNoCopy) {
		t.Errorf("%v", err)
	}
}

func TestTruncatedObject(t *testing.T) {
	s := newStore(t)
	b := open(t, s, "/backups")
	dir, m := taken(t)
	cut := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, ".rdb") || r.URL.RawQuery != "" {
			return false
		}
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		w.Header().Set("ETag", `"x"`)
		_, _ = w.Write([]byte("REDIS0010"))
		return true
	}
	s.stand.Store(&cut)
	if err := b.Push(t.Context(), dir, m); !errors.Is(err, ErrDiffers) {
		t.Errorf("a store that keeps a part only: %v", err)
	}
	if _, err := b.Pull(t.Context(), t.TempDir(), m.File); !errors.Is(err, ErrNoCopy) {
		t.Errorf("what did not come back has a manifest: %v", err)
	}
	s.stand.Store(nil)
	if err := b.Push(t.Context(), dir, m); err != nil {
		t.Fatal(err)
	}
	s.stand.Store(&cut)
	if _, err := b.Pull(t.Context(), t.TempDir(), m.File); !errors.Is(err, ErrDiffers) {
		t.Errorf("a part only comes: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	s := newStore(t)
	dir, m := taken(t)
	if err := open(t, s, "/nowhere").Push(t.Context(), dir, m); err == nil || !strings.Contains(err.Error(), "there is no bucket nowhere") {
		t.Errorf("wrong bucket: %v", err)
	}
	for code, c := range map[string]struct {
		status int
		want   string
	}{"InvalidAccessKeyId": {403, "does not know this access key"}, "SignatureDoesNotMatch": {403, "the secret key is wrong"},
		"RequestTimeTooSkewed": {403, "clock is too far"}, "AccessDenied": {403, "may not do that"}} {
		s.answers(code, c.status)
		err := open(t, s, "/backups").Push(t.Context(), dir, m)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "top-secret") {
			t.Errorf("%s: %v", code, err)
		}
	}
	for _, address := range []string{"", "backups", "s3://backups", "https://host", "https://key:secret@host/backups"} {
		if _, err := Open(address, environment); !errors.Is(err, ErrURL) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%q: %v", address, err)
		}
	}
	t.Setenv("HOME", t.TempDir())
	if _, err := Open("https://host/backups", func(string) string { return "" }); !errors.Is(err, ErrCredentials) {
		t.Errorf("without credentials: %v", err)
	}
}
