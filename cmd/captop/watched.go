package main

import (
	"fmt"
	"os"
	"time"
)

// watchedFile is a file that is looked at again and again.
type watchedFile struct {
	path string
	what string    // it is, for messages
	at   time.Time // of the last change that was read
	size int64
}

// changed gives the file's text if it is not the one that was read last.
func (f *watchedFile) changed() (text []byte, changed bool, err error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, false, fmt.Errorf("reading %s: %w", f.what, err)
	}
	if info.ModTime().Equal(f.at) && info.Size() == f.size {
		return nil, false, nil
	}
	if text, err = os.ReadFile(f.path); err != nil {
		return nil, false, fmt.Errorf("reading %s: %w", f.what, err)
	}
	f.at, f.size = info.ModTime(), info.Size()
	return text, true, nil
}
