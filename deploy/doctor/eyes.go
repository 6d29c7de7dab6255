package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/http"
	"net/netip"
	"time"
)

// The reasons for which an eye sees nothing.
var (
	ErrNoEye     = errors.New("nothing here can look at that")
	ErrNoSwarm   = errors.New("the stack is not one of a swarm")
	ErrNoManager = errors.New("this host is no manager of its swarm, and only those know where tasks run")
)

// Known is something that was looked at, or why it could not be. The zero value is not known.
type Known[T any] struct {
	Value T
	OK    bool
	Why   string // why it is not known
}

// Know is something that was seen.
func Know[T any](value T) Known[T] { return Known[T]{Value: value, OK: true} }

// Unknown is something that could not be seen.
func Unknown[T any](why string) Known[T] { return Known[T]{Why: why} }

// Unit is one running instance of a part of the stack: a container, or a process of this host.
type Unit struct {
	Service   string // db_g1, db_g2, app_cp, app_ap, haproxy, prometheus, ...
	Name      string // of the container, or "process 4711"
	ID        string // of the container; "" for a process
	PID       int    // on the host on which it runs
	Local     bool   // it runs on this host
	Container bool

	Env             Known[map[string]string]
	Command         Known[[]string]
	User            Known[string] // as configured or by number; "" is root
	ReadOnlyRoot    Known[bool]
	Capabilities    Known[[]string] // what it may do beyond a plain user, [ALL] for everything; empty is well
	NoNewPrivileges Known[bool]
	Memory          Known[int64]   // limit in bytes, 0 for none
	CPUs            Known[float64] // limit, 0 for none
	PIDs            Known[int64]   // limit, 0 for none
	Health          Known[string]  // healthy, unhealthy, starting; "" where nothing checks
	Log             Known[Log]
	Mounts          Known[[]Mount]
	Ports           Known[[]Port] // where it listens as seen from outside

	Address string // host without port at which it is reached from here, "" for none
	Folder  string // of the Compose file, "" for none
}

// Log says where a unit's log goes.
type Log struct{ Driver, MaxSize, MaxFiles string }

// Mount is a folder or file from outside.
type Mount struct {
	Kind        string // volume, bind, tmpfs
	Name        string // of the volume
	Source      string // on its host
	Destination string
}

// Port is one that is open to the host or beyond.
type Port struct {
	Host netip.Addr // unspecified: every address
	Port string
}

// File is a file, or a folder without content.
type File struct {
	Content []byte
	Mode    fs.FileMode
	UID     int
}

// Room is the room on a file system, bytes.
type Room struct{ Free, Total uint64 }

// Response is an answer over HTTP, redirects not followed.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Session is a TLS handshake that came about.
type Session struct {
	Version uint16 // as crypto/tls numbers them
	Chain   []*x509.Certificate
	Refused error // why the chain is not to be trusted; nil if it is
}

// Auth is how to come to a node.
type Auth struct {
	Configured bool   // with the password that captop or the services have
	Password   string // "" and not Configured: without any
}

// Backup is one backup of a node.
type Backup struct {
	Node     string
	TakenAt  time.Time
	Verified bool
	Problem  string // "" for none
}

// Drill is one exercise of getting back.
type Drill struct {
	Kind     string // restore or failover
	At       time.Time
	OK       bool
	RPO, RTO time.Duration // as reached
}

// Polled is an instance as captop's own polls see it.
type Polled struct {
	Service  string // app_cp or app_ap
	Instance string
	Up       bool
	Scraped  bool                 // its metrics came, lately
	Skew     Known[time.Duration] // its clock minus captop's
}

// Swarm is a stack as the managers of its swarm know it.
type Swarm struct {
	Stack string
	Tasks []Task // those that run
}

// Task is an instance of a service, on whichever host of the swarm it runs.
type Task struct {
	Service string // db_g1, db_g2, app_cp, app_ap, ...
	HostID  string // as the swarm numbers it: names may be there twice
	Host    string // its name
	Zone    string // its label zone, "" for none
}

// Listener is a socket of this host that waits for connections from other hosts.
type Listener struct {
	Address netip.AddrPort
	Process string // "" where it cannot be told
}

// Targets are what captop was told of the stack.
type Targets struct {
	Edges        []string // URLs at which clients reach the services
	Prometheus   string   // URL, "" where none was named
	Alertmanager string   // URL, "" where none was named
	Rules        []byte   // alerts.yml as shipped
	Project      string   // of Compose, for commands; "" where it is not known
	Stack        string   // of a swarm, for commands; "" where there is none
}

// Eyes are all the ways in which a check looks. One that is nil cannot look, which is ErrNoEye. All of them end with
// their context and may be called at once.
type Eyes struct {
	Targets Targets
	Now     func() time.Time

	Units        func(context.Context) ([]Unit, error)                                                // what runs
	Swarm        func(context.Context) (Swarm, error)                                                 // where tasks run; ErrNoSwarm, ErrNoManager
	ReadFile     func(ctx context.Context, u Unit, path string) (File, error)                         // as the unit sees it
	HostFile     func(ctx context.Context, path string) (File, error)                                 // of the host on which the stack runs
	Room         func(ctx context.Context, u Unit, path string) (Room, error)                         // on the file system below a path of the unit's
	Sysctl       func(ctx context.Context, u Unit, name string) (string, error)                       // as the unit's namespaces have it
	Listeners    func(context.Context) ([]Listener, error)                                            // of this host
	Synchronised func(context.Context) (bool, error)                                                  // the host's clock follows a time server
	Redis        func(ctx context.Context, node string, auth Auth, command ...string) (string, error) // lists as lines
	Get          func(ctx context.Context, url string) (Response, error)                              // without a token
	Handshake    func(ctx context.Context, url string, limit uint16) (Session, error)                 // limit: the newest version to offer, 0 for any
	Backups      func(context.Context) ([]Backup, error)
	Drills       func(context.Context) ([]Drill, error)
	Polls        func(context.Context) ([]Polled, error)
}

func (e Eyes) now() time.Time {
	if e.Now == nil {
		return time.Now()
	}
	return e.Now()
}
