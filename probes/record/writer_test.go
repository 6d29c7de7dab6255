package record

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"captop/probes"
)

// childPart names what this test binary does when a test runs it as a process of its own.
const childPart = "CAPTOP_RECORD_CHILD"

func TestMain(m *testing.M) {
	switch part, dir, _ := strings.Cut(os.Getenv(childPart), " "); part {
	case "":
		os.Exit(m.Run())
	case "endless":
		endless(dir)
	case "limited":
		limited(dir)
	}
}

// child makes a process that plays a part.
func child(part, dir string) *exec.Cmd {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childPart+"="+part+" "+dir)
	command.Stderr = os.Stderr
	return command
}

// smallLimits make a segment of a few dozen polls.
var smallLimits = Limits{MaxBytes: 32 * 12 << 10, MaxAge: time.Hour}

// endless records until it is killed, and says after each poll that it is written.
func endless(dir string) {
	w := NewWriter(dir, Limits{MaxBytes: 1 << 30, MaxAge: time.Hour}, header(1))
	w.limits.MaxBytes = 32 * 12 << 10 // small segments; the test has more of them than such a bound would leave
	for second := 0; ; second++ {
		p := poll(1, second)
		if state := w.Record(p.At, p.Inputs); state.Lost > 0 {
			fmt.Fprintln(os.Stderr, "lost:", state.Problem)
			os.Exit(1)
		}
		for {
			w.mu.Lock()
			waiting := w.waiting
			w.mu.Unlock()
			if waiting == 0 {
				break
			}
			time.Sleep(20 * time.Microsecond)
		}
		fmt.Println(second)
	}
}

// TestKill kills recorders without warning: all that was written is read, and no more than one poll beyond.
func TestKill(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	torn := 0
	for round := range 40 {
		dir := t.TempDir()
		command := child("endless", dir)
		output, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		last, stopAt := -1, random.IntN(120)
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			if last, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatalf("round %d: %q", round, lines.Text())
			}
			if last == stopAt {
				time.Sleep(time.Duration(random.IntN(2000)) * time.Microsecond)
				if err := command.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = command.Wait()
		if last < stopAt {
			t.Fatalf("round %d: the recorder ended after %d polls by itself", round, last+1)
		}
		got, damage := readAll(t, open(t, dir), time.Time{})
		if n := len(got); n < last+1 || n > last+2 {
			t.Fatalf("round %d: %d polls are read, %d were written; damage %v", round, n, last+1, damage)
		}
		same(t, got, seconds(1, 0, len(got)))
		torn += len(damage)
	}
	t.Logf("%d of 40 recordings had a torn end", torn)
}

// onDisk is the size of all segments.
func onDisk(t *testing.T, dir string) (total int64) {
	t.Helper()
	segments, err := list(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range segments {
		total += s.size
	}
	return total
}

// settle waits until all that was recorded is written.
func settle(t *testing.T, writers ...*Writer) {
	t.Helper()
	for _, w := range writers {
		for limit := time.Now().Add(deadline); ; time.Sleep(100 * time.Microsecond) {
			w.mu.Lock()
			waiting := w.waiting
			w.mu.Unlock()
			if waiting == 0 {
				break
			}
			if time.Now().After(limit) {
				t.Fatal("the writer hangs")
			}
		}
	}
}

// TestBound: several recorders in one directory stay below the bound together, and each keeps its newest polls.
func TestBound(t *testing.T) {
	dir := t.TempDir()
	var writers []*Writer
	for i := range 3 {
		h := header(1)
		h.Started = epoch.Add(time.Duration(i) * time.Second)
		writers = append(writers, NewWriter(dir, smallLimits, h))
	}
	const polls = 1000
	written, highest := int64(0), int64(0)
	for second := range polls {
		p := poll(1, second)
		for _, w := range writers {
			put(t, w, p)
		}
		if second%20 == 0 {
			settle(t, writers...)
			highest = max(highest, onDisk(t, dir))
		}
	}
	for _, w := range writers {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := OpenRun(dir, w.Run())
		if err != nil {
			t.Fatal(err)
		}
		got, damage := readAll(t, r, time.Time{})
		if damage != nil || len(got) == 0 || len(got) == polls {
			t.Errorf("%d polls are left of %d, damage %v", len(got), polls, damage)
		}
		same(t, got, seconds(1, polls-len(got), polls))
		written += int64(w.paths)
	}
	if highest > smallLimits.MaxBytes || onDisk(t, dir) > smallLimits.MaxBytes {
		t.Errorf("%d bytes were on the disk, the bound is %d", highest, smallLimits.MaxBytes)
	}
	if highest < smallLimits.MaxBytes/2 || written < 40 {
		t.Errorf("%d bytes at most in %d segments: the bound was never near", highest, written)
	}
}

// TestAge: what is too old goes when a segment is begun; what another recorder writes stays, however old.
func TestAge(t *testing.T) {
	dir := t.TempDir()
	record(t, dir, DefaultLimits, header(1), poll(1, 0))
	other := header(1)
	other.Started = epoch.Add(time.Second)
	busy := NewWriter(dir, DefaultLimits, other)
	put(t, busy, poll(1, 1))
	settle(t, busy)
	files, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if err := os.Chtimes(file, epoch, epoch); err != nil {
			t.Fatal(err)
		}
	}
	third := header(1)
	third.Started = epoch.Add(2 * time.Second)
	late := poll(1, 0)
	late.At = epoch.Add(DefaultLimits.MaxAge + time.Second)
	record(t, dir, DefaultLimits, third, late)
	runs, err := Runs(dir)
	if err != nil || len(runs) != 2 || runs[0] != busy.Run() {
		t.Errorf("runs %v, %v: want that of the busy recorder and the new one", runs, err)
	}
	if err := busy.Close(); err != nil {
		t.Error(err)
	}
}

