package main

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"captop/service/node/nodetest"
	"captop/tui/tmuxtest"
)

// readmeRows says how each command of the README is run in this test.
func readmeRows(t *testing.T) map[string]func(*testing.T) {
	rows := map[string]func(*testing.T){}
	for _, command := range guide(t) {
		rows[command] = func(*testing.T) {} // TestGuide types it
	}
	again := func(args ...string) func(*testing.T) { return func(t *testing.T) { finishes(t, nil, args...) } }
	maps.Copy(rows, map[string]func(*testing.T){
		"go run ./cmd/captop demo": demoInTerminal,
		"./run_tests.sh":           again("bash", "-n", "run_tests.sh"), // it is what runs this
		"go run ./cmd/captop --cp http://localhost:5001 --ap http://localhost:5002": func(t *testing.T) {
			inTerminal(t, "go run ./cmd/captop --cp http://localhost:5001 --ap http://localhost:5002", "app_cp")
		},
		"go run ./cmd/captop --once --json": func(t *testing.T) {
			output := finishes(t, nil, "go", "run", "./cmd/captop", "--once", "--json")
			if !strings.Contains(output, `"verdict"`) {
				t.Fatalf("it printed %s", output)
			}
		},
		"go run ./cmd/captop --plain": func(t *testing.T) { inTerminal(t, "go run ./cmd/captop --plain", "app_ap:") },
		"go run ./cmd/captop check": func(t *testing.T) {
			output := finishes(t, nil, "go", "run", "./cmd/captop", "check")
			if !strings.Contains(output, " - ") || !strings.Contains(output, "|up_cp=") || !strings.Contains(output, " staleness_g2=") {
				t.Fatalf("it printed %s", output)
			}
		},
		"go run ./cmd/captop wait 'max(circuit_breaker_state) == 0' --timeout 60s": func(t *testing.T) {
			pair := startPair(t)
			args := slices.Concat([]string{"go", "run", "./cmd/captop", "wait", "max(circuit_breaker_state) == 0", "--timeout", "60s"}, pair.args)
			if output := finishes(t, nil, args...); output != "{} 0\n" {
				t.Fatalf("it printed %q", output)
			}
		},
		"promtool check config deploy/prometheus/prometheus.yml": again("promtool", "check", "config", "deploy/prometheus/prometheus.yml"),
		"promtool test rules deploy/prometheus/alerts_test.yml":  again("promtool", "test", "rules", "deploy/prometheus/alerts_test.yml"),
		"go run ./cmd/captop restart db_g2 --dry-run": func(t *testing.T) {
			pair, state := startPair(t), stateFolder(t)
			cp, ap := pair.urls()
			awaitSettled(t, cp)
			awaitSettled(t, ap)
			args := slices.Concat([]string{"go", "run", "./cmd/captop", "restart", "db_g2", "--dry-run", "--stack", "local"}, pair.args)
			if output := finishes(t, []string{"XDG_STATE_HOME=" + state}, args...); !strings.Contains(output, "nothing was done") {
				t.Fatalf("it printed %s", output)
			}
		},
		"go run ./cmd/captop doctor": func(t *testing.T) {
			pair := startPair(t)
			output := finishes(t, []string{"XDG_STATE_HOME=" + stateFolder(t)}, slices.Concat([]string{"go", "run", "./cmd/captop", "doctor"}, pair.args)...)
			// The pair of the tests has no passwords, and nobody ever took a backup of it.
			for _, want := range []string{"FAIL  redis-password ", "FAIL  backup-age ", " checks in ", " cannot be told, "} {
				if !strings.Contains(output, want) {
					t.Errorf("no %q in %s", want, output)
				}
			}
		},
		"go run ./cmd/captop doctor --list": func(t *testing.T) {
			if output := finishes(t, nil, "go", "run", "./cmd/captop", "doctor", "--list"); strings.Count(output, "\n") < 40 {
				t.Fatalf("it printed %s", output)
			}
		},
		"go run ./cmd/captop journal": func(t *testing.T) {
			if output := finishes(t, []string{"XDG_STATE_HOME=" + stateFolder(t)}, "go", "run", "./cmd/captop", "journal"); !strings.Contains(output, "nothing was done, says ") {
				t.Fatalf("it printed %s", output)
			}
		},
		"go run ./cmd/captop handover --since 2h": func(t *testing.T) {
			if output := finishes(t, []string{"XDG_STATE_HOME=" + recordedState(t)}, "go", "run", "./cmd/captop", "handover", "--since", "2h"); !strings.Contains(output, "# Handover: ") {
				t.Fatalf("it printed %s", output)
			}
		},
		"go run ./cmd/captop replay": func(t *testing.T) {
			inTerminal(t, "XDG_STATE_HOME="+recordedState(t)+" go run ./cmd/captop replay", "REPLAY")
		},
		"go run ./cmd/captop replay --plain --from -10m": func(t *testing.T) {
			output := finishes(t, []string{"XDG_STATE_HOME=" + recordedState(t)}, "go", "run", "./cmd/captop", "replay", "--plain", "--from", "-10m")
			if !strings.Contains(output, "2026-01-02 03:15:00 UTC target critical: db_g2 is down") || strings.Contains(output, "03:10:00 UTC target") {
				t.Fatalf("it printed %s", output)
			}
		},
		"go run ./cmd/captop replay --rules deploy/prometheus/alerts.yml": func(t *testing.T) {
			output := finishes(t, []string{"XDG_STATE_HOME=" + recordedState(t)}, "go", "run", "./cmd/captop", "replay", "--rules", "deploy/prometheus/alerts.yml")
			if !strings.Contains(output, "The recorded rules paged once; those of deploy/prometheus/alerts.yml") {
				t.Fatalf("it printed %s", output)
			}
		},
		"go run ./cmd/captop cut ~/.local/state/captop -10m -5m -o slice.captop": func(t *testing.T) {
			slice := filepath.Join(t.TempDir(), "slice.captop")
			output := finishes(t, nil, "go", "run", "./cmd/captop", "cut", filepath.Join(recordedState(t), "captop"), "-10m", "-5m", "-o", slice)
			if !strings.Contains(output, "301 polls from 2026-01-02 03:13:59 UTC") {
				t.Fatalf("it printed %s", output)
			}
		},
		"go run ./cmd/captop backup take":   backups,
		"go run ./cmd/captop backup list":   backups,
		"go run ./cmd/captop backup verify": backups,
		// Done for real by TestRestoreCommands; here there is nothing to restore into.
		"go run ./cmd/captop backup restore db_g2 --dry-run":   restoreSays("restore", "db_g2", "--dry-run"),
		"go run ./cmd/captop backup restore --both":            restoreSays("restore", "--both"),
		"go run ./cmd/captop backup undo":                      restoreSays("undo"),
		"go run ./cmd/captop drill":                            backups,
		"go run ./cmd/captop bench cp":                         benches("bench", "cp"),
		"go run ./cmd/captop bench ap --rate 2000 --reads 0.9": benches("bench", "ap", "--rate", "2000", "--reads", "0.9"),
		"go run ./cmd/captop bench cp --compare ap --reads 0":  benches("bench", "cp", "--compare", "ap", "--reads", "0"),
		"go run ./cmd/captop bench suite": func(t *testing.T) {
			table := filepath.Join(t.TempDir(), "results.md")
			finishes(t, nil, "go", "run", "./cmd/captop", "bench", "suite", "--rounds", "1", "--each", "200ms", "--out", table)
			if text, err := os.ReadFile(table); err != nil || !strings.Contains(string(text), "| CP writes ÷ bare server ") {
				t.Fatalf("it wrote %s, %v", text, err)
			}
		},
		"go run ./cmd/captop bench scale": func(t *testing.T) {
			table := filepath.Join(t.TempDir(), "scale.md")
			finishes(t, nil, "go", "run", "./cmd/captop", "bench", "scale", "--keys", "100,2000", "--instances", "1,2", "--each", "200ms", "--out", table)
			text, err := os.ReadFile(table)
			if err != nil || strings.Count(string(text), "| CP ")+strings.Count(string(text), "| AP ") != 8 || strings.Contains(string(text), "Not measured") {
				t.Fatalf("it wrote %s, %v", text, err)
			}
		},
		"CAPTOP_LONG=1h go test -timeout 2h -v -run Soak ./deploy/lab": func(t *testing.T) {
			if output := finishes(t, nil, "go", "test", "-list", "Soak", "./deploy/lab"); !strings.Contains(output, "TestSoak\n") { // ./deploy/lab runs it
				t.Fatalf("the soak tests are %q", output)
			}
		},
		"CAPTOP_LONG=5m go test -timeout 60m -v -run 'Linearizable|Faults' ./service/cp ./service/ap": func(t *testing.T) {
			output := finishes(t, []string{"CAPTOP_LONG=1s"}, "go", "test", "-timeout", "60m", "-v", "-run", "Linearizable|Faults", "./service/cp", "./service/ap")
			for _, want := range []string{"--- PASS: TestLinearizable", "seed", "Faults"} {
				if !strings.Contains(output, want) {
					t.Errorf("no %q in what it printed", want)
				}
			}
		},
		"CAPTOP_LONG=5m go test -timeout 60m -v -run Model ./service/cp": func(t *testing.T) {
			if output := finishes(t, nil, "go", "test", "-list", "Model", "./service/cp"); strings.Count(output, "TestModel") < 2 {
				t.Fatalf("the model tests are %q", output)
			}
		},
		"go test -run NONE -bench Requests -benchtime 5x ./cmd/capd": func(t *testing.T) {
			output := finishes(t, nil, "go", "test", "-run", "NONE", "-bench", "Requests", "-benchtime", "1x", "./cmd/capd")
			if strings.Count(output, "write-ratio") != 2 {
				t.Fatalf("it printed %s", output)
			}
		},
		"go test -run NONE -bench CatchUp -benchtime 1000000x ./service/ap": func(t *testing.T) {
			output := finishes(t, nil, "go", "test", "-run", "NONE", "-bench", "CatchUp", "-benchtime", "2000x", "./service/ap")
			if !strings.Contains(output, "redis-benchmark/s") {
				t.Fatalf("it printed %s", output)
			}
		},
	})
	return rows
}

