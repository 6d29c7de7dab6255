package journal

import (
	"os"
	"os/user"
	"strings"
)

// Who is user@host of this process, and who that was before sudo: "ann as root@web1".
func Who(getenv func(string) string) string {
	name := "somebody"
	if found, err := user.Current(); err == nil {
		name = found.Username
	}
	if before := getenv("SUDO_USER"); before != "" && before != name {
		name = before + " as " + name
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return name + "@" + host
}

// Seat is where that user sits: the face of captop, its terminal, and the host that he has come from by SSH:
// "screen pts/3 from 10.0.0.7".
func Seat(face string, getenv func(string) string) string {
	if terminal, err := os.Readlink("/proc/self/fd/0"); err == nil && strings.HasPrefix(terminal, "/dev/") && terminal != os.DevNull {
		face += " " + strings.TrimPrefix(terminal, "/dev/")
	}
	if client, _, ok := strings.Cut(getenv("SSH_CONNECTION"), " "); ok {
		face += " from " + client
	}
	return face
}
