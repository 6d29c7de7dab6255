package record

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzDamage changes a sound recording at will: reading it never panics, and gives no poll that was not recorded.
func FuzzDamage(f *testing.F) {
	dir := f.TempDir()
	record(f, dir, DefaultLimits, header(1), seconds(1, 0, 130)...)
	r := open(f, dir)
	sound, err := os.ReadFile(r.files[0])
	if err != nil {
		f.Fatal(err)
	}
	recorded := map[string]bool{}
	for _, p := range seconds(1, 0, 130) {
		recorded[text(f, p)] = true
	}
	starts := frames(sound)
	f.Add(uint32(starts[1]+40), byte(1), uint32(len(sound)), []byte{}, uint32(0))
	f.Add(uint32(starts[61]+9), byte(0x80), uint32(starts[100]+3), []byte{}, uint32(0))
	f.Add(uint32(0), byte(0), uint32(len(sound)), sound[starts[70]:starts[72]], uint32(starts[20]))
	f.Add(uint32(0), byte(0), uint32(0), []byte("captop recording\n"), uint32(0))
	f.Add(uint32(0), byte(0), uint32(17), frame(kindDelta, epoch, 5, []byte("none")), uint32(17))
	f.Add(uint32(0), byte(0), uint32(17), frame(kindHeader, epoch, maxRaw, []byte{0x28, 0xb5, 0x2f, 0xfd}), uint32(17))
	f.Fuzz(func(t *testing.T, flip uint32, with byte, cut uint32, insert []byte, where uint32) {
		b := bytes.Clone(sound[:min(int(cut), len(sound))])
		if int(flip) < len(b) {
			b[flip] ^= with
		}
		at := min(int(where), len(b))
		b = append(b[:at:at], append(bytes.Clone(insert), b[at:]...)...)
		path := filepath.Join(t.TempDir(), "damaged.captop")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path)
		if err != nil {
			return
		}
		for _, from := range []time.Time{{}, epoch.Add(65 * time.Second)} {
			c, err := r.Polls(from)
			if err != nil {
				t.Fatal(err)
			}
			for {
				p, _, err := c.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if !recorded[text(t, p)] {
					t.Fatalf("a poll that was never recorded: %s", text(t, p))
				}
			}
			for _, d := range c.Damage() {
				if d.Offset < 0 || d.Bytes <= 0 || d.Offset+d.Bytes > int64(len(b)) {
					t.Fatalf("damage beyond the file of %d bytes: %+v", len(b), d)
				}
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
		_, _, _ = r.Bounds()
	})
}
