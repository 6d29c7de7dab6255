package local

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// process is what the kernel says of one.
type process struct {
	pid      int
	exe      string // "" while it is ending
	started  uint64 // in ticks since the machine began: tells it from another one of that number
	since    time.Time
	stopped  bool // by SIGSTOP
	uid, gid uint32
}

// ticks is how many there are in a second, on every Linux that Go runs on.
const ticks = 100

func readProcess(pid int) (process, error) {
	p := process{pid: pid}
	folder := "/proc/" + strconv.Itoa(pid)
	text, err := os.ReadFile(folder + "/stat")
	if err != nil {
		return p, err
	}
	// The name, in brackets, may hold anything.
	after := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	// A zombie whose other threads are still ending holds its memory and its port yet: killed by SIGKILL, that takes as long
	// as a big memory takes to be given back.
	if len(after) < 20 || after[0] == "X" || after[0] == "Z" && after[17] == "1" {
		return p, os.ErrProcessDone
	}
	p.stopped = after[0] == "T"
	if p.started, err = strconv.ParseUint(after[19], 10, 64); err != nil {
		return p, fmt.Errorf("reading %s/stat: %w", folder, err)
	}
	if p.exe, err = os.Readlink(folder + "/exe"); err != nil && !errors.Is(err, fs.ErrNotExist) { // one that is ending has none
		return p, err
	}
	p.exe = strings.TrimSuffix(p.exe, " (deleted)")
	var owner syscall.Stat_t
	if err := syscall.Stat(folder, &owner); err != nil {
		return p, err
	}
	p.uid, p.gid = owner.Uid, owner.Gid
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return p, err
	}
	up, _, _ := strings.Cut(string(uptime), " ")
	seconds, err := strconv.ParseFloat(up, 64)
	p.since = time.Now().Add(-time.Duration((seconds - float64(p.started)/ticks) * float64(time.Second)))
	return p, err
}

// known is what is noted of a node's process, so that it can be started again when it is gone.
type known struct {
	PID     int       `json:"pid"`
	Started uint64    `json:"started"`
	Seen    time.Time `json:"seen"`
	Start   []string  `json:"start"` // the command that starts it
	UID     uint32    `json:"uid"`
	GID     uint32    `json:"gid"`
	Unit    string    `json:"unit,omitempty"` // of systemd, if that keeps it
	Dir     string    `json:"dir"`            // its data folder
	Owned   []string  `json:"owned"`          // what in it is the node's
	Log     string    `json:"log,omitempty"`
	AOF     bool      `json:"aof,omitempty"` // what is written is on disk without a save
}

// runs says whether the very process is still there.
func (n known) runs() bool {
	p, err := readProcess(n.PID)
	return err == nil && p.started == n.Started
}

func (s *Stack) recall(name string) (known, bool) {
	var note known
	text, err := os.ReadFile(filepath.Join(s.dir, name+".json"))
	return note, err == nil && json.Unmarshal(text, &note) == nil
}

// note keeps how a node runs, whole at any time.
func (s *Stack) note(name string, note known) error {
	text, err := json.MarshalIndent(note, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(s.dir, name+".json"), append(text, '\n'))
}

func replaceFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = next.Write(text)
	if err = errors.Join(err, next.Sync(), next.Close()); err == nil {
		err = os.Rename(next.Name(), path)
	}
	if err != nil {
		_ = os.Remove(next.Name())
	}
	return err
}

// study finds out how a server was started. Its command line is gone, for Redis writes its title over it; so a server
// without a config file gets one that says what it has set otherwise than a fresh one of the same program.
func (s *Stack) study(ctx context.Context, client *redis.Client, name string, p process, said map[string]string) (known, error) {
	config, err := client.ConfigGet(ctx, "*").Result()
	if err != nil {
		return known{}, fmt.Errorf("asking it for its settings: %w", err)
	}
	note := known{PID: p.pid, Started: p.started, Seen: time.Now(), UID: p.uid, GID: p.gid, Unit: unit(p.pid), Dir: config["dir"], Log: config["logfile"],
		AOF: config["appendonly"] == "yes"}
	for _, owned := range []string{config["dbfilename"], config["appenddirname"], config["appendfilename"]} {
		if owned != "" {
			note.Owned = append(note.Owned, owned)
		}
	}
	if note.Log != "" && !filepath.IsAbs(note.Log) {
		note.Log = filepath.Join(note.Dir, note.Log)
	}
	// One program may play several parts, by the name by which it was called.
	for _, called := range []string{said["executable"], filepath.Join(filepath.Dir(p.exe), filepath.Base(said["executable"]))} {
		if real, err := filepath.EvalSymlinks(called); err == nil && real == p.exe {
			p.exe = called
			break
		}
	}
	if file := said["config_file"]; file != "" {
		note.Start = []string{p.exe, file}
		return note, nil
	}
	fresh, err := defaults(ctx, p.exe)
	if err != nil {
		return note, fmt.Errorf("comparing its settings with those of a fresh %s: %w", p.exe, err)
	}
	var text strings.Builder
	text.WriteString("# What " + name + " had set when captop last saw it: it was started without a config file.\n")
	for key, value := range config {
		if value == fresh[key] || key == "unixsocket" && value == "" {
			continue
		}
		if strings.ContainsAny(value, " \"'\\") && !several[key] || value == "" {
			value = strconv.Quote(value)
		}
		text.WriteString(key + " " + value + "\n")
	}
	path := filepath.Join(s.dir, name+".conf")
	if err := replaceFile(path, []byte(text.String())); err != nil {
		return note, err
	}
	if os.Geteuid() == 0 { // the server must be able to read it, and nobody else
		if err := errors.Join(os.Chown(path, int(p.uid), int(p.gid)), os.Chmod(s.dir, 0o711)); err != nil {
			return note, err
		}
	}
	note.Start = []string{p.exe, path}
	return note, nil
}

