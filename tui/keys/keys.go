// Package keys holds what each key does as data: the screens match against it, the footer and the help are made from it,
// and a config file can change it.
package keys

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
)

// Map is the keys of captop itself. Keys of actions come with the actions.
type Map struct {
	// The screens, and what means the same on all of them.
	Overview, Alerts, Nodes, Keys, Events                   key.Binding
	Backups, Doctor                                         key.Binding
	Write, Arm, Command, Help, Quit, Suspend, Redraw        key.Binding
	Restart, Cut, Pause, Heal, Stop, Start, Copy            key.Binding
	StepBack, StepForward, LeapBack, LeapForward, Live      key.Binding
	Play, Slower, Faster                                    key.Binding
	Zone, Relative                                          key.Binding
	Up, Down, Left, Right, PageUp, PageDown, Home, End      key.Binding
	Submit, Back, Next, Previous, Filter, FarLeft, FarRight key.Binding
	LineUp, LineDown                                        key.Binding // in lists; forms do not know them, for they are letters
	Acknowledge, Silence, RunChecks, Undo                   key.Binding
	Follow, FirstDeviation, EventKind, EventSeverity        key.Binding
	WindowLonger, WindowShorter                             key.Binding
	Compare, Again                                          key.Binding
	TakeBackup, VerifyBackup, RestoreBackup, UndoRestore    key.Binding
	Examine                                                 key.Binding
}

// The scopes that are no names of screens.
const (
	Everywhere = ""        // means the same on every screen
	Actions    = "actions" // what is done to the stack, where it can be done: as everywhere
)

// Entry is one row of the keymap: what it is called in a config file, where it means something, and the binding.
type Entry struct {
	Name    string // such as step-back
	Scope   string // Everywhere, or the name of a screen
	Binding *key.Binding
}

// row is an entry with its defaults.
type row struct {
	name, scope string
	binding     *key.Binding
	what        string
	keys        string // separated by blanks; "space" is the blank itself
}