// benches runs bench as it is typed, for a moment, on a pair of the test's.
func benches(args ...string) func(*testing.T) {
	return func(t *testing.T) {
		pair := startPair(t)
		cp, ap := pair.urls()
		awaitSettled(t, cp)
		awaitSettled(t, ap)
		args := slices.Concat([]string{"go", "run", "./cmd/captop"}, args, []string{"--cp", cp, "--ap", ap, "--yes", "--duration", "500ms"})
		if output := finishes(t, nil, args...); !strings.Contains(output, "requests/s") || strings.Contains(output, "failed:") {
			t.Fatalf("it printed %s", output)
		}
	}
}

// recordedState is a state directory with a recording of two nodes.
func recordedState(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	makeRecording(t, filepath.Join(dir, "captop"))
	return dir
}

// backups takes, lists and verifies, as the three commands are typed one after the other.
func backups(t *testing.T) {
	g1, g2, home := nodetest.Start(t), nodetest.Start(t), t.TempDir()
	environ := []string{"XDG_STATE_HOME=" + home, "XDG_CONFIG_HOME=" + home}
	finishes(t, environ, "go", "run", "./cmd/captop", "backup", "take", "--g1", g1.URL(), "--g2", g2.URL())
	for _, command := range []string{"list", "verify"} {
		if output := finishes(t, environ, "go", "run", "./cmd/captop", "backup", command); strings.Count(output, "verified") != 2 {
			t.Errorf("backup %s printed %s", command, output)
		}
	}
	if output := finishes(t, environ, "go", "run", "./cmd/captop", "drill"); !strings.Contains(output, "drill restore: OK") {
		t.Errorf("drill printed %s", output)
	}
}

