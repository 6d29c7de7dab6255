package scratch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"captop/service/node/nodetest"
)

// loaderPart makes the test binary load the dump in this folder, within whatever limits were put upon it.
const loaderPart = "CAPTOP_LOAD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(loaderPart); dir != "" {
		used, _ := strconv.ParseInt(os.Args[1], 10, 64)
		server, err := Start(context.Background(), dir, used, "--dbfilename", "dump.rdb", "--appendonly", "no")
		if err == nil {
			server.Stop()
		}
		fmt.Println(errors.Is(err, ErrNoMemory), err)
		return
	}
	os.Exit(m.Run())
}

// group makes a control group with a limit of so many bytes and gives the file that takes processes in.
func group(t *testing.T, limit int64) string {
	t.Helper()
	mount, file := "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		mount, file = "/sys/fs/cgroup", "memory.max"
	}
	dir, err := os.MkdirTemp(mount, "captop-test-")
	if err != nil {
		t.Fatalf("making a control group (this test needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, file), []byte(strconv.FormatInt(limit, 10)), 0o644); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "cgroup.procs")
}

// TestNoMemory: what does not fit is not loaded, and where nobody knows beforehand, it is the scratch server that has to go.
func TestNoMemory(t *testing.T) {
	node := nodetest.Start(t)
	client := redis.NewClient(&redis.Options{Addr: node.Addr(), Protocol: 2})
	defer client.Close()
	for i := range 8 {
		if err := client.SetRange(t.Context(), fmt.Sprint("big", i), 16<<20, "x").Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	dir := client.ConfigGet(t.Context(), "dir").Val()["dir"]
	const taken = 128 << 20
	for name, c := range map[string]struct {
		limit, used int64
		want        string
	}{
		"known beforehand": {100 << 20, taken, "true there is not enough memory to load it here: it takes 147.6 MB, and of captop's own memory limit "},
		"found out":        {100 << 20, 0, "true there is not enough memory to load it here: the server was killed while it loaded"},
		"of the host":      {1 << 50, 1e12, "true there is not enough memory to load it here: it takes 1100000.0 MB, and of this host's memory "},
		"enough":           {600 << 20, taken, "false <nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			loader := exec.Command("sh", "-c", `echo $$ >"$0" && exec "$@"`, group(t, c.limit), os.Args[0], strconv.FormatInt(c.used, 10))
			loader.Env = append(os.Environ(), loaderPart+"="+dir)
			var diagnostics strings.Builder // on a slow machine the library tells of dials that came too early
			loader.Stderr = &diagnostics
			if out, err := loader.Output(); err != nil || !strings.HasPrefix(string(out), c.want) {
				t.Errorf("%s%s%v", diagnostics.String(), out, err)
			}
		})
	}
}

// TestFree: both versions of control groups, as the kernel shows them; the tightest limit of all counts.
func TestFree(t *testing.T) {
	const host = 8000 * 1024
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no groups":             {nil, host},
		"version 2, no limit":   {map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n", "sys/fs/cgroup/a/memory.current": "5\n"}, host},
		"version 2, the parent": {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "1000\n", "sys/fs/cgroup/a/memory.current": "900\n", "sys/fs/cgroup/a/memory.stat": "anon 800\ninactive_file 50\n"}, 150},
		"version 2, namespace":  {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000\n", "sys/fs/cgroup/memory.current": "900\n"}, 100},
		"version 1": {map[string]string{"proc/self/cgroup": "5:cpu:/x\n4:memory:/x\n0::/\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "1000\n", "sys/fs/cgroup/memory/x/memory.usage_in_bytes": "700\n",
			"sys/fs/cgroup/memory/x/memory.stat": "inactive_file 1\ntotal_inactive_file 100\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n", "sys/fs/cgroup/memory/memory.usage_in_bytes": "70000\n"}, 400},
		"version 1, the host's path": {map[string]string{"proc/self/cgroup": "4:memory:/docker/3f\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000\n", "sys/fs/cgroup/memory/memory.usage_in_bytes": "1200\n"}, 0},
	} {
		root := t.TempDir()
		files := map[string]string{"proc/meminfo": "MemTotal:       9000 kB\nMemAvailable:   8000 kB\n"}
		for path, text := range c.files {
			files[path] = text
		}
		for path, text := range files {
			if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755), os.WriteFile(filepath.Join(root, path), []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		if got, of := free(root); got != c.want {
			t.Errorf("%s: %d of %s, wanted %d", name, got, of, c.want)
		}
	}
}
