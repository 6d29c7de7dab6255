package stack

import (
	"archive/tar"
	"errors"
	"io"
)

// tarEnd is the length in bytes of what a tar stream ends with: two blocks of zeros.
const tarEnd = 2 * 512

// EachFile gives each entry of a tar stream to do, and stops at its first error. A stream that breaks off is
// io.ErrUnexpectedEOF, also between two files, where tar.Reader takes it for a whole one. It is read to its very end: who
// writes it may know only there that it is not what it should be.
func EachFile(from io.Reader, do func(header *tar.Header, content io.Reader) error) error {
	counted := &counter{from: from}
	for in := tar.NewReader(counted); ; {
		before := counted.n
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			if counted.n-before < tarEnd {
				return io.ErrUnexpectedEOF
			}
			_, err := io.Copy(io.Discard, from)
			return err
		}
		if err == nil {
			err = do(header, in)
		}
		if err != nil {
			return err
		}
	}
}

// counter counts the bytes that are read through it.
type counter struct {
	from io.Reader
	n    int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n += n
	return n, err
}