// TestSlowDisk: polls that the disk has no time for are counted, and said.
func TestSlowDisk(t *testing.T) {
	dir := t.TempDir()
	h := header(1)
	w := &Writer{dir: dir, run: "slow", limits: DefaultLimits, header: &h, queue: make(chan task, maxWaiting), done: make(chan struct{})}
	var state probes.Recording
	for _, p := range seconds(1, 0, maxWaiting+7) { // nobody writes yet
		state = w.Record(p.At, p.Inputs)
	}
	if state.Lost != 7 || state.Problem == "" {
		t.Fatalf("after seven polls too many: %+v", state)
	}
	go w.write()
	settle(t, w)
	for limit := time.Now().Add(deadline); w.Record(poll(1, 100).At, nil).Problem != ""; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("it is still said to be slow")
		}
	}
	if err := w.Close(); err != nil || w.state.Lost != 7 {
		t.Errorf("%v, %+v", err, w.state)
	}
	got, _ := readAll(t, open(t, dir), time.Time{})
	same(t, got[:maxWaiting], seconds(1, 0, maxWaiting))
	big := Poll{At: epoch, Inputs: []probes.Input{{At: epoch, Body: strings.Repeat("x", waitBytes)}}}
	w = &Writer{header: &h, queue: make(chan task, maxWaiting)}
	if state := w.Record(big.At, big.Inputs); state.Lost != 0 {
		t.Errorf("one large poll: %+v", state)
	}
	if state := w.Record(big.At, big.Inputs); state.Lost != 1 {
		t.Errorf("two large polls: %+v", state)
	}
}

// limited records under a limit on the size of files, which a full disk looks like, and prints how that went.
func limited(dir string) {
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: 30_000, Max: 30_000}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		fmt.Fprintln(os.Stderr, "limiting the size of files:", err)
		os.Exit(1)
	}
	w := NewWriter(dir, DefaultLimits, header(1))
	problem := ""
	for second := range 300 {
		p := poll(1, second)
		for len(w.queue) > 0 {
			time.Sleep(100 * time.Microsecond)
		}
		if state := w.Record(p.At, p.Inputs); state.Problem != "" {
			problem = state.Problem
		}
	}
	err := w.Close()
	fmt.Printf("%d\n%s\n%v\n", w.state.Lost, problem, err)
}

// TestFileLimit: writing fails in the midst of a poll; the recorder says so, tries again, and all that it did not count
// as lost is there.
func TestFileLimit(t *testing.T) {
	dir := t.TempDir()
	output, err := child("limited", dir).Output()
	said := strings.Split(string(output), "\n")
	if err != nil || len(said) < 3 {
		t.Fatalf("%v: %s", err, output)
	}
	lost, err := strconv.Atoi(said[0])
	if err != nil || lost < 5 || !strings.Contains(said[1], "file too large") || said[2] != "<nil>" {
		t.Fatalf("it said %q", said)
	}
	got, damage := readAll(t, open(t, dir), time.Time{})
	if len(got) != 300-lost || damage != nil {
		t.Errorf("%d polls are read, %d of 300 were lost; damage %v", len(got), lost, damage)
	}
	same(t, got[len(got)-1:], seconds(1, 299, 300))
}

// TestNoDirectory: a place that cannot be written is said, tried again, and used once it is there.
func TestNoDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(dir, []byte("in the way"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := NewWriter(dir, DefaultLimits, header(1))
	step := func(second int) probes.Recording {
		p := poll(1, second)
		w.Record(p.At, p.Inputs)
		settle(t, w)
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.state
	}
	step(0)
	if state := step(1); state.Lost != 2 || !strings.Contains(state.Problem, "not a directory") {
		t.Fatalf("%+v", state)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	for second := 2; second < 5; second++ {
		step(second)
	}
	if state := step(5); state.Lost != 5 || state.Problem != "" {
		t.Fatalf("it is tried again after five seconds, and not before: %+v", state)
	}
	for second := 6; second < 30; second++ {
		p := poll(1, second)
		w.Record(p.At, p.Inputs)
		settle(t, w)
	}
	// Ten seconds later the recording is taken away while it is written.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for second := 30; second < 60; second++ {
		p := poll(1, second)
		w.Record(p.At, p.Inputs)
		settle(t, w)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, _ := readAll(t, open(t, dir), time.Time{})
	same(t, got, seconds(1, 60-len(got), 60))
	if len(got) < 10 || w.state.Problem != "" {
		t.Errorf("%d polls, %+v", len(got), w.state)
	}
}

// TestTooLarge: a poll that no segment has room for is lost, and the next ones are not.
func TestTooLarge(t *testing.T) {
	dir := t.TempDir()
	w := NewWriter(dir, smallLimits, header(1))
	noise := make([]byte, 64<<10)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	w.Record(epoch, []probes.Input{{At: epoch, Body: string(noise)}})
	settle(t, w)
	for second := 1; second < 20; second++ {
		p := poll(1, second)
		w.Record(p.At, p.Inputs)
		settle(t, w)
	}
	if err := w.Close(); err != nil || w.state.Lost == 0 || w.state.Lost > 5 {
		t.Errorf("%v, %+v", err, w.state)
	}
	got, _ := readAll(t, open(t, dir), time.Time{})
	same(t, got, seconds(1, 20-len(got), 20))
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("%d files: empty ones are left behind", len(files))
	}
}
