package inspect

import (
	"fmt"
	"strconv"
	"strings"
)

// How much of a command is shown.
const (
	shownKey    = 48 // characters of a key's name
	shownScript = 8  // of a script's digest
)

// secret are the commands none of whose arguments may be shown.
var secret = map[string]bool{"AUTH": true, "HELLO": true, "ACL": true, "MIGRATE": true, "ECHO": true, "PING": true, "PUBLISH": true,
	"SPUBLISH": true, "SCRIPT": true}

// Redact writes a command with its key and the number of its other arguments, which may be people's data or passwords.
func Redact(args []string) string {
	if len(args) == 0 {
		return "?"
	}
	name := strings.ToUpper(clip(args[0], shownKey))
	shown, rest := []string{name}, args[1:]
	switch {
	case len(rest) == 0:
		return name
	case secret[name]:
	case name == "CONFIG":
		take := min(2, len(rest)) // the setting, not its value
		shown, rest = append(shown, clip(strings.Join(rest[:take], " "), shownKey)), rest[take:]
	case strings.HasPrefix(name, "EVAL"), strings.HasPrefix(name, "FCALL"):
		shown, rest = scriptArgs(shown, rest)
	default:
		shown, rest = append(shown, clip(rest[0], shownKey)), rest[1:]
	}
	switch len(rest) {
	case 0:
	case 1:
		shown = append(shown, "+1 argument")
	default:
		shown = append(shown, fmt.Sprintf("+%d arguments", len(rest)))
	}
	return strings.Join(shown, " ")
}

// scriptArgs takes the digest of a script (or the first of its text) and its first key.
func scriptArgs(shown, rest []string) (more, left []string) {
	shown, rest = append(shown, clip(rest[0], shownScript)), rest[1:]
	if len(rest) < 2 {
		return shown, rest
	}
	if n, err := strconv.Atoi(rest[0]); err != nil || n == 0 {
		return shown, rest
	}
	return append(shown, clip(rest[1], shownKey)), rest[2:]
}

// clip cuts a text and makes it printable: a key may hold any bytes.
func clip(text string, limit int) string {
	quoted := strconv.QuoteToGraphic(text)
	quoted = quoted[1 : len(quoted)-1]
	runes := []rune(quoted)
	if len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return quoted
}
