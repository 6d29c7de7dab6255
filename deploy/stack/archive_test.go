package stack

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"testing"
)

// TestBrokenOff: a stream is whole or an error, wherever it breaks off.
func TestBrokenOff(t *testing.T) {
	var whole bytes.Buffer
	out := tar.NewWriter(&whole)
	for _, name := range []string{"a", "b"} {
		err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: 700, Typeflag: tar.TypeReg})
		if _, wrong := out.Write(make([]byte, 700)); err != nil || wrong != nil {
			t.Fatal(err, wrong)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	read := func(stream []byte) error {
		return EachFile(bytes.NewReader(stream), func(_ *tar.Header, content io.Reader) error {
			_, err := io.Copy(io.Discard, content)
			return err
		})
	}
	for n := range whole.Len() {
		if err := read(whole.Bytes()[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("of %d bytes the first %d: %v", whole.Len(), n, err)
		}
	}
	if err := read(whole.Bytes()); err != nil {
		t.Error(err)
	}
}
