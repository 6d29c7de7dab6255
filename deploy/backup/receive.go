package backup

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"captop/deploy/dbnode"
)

// silence is how long a node may send nothing: it sends an empty line each second while it saves.
const silence = 30 * time.Second

// errRefused: the node does not give its data away.
var errRefused = errors.New("the node refuses")

// receive asks a node for a dump as a replica would, and puts it into a file that lasts.
func (s Store) receive(ctx context.Context, address, path string, progress func(string)) (err error) {
	conn, err := dial(ctx, address)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer conn.Close()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("making the file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	progress("asking the node to save (BGSAVE)")
	in := bufio.NewReaderSize(patient{conn}, 1<<18)
	size, err := askForDump(conn, in)
	if err != nil {
		return cause(ctx, err)
	}
	if err := s.RoomFor(size); err != nil {
		return err
	}
	progress(fmt.Sprintf("fetching %.1f MB", float64(size)/1e6))
	if _, err := io.CopyN(file, in, size); err != nil {
		return cause(ctx, fmt.Errorf("fetching the dump: %w", err))
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("writing the dump to the disk: %w", err)
	}
	return nil
}

// cause prefers the reason why the context ended to what the closed connection says.
func cause(ctx context.Context, err error) error {
	if ended := context.Cause(ctx); ended != nil {
		return ended
	}
	return err
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	o, err := dbnode.Options(address)
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{Timeout: o.DialTimeout}).DialContext(ctx, o.Network, o.Addr)
	if err != nil {
		return nil, fmt.Errorf("reaching the node: %w", err)
	}
	if o.TLSConfig != nil {
		secured := tls.Client(conn, o.TLSConfig)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("reaching the node: %w", err), conn.Close())
		}
		conn = secured
	}
	if o.Password == "" {
		return conn, nil
	}
	words := []string{"AUTH", o.Password}
	if o.Username != "" {
		words = []string{"AUTH", o.Username, o.Password}
	}
	answer, err := command(conn, bufio.NewReader(patient{conn}), words...)
	if err == nil && answer != "+OK" {
		err = fmt.Errorf("%w: %s", errRefused, strings.TrimPrefix(answer, "-"))
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// patient gives up on a connection that is silent for too long.
type patient struct{ net.Conn }

func (p patient) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return p.Conn.Read(b)
}

// command sends words and gives the line that answers.
func command(conn net.Conn, in *bufio.Reader, words ...string) (string, error) {
	text := fmt.Sprintf("*%d\r\n", len(words))
	for _, word := range words {
		text += fmt.Sprintf("$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return "", fmt.Errorf("sending %s: %w", words[0], err)
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("waiting for the answer to %s: %w", words[0], err)
		}
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			return line, nil
		}
	}
}

// askForDump asks as a replica that wants nothing but the dump, and gives the dump's size in bytes.
func askForDump(conn net.Conn, in *bufio.Reader) (int64, error) {
	// Redis 7 keeps no stream of writes for such a replica; older ones do not know the word, and that is no harm.
	if _, err := command(conn, in, "REPLCONF", "rdb-only", "1"); err != nil {
		return 0, err
	}
	answer, err := command(conn, in, "SYNC")
	if err != nil {
		return 0, err
	}
	if strings.HasPrefix(answer, "-") {
		return 0, fmt.Errorf("%w: %s", errRefused, answer[1:])
	}
	size, err := strconv.ParseInt(strings.TrimPrefix(answer, "$"), 10, 64)
	if err != nil || size <= 0 || answer[0] != '$' {
		return 0, fmt.Errorf("the node answers SYNC with %q, not with a dump", answer)
	}
	return size, nil
}

// RoomFor gives ErrNoSpace where so many bytes more would fill the disk; a twentieth of it is left to others.
func (s Store) RoomFor(size int64) error {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(s.Dir, &disk); err != nil {
		return fmt.Errorf("asking how much room there is: %w", err)
	}
	block := int64(disk.Bsize)
	free, reserve := int64(disk.Bavail)*block, int64(disk.Blocks)*block/20
	if size+min(reserve, 1<<30) > free {
		return fmt.Errorf("%w for %.1f MB in %s: %.1f MB are free", ErrNoSpace, float64(size)/1e6, s.Dir, float64(free)/1e6)
	}
	return nil
}
