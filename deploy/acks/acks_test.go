package acks

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// writerPart makes the test binary put acknowledgements into this file until it is killed.
const writerPart = "CAPTOP_ACKS_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerPart); path != "" {
		f := File{Path: path, Now: time.Now}
		fmt.Println("writing")
		for i := 0; ; i++ {
			ack := Ack{Labels: map[string]string{"alertname": strconv.Itoa(i % 50), "from": os.Args[1]}, Until: time.Now().Add(time.Hour)}
			if err := f.Put(ack); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
	}
	os.Exit(m.Run())
}

func read(t *testing.T, path string) []Ack {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all, err := Parse(text)
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return all
}

func TestPutAndRemove(t *testing.T) {
	now := time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC)
	f := File{Path: filepath.Join(t.TempDir(), "state", "acks.json"), Now: func() time.Time { return now }}
	down, stale := map[string]string{"alertname": "TargetDown"}, map[string]string{"alertname": "Stale", "node": "db_g2"}
	for _, ack := range []Ack{{Labels: down, Reason: "first", Until: now.Add(time.Hour)}, {Labels: stale, Reason: "other", Until: now.Add(time.Minute)},
		{Labels: down, Reason: "second", By: "ann", At: now, Until: now.Add(time.Hour)}} {
		if err := f.Put(ack); err != nil {
			t.Fatal(err)
		}
	}
	if all := read(t, f.Path); len(all) != 2 || all[1].Reason != "second" || all[1].By != "ann" || !all[1].At.Equal(now) {
		t.Errorf("%+v", all)
	}
	now = now.Add(time.Minute)
	if err := f.Remove(map[string]string{"alertname": "nobody"}); err != nil {
		t.Fatal(err)
	}
	if all := read(t, f.Path); len(all) != 1 {
		t.Errorf("one has expired: %+v", all)
	}
	if err := f.Remove(down); err != nil {
		t.Fatal(err)
	}
	if all := read(t, f.Path); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

func TestUnusableFileIsLeft(t *testing.T) {
	f := File{Path: filepath.Join(t.TempDir(), "acks.json"), Now: time.Now}
	if err := os.WriteFile(f.Path, []byte("{torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Put(Ack{}); !errors.Is(err, ErrUnusable) {
		t.Errorf("%v", err)
	}
	if text, _ := os.ReadFile(f.Path); string(text) != "{torn" {
		t.Errorf("it was changed to %q", text)
	}
}

// TestKilledSessions: several sessions write at once and are killed: the file is whole at any time.
func TestKilledSessions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "acks.json")
	for round := range 10 {
		var children []*exec.Cmd
		for i := range 3 {
			child := exec.Command(os.Args[0], fmt.Sprint(round, i))
			child.Env = append(os.Environ(), writerPart+"="+path)
			out, err := child.StdoutPipe()
			if err == nil {
				err = child.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := out.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			children = append(children, child)
		}
		for deadline := time.Now().Add(30 * time.Second); ; {
			if _, err := os.Stat(path); err == nil && len(read(t, path)) > 60*round {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("nothing is written")
			}
		}
		for _, child := range children {
			_ = child.Process.Kill()
			_ = child.Wait()
			read(t, path)
		}
	}
}
