// Package stack says what can be acted on: containers of a Compose project, processes of this machine, and services that
// a user's own commands start and stop. Its subpackages do it.
package stack

import (
	"context"
	"errors"
	"io"
	"time"
)

// Errors that callers tell apart.
var (
	ErrUnsupported = errors.New("this stack has no way to do that")
	ErrNoPart      = errors.New("there is no such part in this stack")
	ErrEmptied     = errors.New("the data folder is empty now")
)

// Verb is what can be done to a part.
type Verb string

// The verbs.
const (
	Start   Verb = "start"
	Stop    Verb = "stop"
	Restart Verb = "restart"
	Pause   Verb = "pause"
	Unpause Verb = "unpause"
	Cut     Verb = "cut"  // takes the part off the network that it shares with its peers
	Heal    Verb = "heal" // ends Cut
)

// State is what a part is doing.
type State string

// The states. The zero value is unknown.
const (
	Running State = "running"
	Paused  State = "paused"
	Stopped State = "stopped"
)

// Part is one thing that can be acted on: an instance of a service, or a node.
type Part struct {
	Service  string    // db_g1, db_g2, app_cp, app_ap, haproxy, ...
	Instance string    // tells several of one service apart: a container's name, a process id; never empty
	State    State     // "" where it cannot be told
	Health   string    // healthy, unhealthy, starting; "" where nothing checks
	Since    time.Time // when the state began; zero where it cannot be told
	Cut      bool      // Cut was done and not healed
}

// Stack is what can be acted on. Its methods are safe for concurrent use and end with their context. Unless it is said
// otherwise, errors are ErrUnsupported, ErrNoPart, the context's, or what the engine or the command answered.
type Stack interface {
	// About says in a few words what this is: "compose project shop", "processes of this host".
	About() string

	// Parts lists what there is now, running or not, sorted by service and instance.
	Parts(ctx context.Context) ([]Part, error)

	// Command is the exact command that Do stands for, as a person would type it.
	Command(part Part, verb Verb) (string, error)

	// Do does it and returns when the engine says that it is done. Whether the part is well again is the caller's to prove.
	Do(ctx context.Context, part Part, verb Verb) error

	// Logs writes what the part has logged since then.
	Logs(ctx context.Context, part Part, since time.Time, to io.Writer) error

	// Data is the data folder of a node.
	Data(part Part) (Data, error)
}

// Data is the folder in which a node keeps its data. Whoever replaces it has stopped the node before.
type Data interface {
	// Save writes all of the folder as a tar stream with paths relative to the folder.
	Save(ctx context.Context, to io.Writer) error

	// Replace makes the content of a tar stream, with paths relative to the folder, all that the folder holds. Files get
	// the owner that the folder has. It reads the stream to its end before it changes anything. When it fails, the folder is
	// as it was before, or empty if the error is ErrEmptied.
	Replace(ctx context.Context, from io.Reader) error
}
