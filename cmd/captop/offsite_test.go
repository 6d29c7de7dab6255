package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/redis/go-redis/v9"

	"captop/service/node/nodetest"
)

// TestBackupsInABucket: backups go to an object store and come back from it by commands; one whose sending was killed goes
// on with what is missing.
func TestBackupsInABucket(t *testing.T) {
	memory := s3mem.New()
	if err := memory.CreateBucket("shop"); err != nil {
		t.Fatal(err)
	}
	fake, parts, hang := gofakes3.New(memory).Server(), atomic.Int64{}, make(chan struct{})
	bucket := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("partNumber") && parts.Add(1) == 2 {
			close(hang)
			_, _ = io.Copy(io.Discard, r.Body) // until its sender is killed
			<-r.Context().Done()
			return
		}
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(bucket.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "top-secret")
	t.Setenv("AWS_REGION", "us-east-1")
	node, dir := nodetest.Start(t, "--rdbcompression", "no"), t.TempDir()
	client := redis.NewClient(&redis.Options{Addr: node.Addr(), Protocol: 2})
	defer client.Close()
	for i := range 70 { // two parts of 64 MiB
		if err := client.Set(t.Context(), strings.Repeat("k", i+1), strings.Repeat("v", 1<<20), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(wantCode int, want, dir string, args ...string) string {
		t.Helper()
		args = append(append([]string{"backup"}, args...), "--dir", dir)
		code, out, problem := capture(t, args...)
		if code != wantCode || !strings.Contains(out+problem, want) || strings.Contains(out+problem, "top-secret") {
			t.Fatalf("captop %q ended with %d, wanted %d and %q:\n%s%s", args, code, wantCode, want, out, problem)
		}
		return out
	}
	site := bucket.URL + "/shop/site"
	expect(exitUsage, "give the bucket: --s3", dir, "push")
	expect(exitUsage, "there is no backup", dir, "push", "--s3", site)
	expect(0, "db_g1: verified", dir, "take", "db_g1", "--g1", node.URL())
	expect(1, "there is no bucket elsewhere", dir, "push", "--s3", bucket.URL+"/elsewhere")

	push := exec.Command(captopBinary(t), "backup", "push", "--s3", site, "--dir", dir)
	if err := push.Start(); err != nil {
		t.Fatal(err)
	}
	<-hang
	_ = push.Process.Kill()
	_ = push.Wait()
	if held := expect(0, "", dir, "pull", "--s3", site); held != "" {
		t.Errorf("half a copy counts: %s", held)
	}
	expect(0, "the bucket holds it, with the same SHA-256", dir, "push", "--s3", site)
	if parts.Load() != 3 {
		t.Errorf("%d parts were sent where one was there already, one was broken off and one was left", parts.Load())
	}
	files, err := filepath.Glob(filepath.Join(dir, "db_g1-*.rdb"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	name, other := filepath.Base(files[0]), t.TempDir()
	expect(0, name, other, "pull", "--s3", site)
	expect(1, "db_g1-none.rdb", other, "pull", "--s3", site, "db_g1-none.rdb")
	expect(0, name, other, "pull", "--s3", site, name)
	expect(0, name, other, "verify")
	sent, errSent := os.ReadFile(files[0])
	came, errCame := os.ReadFile(filepath.Join(other, name))
	if errSent != nil || errCame != nil || string(sent) != string(came) {
		t.Errorf("what came back is something else: %v, %v", errSent, errCame)
	}
	expect(0, "with the same SHA-256", dir, "take", "db_g1", "--g1", node.URL(), "--s3", site)
	if held := expect(0, name, other, "pull", "--s3", site); strings.Count(held, "\n") != 2 {
		t.Errorf("the bucket holds\n%s", held)
	}
}
