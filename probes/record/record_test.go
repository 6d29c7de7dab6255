package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"captop/probes"
)

// TestRoundTrip: what is read is what was recorded, from any time on, over several segments.
func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	polls := seconds(2, 0, 300)
	limits := Limits{MaxBytes: 32 * 40 << 10, MaxAge: time.Hour}
	record(t, dir, limits, header(2), polls...)
	files, err := filepath.Glob(filepath.Join(dir, "*.captop"))
	if err != nil || len(files) < 3 {
		t.Fatalf("segments %v, %v: want several", files, err)
	}
	r := open(t, dir)
	got, damage := readAll(t, r, time.Time{})
	same(t, got, polls)
	if damage != nil {
		t.Errorf("damage %v", damage)
	}
	for _, second := range []int{0, 1, 59, 60, 61, 150, 299} {
		got, _ := readAll(t, r, polls[second].At)
		same(t, got, polls[second:])
	}
	if got, _ := readAll(t, r, polls[299].At.Add(1)); len(got) != 0 {
		t.Errorf("%d polls after the last one", len(got))
	}
	from, to, err := r.Bounds()
	if err != nil || !from.Equal(polls[0].At) || !to.Equal(polls[299].At) {
		t.Errorf("bounds %s to %s, %v", from, to, err)
	}
	// Each segment stands alone.
	alone, _ := readAll(t, open(t, files[1]), time.Time{})
	first := int(alone[0].At.Sub(epoch) / time.Second)
	same(t, alone, polls[first:first+len(alone)])
}

// TestEveryField: an Input is kept whole, also with fields that are added one day.
func TestEveryField(t *testing.T) {
	var in probes.Input
	fill(t, reflect.ValueOf(&in).Elem())
	in.At = epoch
	dir := t.TempDir()
	record(t, dir, DefaultLimits, header(1), Poll{At: epoch, Inputs: []probes.Input{in, {At: epoch}}})
	got, _ := readAll(t, open(t, dir), time.Time{})
	same(t, got, []Poll{{At: epoch, Inputs: []probes.Input{in, {At: epoch}}}})
	if !reflect.DeepEqual(got[0].Inputs[0], in) {
		t.Errorf("%+v became %+v: a field is not kept", in, got[0].Inputs[0])
	}
}

// fill gives every field a value that is not its zero.
func fill(t *testing.T, v reflect.Value) {
	for i := range v.NumField() {
		switch field := v.Field(i); field.Kind() {
		case reflect.String:
			field.SetString(fmt.Sprintf("text %d\x00\xff\n", i))
			if v.Type().Field(i).Name != "Body" { // only bodies may be anything
				field.SetString(fmt.Sprintf("text %d", i))
			}
		case reflect.Int, reflect.Int64:
			field.SetInt(2)
		case reflect.Struct: // a time
		default:
			t.Fatalf("%s: say here how it is filled", v.Type().Field(i).Name)
		}
	}
}

// TestNoSecrets: nothing of tokens and passwords is in the file.
func TestNoSecrets(t *testing.T) {
	dir := t.TempDir()
	record(t, dir, DefaultLimits, header(1), poll(1, 0))
	h, err := open(t, dir).Header()
	if err != nil {
		t.Fatal(err)
	}
	if h.Targets.Services[0].URL != "http://cp0:5001/" || h.Targets.Nodes[0].URL != "redis://g1:6379" {
		t.Errorf("targets %+v", h.Targets)
	}
	polls, _ := readAll(t, open(t, dir), time.Time{})
	if all := text(t, h) + text(t, polls); strings.Contains(all, "hunter2") {
		t.Errorf("a secret is recorded: %s", all)
	}
}

