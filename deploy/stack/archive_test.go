package stack

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
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

// TestFailsAtItsEnd: a stream that is a whole archive and then fails has failed.
func TestFailsAtItsEnd(t *testing.T) {
	wrong := errors.New("it is another one")
	for _, padding := range []int{0, 1, 10240} {
		archive := bytes.NewReader(make([]byte, tarEnd+padding))
		err := EachFile(io.MultiReader(archive, iotest.ErrReader(wrong)), func(*tar.Header, io.Reader) error { return nil })
		if !errors.Is(err, wrong) {
			t.Errorf("with %d bytes behind the end: %v", padding, err)
		}
	}
}
