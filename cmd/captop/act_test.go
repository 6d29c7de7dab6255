package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"captop/deploy/journal"
	"captop/tui/tmuxtest"
)

// stateFolder gives captop a state directory of the test's own.
func stateFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_STATE_HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Cleanup(func() { // what captop has started outlives it, and this process
		notes, _ := filepath.Glob(filepath.Join(dir, "captop", "local", "*.json"))
		for _, note := range notes {
			var process struct{ PID int }
			if text, err := os.ReadFile(note); err == nil && json.Unmarshal(text, &process) == nil && process.PID > 1 {
				_ = syscall.Kill(process.PID, syscall.SIGKILL)
			}
		}
	})
	return dir
}

func readJournal(t *testing.T, state string) []journal.Record {
	t.Helper()
	acts, err := journal.File{Path: filepath.Join(state, "captop", "journal.jsonl"), Now: time.Now}.Read(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return acts
}

// TestActCommands acts on real processes behind a real pair, and goes through every exit code.
func TestActCommands(t *testing.T) {
	state := stateFolder(t)
	pair := startPair(t)
	until(t, "both nodes are settled", func() bool {
		code, _, _ := capture(t, slices.Concat([]string{"restart", "db_g2", "--dry-run", "--stack", "local"}, pair.args)...)
		return code == 0
	})
	for _, c := range []struct {
		code          int
		args          []string
		says, problem string
	}{
		{0, []string{"restart", "db_g2", "--dry-run"}, "shutdown && setsid", ""},
		{64, []string{"restart", "db_g2"}, "$ redis-cli", "give --yes"},
		{0, []string{"restart", "db_g2", "--yes"}, "under a new run id", ""},
		{0, []string{"pause", "db_g2", "--yes"}, "app_cp and app_ap cannot reach db_g2", ""},
		{2, []string{"pause", "db_g2", "--yes"}, "", "paused already"},
		{2, []string{"stop", "db_g1", "--yes"}, "", "captop heal db_g2"},
		{2, []string{"restart", "db_g1", "--dry-run"}, "", "db_g2 is paused"},
		{0, []string{"heal", "db_g2", "--yes"}, "app_cp and app_ap have settled it", ""},
		{0, []string{"stop", "db_g2", "--yes"}, "db_g2 is stopped", ""},
		{2, []string{"write", "k", "v", "--mode", "cp", "--yes"}, "", "not applied"},
		{0, []string{"write", "k", "v", "--mode", "ap", "--yes"}, "APPLIED as version", ""},
		{0, []string{"start", "db_g2", "--yes"}, "have settled it", ""},
		{0, []string{"write", "k", "v", "--mode", "cp", "--yes"}, "held by db_g1 and db_g2", ""},
		{64, []string{"write", "k", "v", "--mode", "xy", "--yes"}, "", "give cp or ap"},
		{64, []string{"restart", "nobody", "--yes"}, "", "it has db_g1, db_g2"},
		{64, []string{"cut", "db_g2", "--yes"}, "", "no link to cut"},
		{64, []string{"restart"}, "", "accepts 1 arg"},
		{64, []string{"restart", "db_g2", "--stack", "nonsense"}, "", "auto"},
		{64, []string{"restart", "db_g2", "--stack", "none"}, "", "nothing to act on"},
		{1, []string{"restart", "web", "--yes", "--stack", "auto", "--act", "restart web=echo broken >&2; exit 3"}, "", "broken"},
		{64, []string{"logs", "nobody"}, "", "it has db_g1, db_g2"},
	} {
		args := slices.Concat(c.args, pair.args)
		if !slices.Contains(args, "--stack") {
			args = append(args, "--stack", "local")
		}
		code, out, problem := capture(t, args...)
		if code != c.code || !strings.Contains(out, c.says) || !strings.Contains(problem, c.problem) {
			t.Fatalf("captop %v: exit %d, printed %q, said %q; want %d, %q, %q", c.args, code, out, problem, c.code, c.says, c.problem)
		}
	}
	var whats []string
	for _, r := range readJournal(t, state) {
		whats = append(whats, r.What+": "+string(r.Outcome))
	}
	want := []string{"restart db_g2: done", "pause db_g2: done", "heal db_g2: done", "stop db_g2: done", "write k: undone", "write k: done", "start db_g2: done", "write k: done", "restart web: failed"}
	if !slices.Equal(whats, want) {
		t.Errorf("the journal has %q, want %q", whats, want)
	}
	code, out, problem := capture(t, "journal")
	if code != 0 || problem != "" || strings.Count(out, "restart db_g2: done after") != 1 {
		t.Errorf("journal: exit %d, %q, %q", code, out, problem)
	}
	code, out, problem = capture(t, "journal", "--json", "--since", "1h")
	if code != 0 || problem != "" || strings.Count(out, "\n") != len(want) || !json.Valid([]byte(strings.SplitN(out, "\n", 2)[0])) {
		t.Errorf("journal --json: exit %d, %q, %q", code, out, problem)
	}
	code, out, problem = capture(t, "handover", "--since", "2h")
	for _, part := range []string{"# Handover: ", "Nothing was recorded", "restart db_g2: done", "- `redis-cli -p", "- before: db_g2 is running", "| act | pause db_g2: done |"} {
		if code != 0 || problem != "" || !strings.Contains(out, part) {
			t.Errorf("handover lacks %q: exit %d, %q, %q", part, code, out, problem)
		}
	}
}

// TestHandoverOfARecording tells verdicts and alerts too.
func TestHandoverOfARecording(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", recordedState(t))
	code, out, problem := capture(t, "handover", "--since", "100000h")
	for _, part := range []string{"when captop last looked: **", "| verdict | **", "| alert | ", "Nothing, through captop", "Recorded: "} {
		if code != 0 || problem != "" || !strings.Contains(out, part) {
			t.Errorf("handover lacks %q: exit %d, %q, %q", part, code, out, problem)
		}
	}
}

func captopBinary(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "captop")
	if out, err := exec.Command("go", "build", "-o", binary, "captop/cmd/captop").CombinedOutput(); err != nil {
		t.Fatalf("building captop: %v\n%s", err, out)
	}
	return binary
}

