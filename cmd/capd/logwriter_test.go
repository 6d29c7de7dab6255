package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// slowDisk takes what is written when it is let.
type slowDisk struct {
	let    chan struct{}
	mu     sync.Mutex
	text   strings.Builder
	writes int
}

func (d *slowDisk) Write(p []byte) (int, error) {
	<-d.let
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writes++
	return d.text.Write(p)
}

// TestLogWriterKeepsEveryLineInOrder: lines of many writers arrive whole, each writer's in its order, in far fewer writes,
// and all of them by the end of Close.
func TestLogWriterKeepsEveryLineInOrder(t *testing.T) {
	disk := &slowDisk{let: make(chan struct{})}
	close(disk.let)
	w := newLogWriter(disk)
	const writers, lines = 8, 2000
	var group sync.WaitGroup
	for id := range writers {
		group.Go(func() {
			for n := range lines {
				if _, err := fmt.Fprintf(w, "%d %d\n", id, n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	next := [writers]int{}
	for line := range strings.Lines(disk.text.String()) {
		var id, n int
		if _, err := fmt.Sscanf(line, "%d %d\n", &id, &n); err != nil || n != next[id] {
			t.Fatalf("%q after line %d of its writer: %v", line, next[id]-1, err)
		}
		next[id]++
	}
	for id, n := range next {
		if n != lines {
			t.Errorf("%d of %d lines of writer %d", n, lines, id)
		}
	}
	if disk.writes > writers*lines/10 {
		t.Errorf("%d writes for %d lines", disk.writes, writers*lines)
	}
	fmt.Fprint(w, "late\n")
	if !strings.HasSuffix(disk.text.String(), "late\n") {
		t.Error("a line after Close is lost")
	}
}

// TestLogWriterIsBounded: with a disk that takes nothing, who logs waits; nothing is dropped and memory does not grow.
func TestLogWriterIsBounded(t *testing.T) {
	disk := &slowDisk{let: make(chan struct{})}
	w := newLogWriter(disk)
	line := strings.Repeat("x", 1023) + "\n"
	const lines = 3 * logBound / 1024
	written := make(chan struct{})
	go func() {
		defer close(written)
		for range lines {
			_, _ = w.Write([]byte(line))
		}
	}()
	select {
	case <-written:
		t.Error("more was taken than may wait")
	case disk.let <- struct{}{}: // the first chunk has come to the disk
	}
	w.mu.Lock()
	waiting := len(w.waiting)
	w.mu.Unlock()
	if waiting > logBound+len(line) {
		t.Errorf("%d bytes wait", waiting)
	}
	close(disk.let)
	<-written
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := disk.text.Len(); got != lines*len(line) {
		t.Errorf("%d of %d bytes arrived", got, lines*len(line))
	}
}
