package journal

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// part makes the test binary play a process that writes into this journal: "many" writes whole acts until it is killed,
// "one" begins one act and waits.
const part = "CAPTOP_JOURNAL_PART"

func TestMain(m *testing.M) {
	f := File{Path: os.Getenv("CAPTOP_JOURNAL"), Now: time.Now}
	switch os.Getenv(part) {
	case "many":
		for i := 0; ; i++ {
			check(writeAct(f, fmt.Sprintf("%s-%d", os.Args[1], i)))
			fmt.Println(i)
		}
	case "one":
		o, err := f.Begin(Act{What: "restart db_g2"})
		check(err)
		check(o.Step("stopping db_g2"))
		fmt.Println(o.ID)
		select {}
	}
	os.Exit(m.Run())
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func writeAct(f File, what string) error {
	o, err := f.Begin(Act{Who: "ann@web1", What: what, Command: strings.Repeat("x", 3000)})
	if err != nil {
		return err
	}
	return errors.Join(o.Step("first"), o.Step("second"), o.End(Result{Outcome: Done, Proof: "it is so"}))
}

func newFile(t *testing.T) File {
	return File{Path: filepath.Join(t.TempDir(), "state", "journal.jsonl"), Now: time.Now}
}

// child starts a part; its first line of output has come.
func child(t *testing.T, f File, name, arg string) (*exec.Cmd, string) {
	t.Helper()
	command := exec.Command(os.Args[0], arg)
	command.Env = append(os.Environ(), part+"="+name, "CAPTOP_JOURNAL="+f.Path)
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("the part %s says nothing", name)
	}
	first := lines.Text()
	go func() {
		for lines.Scan() {
		}
	}()
	return command, first
}

func read(t *testing.T, f File, since time.Time) []Record {
	t.Helper()
	records, err := f.Read(since)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func TestAnAct(t *testing.T) {
	now := time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC)
	f := newFile(t)
	f.Now = func() time.Time { now = now.Add(time.Second); return now }
	act := Act{Who: "ann as root@web1", Seat: "screen pts/3", Stack: "compose project shop", What: "restart db_g2",
		Command: "docker restart shop_db_g2_1", Before: "db_g2 is up\nsince 02:00"}
	o, err := f.Begin(act)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(o.Step("stopping"), o.Step("starting")); err != nil {
		t.Fatal(err)
	}
	if r := read(t, f, time.Time{}); len(r) != 1 || !r[0].Open() || len(r[0].Steps) != 2 || r[0].Act != act {
		t.Errorf("while it goes on: %+v", r)
	}
	if _, err := f.Adopt(o.ID); !errors.Is(err, ErrHeld) {
		t.Errorf("adopting what goes on: %v", err)
	}
	result := Result{Outcome: Done, Proof: "a new run id\nPONG", After: "db_g2 is up since 03:00"}
	if err := o.End(result); err != nil {
		t.Fatal(err)
	}
	r := read(t, f, time.Time{})[0]
	if r.Open() || r.Result != result || r.Steps[1].Text != "starting" || !r.Ended.After(r.Began) || r.ID != o.ID {
		t.Errorf("after its end: %+v", r)
	}
	if len(read(t, f, r.Ended)) != 1 || len(read(t, f, r.Ended.Add(time.Nanosecond))) != 0 {
		t.Error("what ended before the time is asked for is not left out, or too much is")
	}
	if _, err := f.Adopt(o.ID); !errors.Is(err, ErrEnded) {
		t.Errorf("adopting what has ended: %v", err)
	}
	if _, err := f.Adopt("nothing"); !errors.Is(err, ErrNoAct) {
		t.Errorf("adopting what never was: %v", err)
	}
	if left, _ := os.ReadDir(f.Path + ".acting"); len(left) != 0 {
		t.Errorf("marks are left: %v", left)
	}
	info, err := os.Stat(f.Path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v: others could read it", info.Mode(), err)
	}
}

func TestNoJournalIsNoActs(t *testing.T) {
	f := newFile(t)
	if records, err := f.Read(time.Time{}); len(records) != 0 || err != nil {
		t.Errorf("%v %v", records, err)
	}
	if records, err := f.Abandoned(); len(records) != 0 || err != nil {
		t.Errorf("%v %v", records, err)
	}
}