// finishes runs a command at the root to its end. An exit code of captop's own is an answer, too.
func finishes(t *testing.T, environ []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, args[0], args[1:]...)
	command.Dir, command.Env = root(t), append(os.Environ(), environ...)
	var output, complaints bytes.Buffer
	command.Stdout, command.Stderr = &output, &complaints
	err := command.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && strings.Contains(complaints.String(), "exit status") { // go run tells captop's code
		err = nil
	}
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, output.String(), complaints.String())
	}
	return output.String()
}

func demoInTerminal(t *testing.T) { inTerminal(t, "go run ./cmd/captop demo", "All is well") }

// inTerminal runs a command in a real terminal of 80x24 until it shows text, and then ends it as a person does.
func inTerminal(t *testing.T, command, text string) {
	t.Helper()
	s := tmuxtest.Start(t, 80, 24, root(t), command+`; echo "ended w"ith $?`) // what is typed is on the screen, too
	s.Wait(text)
	s.Keys("C-c")
	s.Wait("ended with")
}

// restoreSays runs captop backup restore or undo where there is nothing to restore into, and wants it to say so.
func restoreSays(args ...string) func(*testing.T) {
	return func(t *testing.T) {
		command := exec.Command("go", append([]string{"run", "./cmd/captop", "backup"}, args...)...)
		command.Dir, command.Env = root(t), append(os.Environ(), "XDG_STATE_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
		if out, err := command.CombinedOutput(); err == nil || !strings.Contains(string(out), "there is nothing to act on: no Compose project publishes") {
			t.Errorf("%q: %v: %s", args, err, out)
		}
	}
}