// actEnded waits until the journal holds the end of its one act.
func actEnded(t *testing.T, state string) journal.Record {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if acts := readJournal(t, state); len(acts) == 1 && !acts[0].Open() {
			return acts[0]
		}
	}
	t.Fatalf("the act has no end: %+v", readJournal(t, state))
	return journal.Record{}
}

// TestLosingTheTerminal: the terminal is gone in the middle of an act, as it is when an SSH link breaks. The act goes on
// to its end, begun by a command or on the screen.
func TestLosingTheTerminal(t *testing.T) {
	binary := captopBinary(t)
	for name, begin := range map[string]func(*tmuxtest.Screen){
		"restart web --yes": func(*tmuxtest.Screen) {},
		"": func(s *tmuxtest.Screen) {
			s.Wait("A arm")
			s.Keys("A")
			s.Wait("ARMED")
			s.Keys(":restart web", "Enter")
			s.Wait("restart web?", "sh ./slow")
			s.Keys("Enter")
		},
	} {
		t.Run("captop "+name, func(t *testing.T) {
			state, dir := stateFolder(t), t.TempDir()
			slow := "touch begun; while [ ! -e go ]; do sleep 0.1; done; touch done\n"
			if err := os.WriteFile(filepath.Join(dir, "slow"), []byte(slow), 0o600); err != nil {
				t.Fatal(err)
			}
			s := tmuxtest.Start(t, 100, 30, dir, "XDG_STATE_HOME="+state+" XDG_CONFIG_HOME="+state+" "+binary+" "+name+
				" --cp http://127.0.0.1:1 --ap http://127.0.0.1:1 --g1 redis://127.0.0.1:1 --g2 redis://127.0.0.1:1 --act 'restart web=sh ./slow'")
			begin(s)
			until(t, "the command runs", func() bool { _, err := os.Stat(filepath.Join(dir, "begun")); return err == nil })
			s.Tmux("kill-server")
			if acts := readJournal(t, state); len(acts) != 1 || !acts[0].Open() {
				t.Fatalf("it is not under way: %+v", acts)
			}
			if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if r := actEnded(t, state); r.Outcome != journal.Done {
				t.Errorf("%+v", r)
			}
			if _, err := os.Stat(filepath.Join(dir, "done")); err != nil {
				t.Errorf("it was broken off: %v", err)
			}
		})
	}
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// TestKilledInTheMiddle: captop is killed with -9 in the middle of an act; the next one says so and ends it. Meanwhile
// nobody else acts on the same stack.
func TestKilledInTheMiddle(t *testing.T) {
	state, binary, dir := stateFolder(t), captopBinary(t), t.TempDir()
	flags := []string{"--cp", "http://127.0.0.1:1", "--ap", "http://127.0.0.1:1", "--g1", "redis://127.0.0.1:1", "--g2", "redis://127.0.0.1:1"}
	first := exec.Command(binary, append([]string{"restart", "web", "--yes", "--act", "restart web=touch " + dir + "/begun; exec sleep 1000"}, flags...)...)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the command runs", func() bool { _, err := os.Stat(filepath.Join(dir, "begun")); return err == nil })
	quick := append([]string{"restart", "web", "--yes", "--act", "restart web=true"}, flags...)
	if code, out, problem := capture(t, quick...); code != 2 || !strings.Contains(problem, `is at "restart web" since`) {
		t.Fatalf("two at once: exit %d, %q, %q", code, out, problem)
	}
	group := childOf(t, first.Process.Pid)
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	_ = syscall.Kill(-group, syscall.SIGKILL)
	code, out, problem := capture(t, quick...)
	if code != 0 || !strings.Contains(out, "had no end: captop was gone in the middle") || !strings.Contains(out, "DONE") {
		t.Fatalf("exit %d, %q, %q", code, out, problem)
	}
	acts := readJournal(t, state)
	if len(acts) != 2 || acts[0].Outcome != journal.Unknown || acts[0].By == "" || acts[1].Outcome != journal.Done {
		t.Errorf("%+v", acts)
	}
}

// childOf finds the process that another one has started.
func childOf(t *testing.T, parent int) int {
	t.Helper()
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(parent)).Output()
	if err != nil {
		t.Fatal(err)
	}
	var child int
	if err := json.Unmarshal([]byte(strings.Fields(string(out))[0]), &child); err != nil {
		t.Fatal(err)
	}
	return child
}

// TestCopyReachesTheTerminal: y on a real terminal, which is tmux and takes OSC 52 for its own buffer.
func TestCopyReachesTheTerminal(t *testing.T) {
	state, binary := stateFolder(t), captopBinary(t)
	s := tmuxtest.Start(t, 100, 30, t.TempDir(), "tmux set -g set-clipboard on; XDG_STATE_HOME="+state+" XDG_CONFIG_HOME="+state+" "+binary+
		" --cp http://127.0.0.1:1 --ap http://127.0.0.1:1 --g1 redis://127.0.0.1:1 --g2 redis://127.0.0.1:1 --stack none")
	s.Wait("next:")
	s.Keys("y")
	s.Wait("Sent to the terminal's clipboard")
	until(t, "the buffer holds the verdict", func() bool {
		return strings.Contains(s.Tmux("list-buffers"), "critical: ") && strings.Contains(s.Tmux("show-buffer"), "\nnext: ")
	})
}