// TestAbandoned: a process that is stopped is still at its act; one that is killed is not.
func TestAbandoned(t *testing.T) {
	f := newFile(t)
	process, id := child(t, f, "one", "")
	if err := process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if found, err := f.Abandoned(); len(found) != 0 || err != nil {
		t.Fatalf("its process hangs, but is there: %v %v", found, err)
	}
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()
	found, err := f.Abandoned()
	if err != nil || len(found) != 1 || found[0].ID != id || found[0].What != "restart db_g2" || found[0].Steps[0].Text != "stopping db_g2" {
		t.Fatalf("%+v %v", found, err)
	}
	mine, err := f.Adopt(id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Adopt(id); !errors.Is(err, ErrHeld) {
		t.Errorf("two adopted it: %v", err)
	}
	if found, err := f.Abandoned(); len(found) != 0 || err != nil {
		t.Errorf("it is somebody's again: %v %v", found, err)
	}
	if err := mine.End(Result{Outcome: Undone, By: "bob@web1"}); err != nil {
		t.Fatal(err)
	}
	if r := read(t, f, time.Time{}); len(r) != 1 || r[0].By != "bob@web1" || r[0].Open() {
		t.Errorf("%+v", r)
	}
}

// TestKilledWriters: processes write at once and are killed in the middle. Every act that one of them saw ended is there,
// whole, and no line spoils another.
func TestKilledWriters(t *testing.T) {
	f := newFile(t)
	for round := range 5 {
		var children []*exec.Cmd
		for i := range 3 {
			c, _ := child(t, f, "many", fmt.Sprintf("%d/%d", round, i))
			children = append(children, c)
		}
		for deadline := time.Now().Add(time.Minute); len(read(t, f, time.Time{})) < 30*(round+1); {
			if time.Now().After(deadline) {
				t.Fatal("nothing is written")
			}
		}
		for _, c := range children {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
		// As a disk that was full or a machine without power leaves it.
		torn, err := os.OpenFile(f.Path, os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = torn.WriteString(`{"kind":"begin","id":"to`)
		}
		if err := errors.Join(err, torn.Close(), writeAct(f, fmt.Sprintf("after %d", round))); err != nil {
			t.Fatal(err)
		}
		seen, whole := map[string]bool{}, 0
		for _, r := range read(t, f, time.Time{}) {
			seen[r.What] = true
			if !r.Open() {
				whole++
				if len(r.Steps) != 2 || r.Proof != "it is so" || len(r.Command) != 3000 {
					t.Fatalf("%+v", r)
				}
			}
		}
		for i := range 3 {
			if !seen[fmt.Sprintf("%d/%d-0", round, i)] {
				t.Errorf("the first act of writer %d in round %d is lost", i, round)
			}
		}
		if !seen[fmt.Sprintf("after %d", round)] {
			t.Errorf("the act after the torn line of round %d is lost", round)
		}
		if open, err := f.Abandoned(); err != nil || len(open)+whole != len(seen) {
			t.Errorf("%d abandoned and %d whole of %d: %v", len(open), whole, len(seen), err)
		}
	}
}

// TestTail: what others write comes bit by bit, each line once, and none before it is whole.
func TestTail(t *testing.T) {
	f := newFile(t)
	tail := f.Tail()
	next := func(want int) []Line {
		t.Helper()
		lines, err := tail.Next()
		if err != nil || len(lines) != want {
			t.Fatalf("%d lines, want %d: %v", len(lines), want, err)
		}
		return lines
	}
	next(0)
	if err := writeAct(f, "first"); err != nil {
		t.Fatal(err)
	}
	if lines := next(4); lines[0].Kind != Begin || lines[3].Kind != End || lines[1].Text != "first" {
		t.Errorf("%+v", lines)
	}
	file, err := os.OpenFile(f.Path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for i, bit := range []string{`{"kind":"begin","id":"x",`, `"what":"cut"}`, "\n"} {
		next(0)
		if _, err := file.WriteString(bit); err != nil {
			t.Fatal(i, err)
		}
	}
	if lines := next(1); lines[0].What != "cut" {
		t.Errorf("%+v", lines)
	}
}

func TestWho(t *testing.T) {
	env := map[string]string{"SUDO_USER": "ann", "SSH_CONNECTION": "10.0.0.7 50123 10.0.0.1 22"}
	getenv := func(name string) string { return env[name] }
	if who := Who(getenv); !strings.HasPrefix(who, "ann as ") || !strings.Contains(who, "@") {
		t.Error(who)
	}
	if seat := Seat("screen", getenv); !strings.HasPrefix(seat, "screen") || !strings.HasSuffix(seat, " from 10.0.0.7") {
		t.Error(seat)
	}
	env = nil
	if who := Who(getenv); strings.Contains(who, " as ") {
		t.Error(who)
	}
}