// rows is the whole keymap, in the order in which the help shows it. To add a key: a field in Map, and a row here.
func (m *Map) rows() []row {
	return []row{
		{"overview", Everywhere, &m.Overview, "the overview", "1"},
		{"alerts", Everywhere, &m.Alerts, "alerts", "2"},
		{"nodes", Everywhere, &m.Nodes, "nodes", "3"},
		{"keys", Everywhere, &m.Keys, "keys", "4"},
		{"events", Everywhere, &m.Events, "events", "5"},
		{"backups", Everywhere, &m.Backups, "backups", "6"},
		{"doctor", Everywhere, &m.Doctor, "the checklist before a deployment", "7"},
		{"write", Everywhere, &m.Write, "write a key", "w"},
		{"arm", Everywhere, &m.Arm, "allow actions for 5 minutes", "A"},
		{"restart", Actions, &m.Restart, "restart", "r"},
		{"cut", Actions, &m.Cut, "cut off", "c"},
		{"pause", Actions, &m.Pause, "pause", "p"},
		{"heal", Actions, &m.Heal, "heal", "h"},
		{"stop", Actions, &m.Stop, "stop", "S"},
		{"start", Actions, &m.Start, "start", "B"},
		{"step-back", Everywhere, &m.StepBack, "back in time by 10 s", "["},
		{"step-forward", Everywhere, &m.StepForward, "forward by 10 s", "]"},
		{"leap-back", Everywhere, &m.LeapBack, "back in time by a minute", "{"},
		{"leap-forward", Everywhere, &m.LeapForward, "forward by a minute", "}"},
		{"live", Everywhere, &m.Live, "back to now", "L"},
		{"play", Everywhere, &m.Play, "pause a recording, or go on", "space"},
		{"slower", Everywhere, &m.Slower, "play at half the speed", "<"},
		{"faster", Everywhere, &m.Faster, "play at twice the speed", ">"},
		{"utc", Everywhere, &m.Zone, "times in UTC or local", "U"},
		{"relative", Everywhere, &m.Relative, "times as clock or as age", "T"},
		{"up", Everywhere, &m.Up, "up", "up"},
		{"down", Everywhere, &m.Down, "down", "down"},
		{"line-up", Everywhere, &m.LineUp, "up in a list", "k"},
		{"line-down", Everywhere, &m.LineDown, "down in a list", "j"},
		{"left", Everywhere, &m.Left, "left", "left"},
		{"right", Everywhere, &m.Right, "right", "right"},
		{"far-left", Everywhere, &m.FarLeft, "far left", "shift+left"},
		{"far-right", Everywhere, &m.FarRight, "far right", "shift+right"},
		{"page-up", Everywhere, &m.PageUp, "a page up", "pgup"},
		{"page-down", Everywhere, &m.PageDown, "a page down", "pgdown"},
		{"home", Everywhere, &m.Home, "to the beginning", "home"},
		{"end", Everywhere, &m.End, "to the end", "end"},
		{"next", Everywhere, &m.Next, "next pane or field", "tab"},
		{"previous", Everywhere, &m.Previous, "previous pane or field", "shift+tab"},
		{"filter", Everywhere, &m.Filter, "filter", "/"},
		{"submit", Everywhere, &m.Submit, "open, send, confirm", "enter"},
		{"back", Everywhere, &m.Back, "close, or back to now", "esc"},
		{"command", Everywhere, &m.Command, "command line", ":"},
		{"window-longer", "overview", &m.WindowLonger, "longer window", "+ ="},
		{"window-shorter", "overview", &m.WindowShorter, "shorter window", "-"},
		{"acknowledge", "alerts", &m.Acknowledge, "acknowledge", "a"},
		{"silence", "alerts", &m.Silence, "silence in Alertmanager", "s"},
		{"run-checks", "alerts", &m.RunChecks, "checks of the page", "x"},
		{"undo", "alerts", &m.Undo, "undo ack or silence", "u"},
		{"follow", "events", &m.Follow, "follow", "f"},
		{"first-deviation", "events", &m.FirstDeviation, "first deviation of the incident", "g"},
		{"event-kind", "events", &m.EventKind, "kinds one by one", "t"},
		{"event-severity", "events", &m.EventSeverity, "severity at least", "v"},
		{"compare", "keys", &m.Compare, "compare the nodes", "s"},
		{"again", "keys", &m.Again, "read the key again", "g"},
		{"take-backup", "backups", &m.TakeBackup, "back both nodes up", "t"},
		{"verify-backup", "backups", &m.VerifyBackup, "verify the backup", "v"},
		{"restore-backup", "backups", &m.RestoreBackup, "restore the backup", "R"},
		{"undo-restore", "backups", &m.UndoRestore, "take the restore back", "u"},
		{"examine", "doctor", &m.Examine, "go through the checklist", "x"},
		{"copy", Everywhere, &m.Copy, "copy what is in front", "y"},
		{"help", Everywhere, &m.Help, "this help", "?"},
		{"suspend", Everywhere, &m.Suspend, "suspend; fg resumes", "ctrl+z"},
		{"redraw", Everywhere, &m.Redraw, "draw the screen anew", "ctrl+l"},
		{"quit", Everywhere, &m.Quit, "quit (ctrl+c everywhere)", "q"},
	}
}

// Default is the built-in map.
func Default() Map {
	var m Map
	for _, r := range m.rows() {
		names := fields(r.keys)
		*r.binding = key.NewBinding(key.WithKeys(names...), key.WithHelp(Label(names[0]), r.what))
	}
	return m
}

// fields splits the keys of a row.
func fields(keys string) []string {
	names := strings.Fields(keys)
	for i, name := range names {
		if name == "space" {
			names[i] = " "
		}
	}
	return names
}

// Label is how a key is shown: as bubbletea names it, but arrows as arrows and the blank as a word.
func Label(name string) string {
	switch name {
	case " ":
		return "space"
	case "up":
		return "↑"
	case "down":
		return "↓"
	case "left":
		return "←"
	case "right":
		return "→"
	case "shift+left":
		return "shift+←"
	case "shift+right":
		return "shift+→"
	}
	return name
}

// Entries lists the whole map in the order in which the help shows it.
func (m *Map) Entries() []Entry {
	rows := m.rows()
	entries := make([]Entry, len(rows))
	for i, r := range rows {
		entries[i] = Entry{Name: r.name, Scope: r.scope, Binding: r.binding}
	}
	return entries
}

