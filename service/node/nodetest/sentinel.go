package nodetest

import (
	"net"
	"testing"
)

// StartSentinel runs a Redis Sentinel on the configuration file at conf until the test ends, and gives its host:port.
func StartSentinel(t testing.TB, conf string) string {
	t.Helper()
	return startSentinel(t, conf).addr
}

func startSentinel(t testing.TB, conf string) *Server {
	t.Helper()
	s := &Server{t: t, addr: FreeAddr(t), dir: dataFolder(t)}
	_, port, _ := net.SplitHostPort(s.addr)
	s.command = []string{conf, "--sentinel", "--port", port, "--bind", "127.0.0.1", "--dir", s.dir}
	t.Cleanup(s.Kill)
	s.Restart()
	return s
}
