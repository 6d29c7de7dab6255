package local

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"captop/deploy/stack"
)

// folder is what a node keeps in its data folder: its dump and its append-only files. Whatever else lies there, for the
// folder may be any, is not touched.
type folder struct {
	name string
	note known
}

// Data is the node's files.
func (s *Stack) Data(part stack.Part) (stack.Data, error) {
	note, ok := s.recall(part.Service)
	if !ok {
		return nil, fmt.Errorf("%s: %w", part.Service, stack.ErrNoPart)
	}
	return folder{part.Service, note}, nil
}

// Save writes them.
func (f folder) Save(ctx context.Context, to io.Writer) error {
	archive := tar.NewWriter(to)
	for _, owned := range f.note.Owned {
		err := filepath.WalkDir(filepath.Join(f.note.Dir, owned), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			return add(archive, f.note.Dir, path, entry)
		})
		if err != nil {
			return fmt.Errorf("saving the data of %s: %w", f.name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("saving the data of %s: %w", f.name, err)
	}
	return nil
}

func add(archive *tar.Writer, dir, path string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	header, err := tar.FileInfoHeader(info, "")
	if err != nil {
		return err
	}
	if header.Name, err = filepath.Rel(dir, path); err != nil {
		return err
	}
	if err := archive.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(archive, file)
	return err
}

// Replace unpacks the stream beside the folder first: one that breaks off leaves everything as it was. Then it moves the
// new in the place of the old, and back if that fails.
func (f folder) Replace(ctx context.Context, from io.Reader) error {
	if f.note.runs() {
		return fmt.Errorf("%s runs: stop it before its data is replaced", f.name)
	}
	next, err := os.MkdirTemp(f.note.Dir, ".captop-next-*")
	if err != nil {
		return fmt.Errorf("replacing the data of %s: %w", f.name, err)
	}
	defer os.RemoveAll(next)
	if err := f.unpack(ctx, next, from); err != nil {
		return fmt.Errorf("reading the new data of %s: %w", f.name, err)
	}
	old, err := os.MkdirTemp(f.note.Dir, ".captop-old-*")
	if err != nil {
		return fmt.Errorf("replacing the data of %s: %w", f.name, err)
	}
	if err := f.move(f.note.Dir, old); err != nil {
		err = errors.Join(err, f.move(old, f.note.Dir), os.Remove(old))
		return fmt.Errorf("replacing the data of %s: %w", f.name, err)
	}
	if err := f.move(next, f.note.Dir); err != nil {
		err = errors.Join(err, f.move(f.note.Dir, next), f.move(old, f.note.Dir), os.Remove(old))
		return fmt.Errorf("replacing the data of %s: %w", f.name, err)
	}
	return os.RemoveAll(old)
}

// move moves what is the node's from one folder to another.
func (f folder) move(from, to string) error {
	for _, owned := range f.note.Owned {
		err := os.Rename(filepath.Join(from, owned), filepath.Join(to, owned))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (f folder) unpack(ctx context.Context, into string, from io.Reader) error {
	return stack.EachFile(from, func(header *tar.Header, content io.Reader) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := filepath.Clean(header.Name)
		if name == "." {
			return nil
		}
		if top, _, _ := strings.Cut(name, "/"); !filepath.IsLocal(name) || !slices.Contains(f.note.Owned, top) {
			return fmt.Errorf("%q is none of %s", header.Name, strings.Join(f.note.Owned, ", "))
		}
		path, err := filepath.Join(into, name), error(nil)
		switch header.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(path, 0o750)
		case tar.TypeReg:
			err = write(path, content)
		default:
			err = fmt.Errorf("%q is neither a file nor a folder", header.Name)
		}
		if err == nil && os.Geteuid() == 0 {
			err = os.Lchown(path, int(f.note.UID), int(f.note.GID))
		}
		return err
	})
}

func write(path string, content io.Reader) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Sync(), file.Close())
}
