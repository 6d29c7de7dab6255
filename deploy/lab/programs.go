package lab

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"captop/service"
)

// Redis starts a redis-server as the pair has them: AOF, fsync every second. It never rewrites its AOF by itself, so that no
// measurement is disturbed by that. args are added to its command line.
func (l *Lab) Redis(name string, args ...string) (*Process, error) {
	addr, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(l.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a folder for %s: %w", name, err)
	}
	_, port, _ := net.SplitHostPort(addr)
	args = append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--appendonly", "yes", "--appendfsync", "everysec",
		"--hash-max-listpack-value", "1024", "--auto-aof-rewrite-percentage", "0", "--save", ""}, args...)
	return l.Start(name, addr, nil, "redis-server", args...)
}

// Capd starts an instance of the service over two nodes, with its logs in the lab. environ adds settings.
func (l *Lab) Capd(name, binary string, mode service.Mode, g1, g2 string, environ ...string) (*Process, error) {
	addr, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	environ = append([]string{"MODE=" + string(mode), "LISTEN_ADDR=" + addr, "INSTANCE=" + name, "DB_G1_URL=" + g1, "DB_G2_URL=" + g2,
		"DRAIN_SEC=0"}, environ...)
	return l.Start(name, addr, environ, binary)
}

// BuildCapd builds the service from the module that the working directory is in, and gives the binary.
func (l *Lab) BuildCapd() (string, error) {
	binary := filepath.Join(l.dir, "capd")
	if out, err := exec.Command("go", "build", "-o", binary, "captop/cmd/capd").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building capd (run this inside the repository): %w\n%s", err, out)
	}
	return binary, nil
}

// Webdis starts Debian's HTTP front of one Redis, with that package's settings.
func (l *Lab) Webdis(node *Process) (*Process, error) {
	addr, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	number := func(addr string) int {
		_, port, _ := net.SplitHostPort(addr)
		n, _ := strconv.Atoi(port) // of an address of our own
		return n
	}
	settings, err := json.Marshal(map[string]any{"redis_host": "127.0.0.1", "redis_port": number(node.addr), "http_host": "127.0.0.1",
		"http_port": number(addr), "threads": 2, "daemonize": false, "database": 0, "verbosity": 3,
		"logfile": filepath.Join(l.dir, "webdis-server.log")})
	if err != nil { // our own types: they always marshal
		panic(err)
	}
	path := filepath.Join(l.dir, "webdis.json")
	if err := os.WriteFile(path, settings, 0o600); err != nil {
		return nil, fmt.Errorf("writing the settings of webdis: %w", err)
	}
	return l.Start("webdis", addr, nil, "webdis", path)
}