// several are the settings of several words.
var several = map[string]bool{"save": true, "bind": true, "client-output-buffer-limit": true, "oom-score-adj-values": true, "replicaof": true, "slaveof": true}

// defaults asks a fresh server of the same program for its settings.
func defaults(ctx context.Context, exe string) (map[string]string, error) {
	dir, err := os.MkdirTemp("", "captop-fresh-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	server := exec.Command(exe, "--port", "0", "--unixsocket", socket)
	server.Dir = dir
	if err := server.Start(); err != nil {
		return nil, err
	}
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1})
	defer client.Close()
	for {
		config, err := client.ConfigGet(ctx, "*").Result()
		if err == nil {
			delete(config, "port")       // so that the node's are always said
			delete(config, "unixsocket") //
			delete(config, "dir")
			return config, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// unit is the systemd service that keeps a process, "" if none does: not if captop itself belongs to that one.
func unit(pid int) string {
	of := func(pid string) string {
		text, _ := os.ReadFile("/proc/" + pid + "/cgroup")
		return strings.TrimSpace(string(text))
	}
	mine, its := of("self"), of(strconv.Itoa(pid))
	name := filepath.Base(its)
	if its == mine || !strings.HasSuffix(name, ".service") || strings.HasPrefix(name, "user@") {
		return ""
	}
	return name
}

// stop has the server save and end as it is configured to, and waits for its end.
func (s *Stack) stop(ctx context.Context, name string, note known) error {
	if !note.runs() {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, askTime)
	client := s.client(name)
	refused := client.Shutdown(asking).Err() // a server that obeys breaks the connection
	if redis.HasErrorPrefix(refused, "BUSY ") {
		refused = endScript(asking, client, note)
	}
	cancel()
	_ = client.Close()
	var redisError redis.Error
	if refused != nil && (errors.As(refused, &redisError) || errors.Is(refused, context.DeadlineExceeded)) {
		if err := s.signal(note, syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	ctx, cancel = context.WithTimeout(ctx, stopTime)
	defer cancel()
	for note.runs() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d does not end: %w", note.PID, errors.Join(ctx.Err(), refused))
		case <-time.After(20 * time.Millisecond):
		}
	}
	note.Seen = time.Now()
	return s.note(name, note)
}

// endScript has a server end that is busy with a script, which hears no signal: behind the script, or, where that has written
// and can't be ended alone, with it. Without an AOF that would lose what was written since the last save.
func endScript(ctx context.Context, client *redis.Client, note known) error {
	err := client.ScriptKill(ctx).Err()
	if redis.HasErrorPrefix(err, "UNKILLABLE") && note.AOF {
		return client.ShutdownNoSave(ctx).Err()
	}
	if err != nil && !redis.HasErrorPrefix(err, "NOTBUSY") {
		return err
	}
	return client.Shutdown(ctx).Err()
}

// start starts the server as it was, in a session of its own: it outlives captop and its terminal.
func (s *Stack) start(ctx context.Context, name string, note known) error {
	if note.runs() {
		return errors.New("it runs")
	}
	server := exec.Command(note.Start[0], note.Start[1:]...)
	server.Dir, server.SysProcAttr = "/", &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() == 0 && note.UID != 0 {
		server.SysProcAttr.Credential = &syscall.Credential{Uid: note.UID, Gid: note.GID}
	}
	if err := server.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	client := s.client(name)
	defer client.Close()
	for {
		answer := client.Ping(ctx).Err()
		var said redis.Error
		if answer == nil || errors.As(answer, &said) { // loading is an answer
			return nil
		}
		select {
		case err := <-ended:
			if err != nil { // one that goes into the background ends well
				return fmt.Errorf("%s ended at its start (%w); its log: %s", strings.Join(note.Start, " "), err, note.Log)
			}
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", answer)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// copySince copies a log of Redis from the first line of that time on.
func copySince(to io.Writer, log io.Reader, since time.Time) error {
	lines, copying := bufio.NewReader(log), since.IsZero()
	for {
		line, err := lines.ReadString('\n')
		if words := strings.Fields(line); !copying && len(words) > 4 {
			at, bad := time.ParseInLocation("02 Jan 2006 15:04:05.000", strings.Join(words[1:5], " "), time.Local)
			copying = bad == nil && !at.Before(since)
		}
		if copying {
			if _, err := io.WriteString(to, line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
