// Package acks keeps who looks after which alert in a file that all sessions on a host share.
//
// An acknowledgement is a note for people. It silences nobody: that is Alertmanager's business.
package acks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Ack says that somebody looks after an alert.
type Ack struct {
	Labels map[string]string `json:"labels"` // of the alert, with alertname
	Reason string            `json:"reason"`
	By     string            `json:"by"`
	At     time.Time         `json:"at"`
	Until  time.Time         `json:"until"`
}

// ErrUnusable says that the file is not one of acknowledgements. It is left as it is: a person should look at it.
var ErrUnusable = errors.New("the file of acknowledgements cannot be used")

// File is where they are kept, as a JSON list. It is replaced as a whole, so a reader finds it whole at any time.
type File struct {
	Path string
	Now  func() time.Time
}

// Put notes an acknowledgement, in the place of one for the same labels, and drops those that have expired.
func (f File) Put(ack Ack) error {
	return f.change(func(all []Ack) []Ack { return append(without(all, ack.Labels), ack) })
}

// Remove takes back the acknowledgement for these labels. One that is not there is no error.
func (f File) Remove(labels map[string]string) error {
	return f.change(func(all []Ack) []Ack { return without(all, labels) })
}

func without(all []Ack, labels map[string]string) []Ack {
	return slices.DeleteFunc(all, func(a Ack) bool { return maps.Equal(a.Labels, labels) })
}

// Parse reads the text of the file; empty text has none.
func Parse(text []byte) ([]Ack, error) {
	if len(text) == 0 {
		return nil, nil
	}
	var all []Ack
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	return all, nil
}

// change replaces the file while no other session does.
func (f File) change(how func([]Ack) []Ack) error {
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return fmt.Errorf("making the folder of acknowledgements: %w", err)
	}
	lock, err := os.OpenFile(f.Path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("locking the acknowledgements: %w", err)
	}
	defer lock.Close() // which gives the lock back, as the end of the process does
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("locking the acknowledgements: %w", err)
	}
	text, err := os.ReadFile(f.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the acknowledgements: %w", err)
	}
	all, err := Parse(text)
	if err != nil {
		return fmt.Errorf("reading %s: %w", f.Path, err)
	}
	all = how(slices.DeleteFunc(all, func(a Ack) bool { return !a.Until.After(f.Now()) }))
	if all == nil {
		all = []Ack{}
	}
	return f.replace(all)
}

func (f File) replace(all []Ack) error {
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the acknowledgements: %w", err)
	}
	next, err := os.CreateTemp(filepath.Dir(f.Path), filepath.Base(f.Path)+".*")
	if err != nil {
		return fmt.Errorf("writing the acknowledgements: %w", err)
	}
	_, err = next.Write(append(text, '\n'))
	if err = errors.Join(err, next.Sync(), next.Close()); err == nil {
		err = os.Rename(next.Name(), f.Path)
	}
	if err != nil {
		return fmt.Errorf("writing the acknowledgements: %w", errors.Join(err, os.Remove(next.Name())))
	}
	return nil
}
