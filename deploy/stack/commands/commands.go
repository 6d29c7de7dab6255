// Package commands acts through commands of the user's own, such as "systemctl restart redis@g2". What state a part is in
// nobody can tell.
package commands

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"captop/deploy/stack"
)

// ErrUnusable: a text does not say what is done by which command.
var ErrUnusable = errors.New(`want "VERB PART=COMMAND", such as "restart db_g2=systemctl restart redis@g2"`)

// verbs are what a command can be given for; logs is one more.
var verbs = []string{string(stack.Start), string(stack.Stop), string(stack.Restart), string(stack.Pause), string(stack.Unpause),
	string(stack.Cut), string(stack.Heal), logs}

const logs = "logs"

// Stack is the commands by verb and part.
type Stack struct{ commands map[string]map[string]string }

var _ stack.Stack = Stack{}

// Parse reads texts of the form "VERB PART=COMMAND". ErrUnusable for one of another form.
func Parse(texts []string) (Stack, error) {
	s := Stack{commands: map[string]map[string]string{}}
	for _, text := range texts {
		what, command, ok := strings.Cut(text, "=")
		words := strings.Fields(what)
		if !ok || len(words) != 2 || strings.TrimSpace(command) == "" || !slices.Contains(verbs, words[0]) {
			return s, fmt.Errorf("%q: %w; verbs are %s", text, ErrUnusable, strings.Join(verbs, ", "))
		}
		verb, part := words[0], words[1]
		if s.commands[part] == nil {
			s.commands[part] = map[string]string{}
		}
		if s.commands[part][verb] != "" {
			return s, fmt.Errorf("%s %s has two commands", verb, part)
		}
		s.commands[part][verb] = strings.TrimSpace(command)
	}
	return s, nil
}

// About says whose commands these are.
func (s Stack) About() string { return "commands of your own" }

// Parts are what there is a command for.
func (s Stack) Parts(context.Context) ([]stack.Part, error) {
	var parts []stack.Part
	for part := range s.commands {
		parts = append(parts, stack.Part{Service: part, Instance: part})
	}
	slices.SortFunc(parts, func(a, b stack.Part) int { return strings.Compare(a.Service, b.Service) })
	return parts, nil
}

// Command is the user's own.
func (s Stack) Command(part stack.Part, verb stack.Verb) (string, error) {
	of := s.commands[part.Service]
	if of == nil {
		return "", fmt.Errorf("%s: %w", part.Service, stack.ErrNoPart)
	}
	if of[string(verb)] == "" {
		return "", fmt.Errorf(`no command for that is given (--act "%s %s=COMMAND"): %w`, verb, part.Service, stack.ErrUnsupported)
	}
	return of[string(verb)], nil
}

// Do runs the command in a shell and waits for its end. A command that fails gives what it said last.
func (s Stack) Do(ctx context.Context, part stack.Part, verb stack.Verb) error {
	command, err := s.Command(part, verb)
	if err != nil {
		return err
	}
	said, err := shell(ctx, command).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, last(said))
	}
	return nil
}

// shell is a command in a process group of its own: what interrupts captop does not break it off.
func shell(ctx context.Context, command string) *exec.Cmd {
	c := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = time.Second
	return c
}

// last is the end of what a command said.
func last(said []byte) string {
	const most = 300
	said = bytes.TrimSpace(said)
	if len(said) > most {
		said = said[len(said)-most:]
	}
	return string(said)
}

// Logs runs the command that is given for logs.
func (s Stack) Logs(ctx context.Context, part stack.Part, _ time.Time, to io.Writer) error {
	command, err := s.Command(part, logs)
	if err != nil {
		return err
	}
	c := shell(ctx, command)
	c.Stdout, c.Stderr = to, to
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	return nil
}

// Data is out of reach of commands.
func (s Stack) Data(stack.Part) (stack.Data, error) { return nil, stack.ErrUnsupported }