// TestRulesChange: rules are in the header from the poll on that follows their change, in each segment; broken ones never.
func TestRulesChange(t *testing.T) {
	dir := t.TempDir()
	w := NewWriter(dir, Limits{MaxBytes: 32 * 20 << 10, MaxAge: time.Hour}, header(1))
	for second := range 200 {
		p := poll(1, second)
		if second%50 == 25 {
			p.Inputs = append(p.Inputs, changed(fmt.Sprintf("groups: [] # %d\n", second)))
		}
		if second%50 == 30 {
			p.Inputs = append(p.Inputs, changed("groups: 7"))
		}
		put(t, w, p)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, from := range []int{0, 30, 80, 130, 199} {
		c, err := open(t, dir).Polls(epoch.Add(time.Duration(from) * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for second := from; second < 200; second++ {
			_, h, err := c.Next()
			if err != nil {
				t.Fatal(err)
			}
			want := "groups: []\n"
			if second > 25 {
				want = fmt.Sprintf("groups: [] # %d\n", (second-26)/50*50+25)
			}
			if h.Rules.Text != want {
				t.Fatalf("from %d, second %d: rules %q, want %q", from, second, h.Rules.Text, want)
			}
		}
		c.Close()
	}
}

func changed(rules string) probes.Input {
	return probes.Input{Target: "captop", Part: probes.PartRulesFile, Fault: probes.Up, At: epoch, Body: rules}
}

// TestDamage: a torn end costs one poll; a byte that is wrong costs a minute at most, and is named.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	polls := seconds(1, 0, 200)
	record(t, dir, DefaultLimits, header(1), polls...)
	path := open(t, dir).files[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.captop")
	write := func(b []byte) *Recording {
		if err := os.WriteFile(broken, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return open(t, broken)
	}
	starts := frames(whole)
	if len(starts) != 201 {
		t.Fatalf("%d frames", len(starts))
	}
	t.Run("torn", func(t *testing.T) {
		for _, left := range []int{1, 31, 32, 33, len(whole) - starts[200] - 1} {
			got, damage := readAll(t, write(whole[:starts[200]+left]), time.Time{})
			same(t, got, polls[:199])
			if len(damage) != 1 || !damage[0].Torn || damage[0].Bytes != int64(left) || damage[0].Offset != int64(starts[200]) {
				t.Errorf("%d bytes of the last frame: %v", left, damage)
			}
		}
	})
	t.Run("zeros", func(t *testing.T) { // what a file system may leave after a loss of power
		got, damage := readAll(t, write(append(bytes.Clone(whole[:starts[150]]), make([]byte, 100_000)...)), time.Time{})
		same(t, got, polls[:149])
		if len(damage) != 1 || damage[0].Bytes != 100_000 {
			t.Errorf("damage %v", damage)
		}
	})
	t.Run("payload", func(t *testing.T) {
		b := bytes.Clone(whole)
		b[starts[100]+frameHead+5] ^= 0x40
		got, damage := readAll(t, write(b), time.Time{})
		same(t, got, append(polls[:99:99], polls[100:]...))
		if len(damage) != 1 || damage[0].Offset != int64(starts[100]) || damage[0].Torn {
			t.Errorf("damage %v", damage)
		}
	})
	t.Run("head", func(t *testing.T) {
		b := bytes.Clone(whole)
		b[starts[100]+9] ^= 1 // its length
		got, damage := readAll(t, write(b), time.Time{})
		same(t, got, append(polls[:99:99], polls[100:]...))
		if len(damage) != 1 || damage[0].Offset != int64(starts[100]) || damage[0].Bytes != int64(starts[101]-starts[100]) {
			t.Errorf("damage %v", damage)
		}
	})
	t.Run("whole", func(t *testing.T) { // the poll that a minute is compressed against
		b := bytes.Clone(whole)
		b[starts[61]+frameHead+5] ^= 0x40
		got, damage := readAll(t, write(b), time.Time{})
		same(t, got, append(polls[:60:60], polls[120:]...))
		if len(damage) != 60 || damage[0].Offset != int64(starts[61]) {
			t.Errorf("%d damages, %v", len(damage), damage[0])
		}
		got, _ = readAll(t, open(t, broken), polls[70].At)
		same(t, got, polls[120:])
	})
	t.Run("missing", func(t *testing.T) { // no delta is ever read against another whole poll
		b := append(bytes.Clone(whole[:starts[61]]), whole[starts[62]:]...)
		got, damage := readAll(t, write(b), time.Time{})
		same(t, got, append(polls[:60:60], polls[120:]...))
		if len(damage) != 59 || !strings.Contains(damage[0].Why, "dictionary") {
			t.Errorf("%d damages, %v", len(damage), damage[0])
		}
	})
	t.Run("every byte", func(t *testing.T) { // zstd alone would take some of them for sound
		short := whole[:starts[4]]
		for at := starts[3]; at < len(short); at++ {
			b := bytes.Clone(short)
			b[at] ^= 0x11
			got, damage := readAll(t, write(b), time.Time{})
			same(t, got, polls[:2])
			if len(damage) != 1 || damage[0].Offset != int64(starts[3]) {
				t.Fatalf("byte %d: damage %v", at-starts[3], damage)
			}
		}
	})
}

// frames gives where each frame of a sound file begins.
func frames(b []byte) (starts []int) {
	for at := len(magic); at < len(b); {
		h, ok := parseHead(b[at:])
		if !ok {
			panic("no frame")
		}
		starts = append(starts, at)
		at += frameHead + int(h.length)
	}
	return starts
}

func TestWrongFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newer := header(1)
	newer.Format = Format + 1
	e, err := newEncoder()
	if err != nil {
		t.Fatal(err)
	}
	frame, err := e.header(newer, epoch)
	if err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		want error
	}{
		{write("page.html", "<html>"), ErrNotRecording},
		{write("long.txt", strings.Repeat("x", 1000)), ErrNotRecording},
		{write("newer", magic+string(frame)), ErrNewer},
		{empty, ErrEmpty},
		{filepath.Join(dir, "none"), os.ErrNotExist},
	} {
		if _, err := Open(c.path); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: %v, want %v", c.path, err, c.want)
		}
	}
	for _, begun := range []string{"", magic[:5], magic} {
		if _, _, err := open(t, write("begun", begun)).Bounds(); !errors.Is(err, ErrEmpty) {
			t.Errorf("%q: %v, want ErrEmpty", begun, err)
		}
	}
}

// TestReadWhileWriting: a cursor that has read all goes on when more was written, also in the next segment.
func TestReadWhileWriting(t *testing.T) {
	dir := t.TempDir()
	polls := seconds(1, 0, 300)
	w := NewWriter(dir, Limits{MaxBytes: 32 * 20 << 10, MaxAge: time.Hour}, header(1))
	go func() {
		for _, p := range polls {
			for len(w.queue) > maxWaiting/2 {
				time.Sleep(time.Millisecond)
			}
			w.Record(p.At, p.Inputs)
		}
	}()
	var r *Recording
	limit := time.Now().Add(deadline)
	for r == nil && time.Now().Before(limit) {
		r, _ = OpenRun(dir, w.Run())
	}
	c, err := r.Polls(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got []Poll
	for len(got) < len(polls) && time.Now().Before(limit) {
		p, _, err := c.Next()
		if errors.Is(err, io.EOF) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p)
	}
	same(t, got, polls)
	if err := w.Close(); err != nil || len(r.files) < 2 || len(c.Damage()) != 0 {
		t.Errorf("%v, %d segments, damage %v", err, len(r.files), c.Damage())
	}
}