// Screen is the key that brings the screen of that name to the front; one without a key has none.
func (m *Map) Screen(name string) key.Binding {
	for _, entry := range m.Entries() {
		if entry.Name == name {
			return *entry.Binding
		}
	}
	return key.Binding{}
}

// Rebind gives an action other keys in place of its own. Check says afterwards whether two now want the same one.
func (m *Map) Rebind(action string, names []string) error {
	known := make([]string, 0, len(m.rows()))
	for _, r := range m.rows() {
		known = append(known, r.name)
		if r.name != action {
			continue
		}
		if len(names) == 0 {
			return errors.New("give at least one key")
		}
		pressed := make([]string, len(names))
		for i, name := range names {
			usable, err := usable(name)
			if err != nil {
				return err
			}
			pressed[i] = usable
		}
		*r.binding = key.NewBinding(key.WithKeys(pressed...), key.WithHelp(Label(pressed[0]), r.what))
		return nil
	}
	hint := ""
	if near := Nearest(action, known); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	return fmt.Errorf("no action has this name%s (captop config lists them)", hint)
}

// Check refuses two actions with the same key where both mean something.
func (m *Map) Check() error {
	entries := m.Entries()
	for i, a := range entries {
		for _, b := range entries[:i] {
			if a.Scope != b.Scope && a.Scope != Everywhere && b.Scope != Everywhere && a.Scope != Actions && b.Scope != Actions {
				continue
			}
			for _, name := range a.Binding.Keys() {
				if slices.Contains(b.Binding.Keys(), name) {
					return fmt.Errorf("%q is bound to both %s and %s", Label(name), b.Name, a.Name)
				}
			}
		}
	}
	return nil
}

// Rebound is the key that an action has now whose built-in key is known; that key itself where there is no such action.
func (m *Map) Rebound(builtin string) string {
	for _, r := range m.rows() {
		if r.scope == Actions && r.keys == builtin {
			return r.binding.Keys()[0]
		}
	}
	return builtin
}

// sameKey are keys that a terminal does not tell from others.
var sameKey = map[string]string{"ctrl+i": "tab", "ctrl+m": "enter", "ctrl+[": "esc", "ctrl+?": "backspace"}

// usable gives a key as bubbletea names it, or says why it cannot be pressed.
func usable(name string) (string, error) {
	switch {
	case name == "space":
		return " ", nil
	case name == "ctrl+c":
		return "", errors.New("ctrl+c always quits; give another key")
	case sameKey[name] != "":
		return "", fmt.Errorf("a terminal sends the same for %q as for %q; give another key", name, sameKey[name])
	}
	bare := strings.TrimPrefix(name, "alt+")
	if r := []rune(bare); len(r) == 1 && unicode.IsGraphic(r[0]) && !unicode.IsSpace(r[0]) {
		return name, nil
	}
	const first, last = tea.KeyF20, tea.KeyBackspace // bubbletea numbers its named keys downwards from -1, and control keys up
	for k := first; k <= last; k++ {
		if k != tea.KeyRunes && k.String() == bare {
			return name, nil
		}
	}
	return "", fmt.Errorf("%q is no key that a terminal sends; give one character, or a name such as f5, ctrl+r, alt+x, space or pgdown", name)
}

// Nearest gives the known word that is at most two typing errors away, "" if none is.
func Nearest(word string, known []string) string {
	best, distance := "", 3
	for _, candidate := range known {
		if d := edits(strings.ToLower(word), candidate); d < distance && d < len(candidate) {
			best, distance = candidate, d
		}
	}
	return best
}

// edits is the Levenshtein distance of two ASCII words.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// far is more than any list has.
const far = 1 << 30

// Step is how many lines a key moves, where a page has leaf of them. It says whether the key moves at all.
func (m Map) Step(msg tea.KeyMsg, leaf int) (int, bool) {
	switch {
	case key.Matches(msg, m.Up, m.LineUp):
		return -1, true
	case key.Matches(msg, m.Down, m.LineDown):
		return 1, true
	case key.Matches(msg, m.PageUp):
		return -leaf, true
	case key.Matches(msg, m.PageDown):
		return leaf, true
	case key.Matches(msg, m.Home):
		return -far, true
	case key.Matches(msg, m.End):
		return far, true
	}
	return 0, false
}
