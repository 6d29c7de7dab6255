// Command picture makes the picture of the README from a real screen: it runs a command in tmux, waits for a text and a
// while longer, and writes what the terminal shows as SVG.
//
//	go run ./tui/picture -after 30s -keys 'c Enter' -linger 11s -out .github/screen.svg 'go run ./cmd/captop demo'
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("picture", flag.ContinueOnError)
	size := flags.String("size", "120x40", "columns and rows of the terminal")
	text := flags.String("text", "events", "wait until the screen shows this")
	after := flags.Duration("after", 10*time.Second, "then wait this long, so that the charts fill")
	keys := flags.String("keys", "", "then press these keys, separated by blanks, as tmux names them")
	linger := flags.Duration("linger", 0, "and wait this long after the last key")
	out := flags.String("out", "", "the file to write; standard output if empty")
	if err := flags.Parse(args); err != nil {
		return err
	}
	width, height, err := parseSize(*size)
	if err != nil || flags.NArg() == 0 {
		return errors.Join(err, errors.New("usage: picture [flags] 'command of the dashboard'"))
	}
	screen, err := capture(strings.Join(flags.Args(), " "), width, height, *text, *after, *linger, strings.Fields(*keys))
	if err != nil {
		return err
	}
	svg := SVG(screen, width, height)
	if *out == "" {
		_, err = os.Stdout.WriteString(svg)
		return err
	}
	if err := os.WriteFile(*out, []byte(svg), 0o644); err != nil {
		return fmt.Errorf("writing the picture: %w", err)
	}
	return nil
}

func parseSize(s string) (width, height int, err error) {
	w, h, _ := strings.Cut(s, "x")
	width, err1 := strconv.Atoi(w)
	height, err2 := strconv.Atoi(h)
	if err := errors.Join(err1, err2); err != nil || width < 1 || height < 1 {
		return 0, 0, fmt.Errorf("size %q: want columns x rows, such as 120x40", s)
	}
	return width, height, nil
}

// startTimeout is how long the command may take to show its text; it may have to be built first.
const startTimeout = 3 * time.Minute

// capture runs a command in a tmux of its own and gives the screen with its escape sequences.
func capture(command string, width, height int, text string, after, linger time.Duration, keys []string) (string, error) {
	folder, err := os.MkdirTemp("", "picture")
	if err != nil {
		return "", fmt.Errorf("making a folder for tmux: %w", err)
	}
	defer os.RemoveAll(folder)
	socket := filepath.Join(folder, "tmux")
	tmux := func(args ...string) (string, error) {
		output, err := exec.Command("tmux", append([]string{"-u", "-S", socket, "-f", "/dev/null"}, args...)...).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("tmux %s: %w: %s", args[0], err, output)
		}
		return string(output), nil
	}
	if _, err := tmux("new-session", "-d", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height), "env TERM=xterm-256color "+command); err != nil {
		return "", err
	}
	defer func() { _, _ = tmux("kill-server") }()
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(100 * time.Millisecond) {
		shown, err := tmux("capture-pane", "-p")
		if err != nil {
			return "", err
		}
		if strings.Contains(shown, text) {
			break
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("%q did not show %q within %s; the screen:\n%s", command, text, startTimeout, shown)
		}
	}
	time.Sleep(after)
	for _, key := range keys {
		if _, err := tmux("send-keys", key); err != nil {
			return "", err
		}
		time.Sleep(time.Second)
	}
	time.Sleep(linger)
	shown, err := tmux("capture-pane", "-p", "-e")
	if err != nil {
		return "", err
	}
	_, err = tmux("send-keys", "C-c") // let it clean up before the terminal goes
	time.Sleep(2 * time.Second)
	return shown, err
}
