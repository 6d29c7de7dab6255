package restore

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/deploy/stack"
)

// Files is how a node keeps its data in its folder.
type Files struct {
	Known   bool   `json:"known"` // the node itself said so
	AOF     bool   `json:"aof"`
	Parts   bool   `json:"multi_part"` // the AOF is a folder of parts with a manifest (since Redis 7)
	DB      string `json:"db"`         // the dump's name
	AOFDir  string `json:"aof_dir"`
	AOFName string `json:"aof_name"`
}

// usual are the files of a node that has not said.
func usual() Files {
	return Files{AOF: true, Parts: true, DB: "dump.rdb", AOFDir: "appendonlydir", AOFName: "appendonly.aof"}
}

// askFiles asks a running node. Where CONFIG is not allowed, the usual names hold.
func askFiles(ctx context.Context, client *redis.Client, aof bool, version string) Files {
	f := usual()
	f.Known, f.AOF, f.Parts = true, aof, major(version) >= 7
	for name, into := range map[string]*string{"dbfilename": &f.DB, "appenddirname": &f.AOFDir, "appendfilename": &f.AOFName} {
		if answer, err := client.ConfigGet(ctx, name).Result(); err == nil && answer[name] != "" {
			*into = answer[name]
		}
	}
	return f
}

// major is the first number of a version.
func major(version string) int {
	first, _, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(first)
	return n
}

// keeps says whether a file in the data folder is data: the rest (a config file, ACLs) stays.
func (f Files) keeps(name string) bool {
	name = path.Clean(name)
	base := path.Base(name)
	if strings.HasPrefix(base, "temp-") && (strings.HasSuffix(base, ".rdb") || strings.HasSuffix(base, ".aof")) {
		return true
	}
	return name == f.DB || name == f.AOFName || name == f.AOFDir || strings.HasPrefix(name, f.AOFDir+"/")
}

// names are the places that a dump is put at, for a node that keeps its data so. A node with AOF loads its AOF and
// never looks at a dump beside it, so the dump becomes the base of a new AOF; before Redis 7 it is the beginning of the
// one file. Where the node could not be asked, both kinds of node find it.
func (f Files) names() []string {
	var names []string
	if f.AOF && f.Parts {
		names = append(names, path.Join(f.AOFDir, f.AOFName+".1.base.rdb"))
	} else if f.AOF {
		names = append(names, f.AOFName)
	}
	if !f.AOF || !f.Known {
		names = append(names, f.DB)
	}
	return names
}

// String says it in words.
func (f Files) String() string {
	switch names := strings.Join(f.names(), " and "); {
	case f.AOF && f.Parts && f.Known:
		return names + ", the base of a new AOF with its manifest (with AOF on, Redis does not look at a " + f.DB + ")"
	case f.AOF && f.Known:
		return names + ", the beginning of a new AOF (with AOF on, Redis does not look at a " + f.DB + ")"
	case !f.Known:
		return names + " (the node does not run and cannot say whether its AOF is on: either way it finds one)"
	default:
		return names
	}
}

// compose writes a data folder as a tar stream: what the safety copy holds beside data, and the dump where the node
// looks for it. A nil dump gives an empty node. wrote is told how far it is.
func (f Files) compose(to io.Writer, safety io.Reader, dump *source, wrote func(int64)) error {
	out := tar.NewWriter(to)
	for in := tar.NewReader(safety); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the safety copy: %w", err)
		}
		if f.keeps(header.Name) {
			continue
		}
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	}
	if dump == nil {
		return out.Close()
	}
	if f.AOF && f.Parts {
		if err := f.writeManifest(out, dump.at); err != nil {
			return err
		}
	}
	for _, name := range f.names() {
		if err := dump.copy(out, name, wrote); err != nil {
			return err
		}
	}
	return out.Close()
}

// writeManifest writes what Redis itself would write after a rewrite: one base, and an empty file for what comes.
func (f Files) writeManifest(out *tar.Writer, at time.Time) error {
	if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: f.AOFDir + "/", Mode: 0o755, ModTime: at}); err != nil {
		return err
	}
	base, incr := f.AOFName+".1.base.rdb", f.AOFName+".1.incr.aof"
	manifest := fmt.Sprintf("file %s seq 1 type b\nfile %s seq 1 type i\n", base, incr)
	for _, file := range []struct{ name, text string }{{f.AOFName + ".manifest", manifest}, {incr, ""}} {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: path.Join(f.AOFDir, file.name), Mode: 0o644, Size: int64(len(file.text)), ModTime: at}
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.WriteString(out, file.text); err != nil {
			return err
		}
	}
	return nil
}

// errChanged: what is about to be put into a node is not what was verified.
var errChanged = errors.New("it is not what it was when it was verified")

// source is a file of the folder of backups that goes into a node.
type source struct {
	path, sha256 string
	at           time.Time
}

// copy writes the file as one entry and makes the stream fail where its bytes are not those that were verified.
func (s *source) copy(out *tar.Writer, name string, wrote func(int64)) error {
	file, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: info.Size(), ModTime: s.at}); err != nil {
		return err
	}
	return s.stream(out, file, wrote)
}

// stream copies the file and compares its hash at the end.
func (s *source) stream(to io.Writer, file io.Reader, wrote func(int64)) error {
	hash := sha256.New()
	if _, err := io.Copy(to, io.TeeReader(counted{file, wrote}, hash)); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != s.sha256 {
		return fmt.Errorf("%s: %w: SHA-256 %.12s…, then %.12s…", filepath.Base(s.path), errChanged, got, s.sha256)
	}
	return nil
}

// counted tells how many bytes were read.
type counted struct {
	io.Reader
	tell func(int64)
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.tell(int64(n))
	return n, err
}

// LayOut makes an empty folder the data folder of a Redis 7 with AOF that holds a dump, as a restore does. The hash must
// be the dump's.
func LayOut(folder, dump, hash string) error {
	files := usual()
	files.Known = true
	from := &source{path: dump, sha256: hash, at: time.Now()}
	out, in := io.Pipe()
	go func() { in.CloseWithError(files.compose(in, strings.NewReader(""), from, func(int64) {})) }()
	defer out.Close()
	return stack.EachFile(out, func(header *tar.Header, content io.Reader) error {
		name := filepath.Join(folder, filepath.FromSlash(header.Name)) // compose's own names only
		if header.Typeflag == tar.TypeDir {
			return os.MkdirAll(name, 0o700)
		}
		return writeFile(name, content)
	})
}

func writeFile(name string, from io.Reader) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, from)
	return errors.Join(err, file.Close())
}
