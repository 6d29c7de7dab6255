package record

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkAppend is what a poll costs the recorder, beside writing the same answers into a plain file.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 100} {
		var polls []Poll
		var raw [][]byte
		for _, p := range seconds(n, 0, 120) {
			bytes, err := appendPoll(nil, p)
			if err != nil {
				b.Fatal(err)
			}
			polls, raw = append(polls, p), append(raw, bytes)
		}
		b.Run(fmt.Sprintf("services=%d/recorder", 2*n), func(b *testing.B) {
			h := header(n)
			w := &Writer{dir: b.TempDir(), run: "bench", limits: Limits{MaxBytes: 1 << 40, MaxAge: 1000 * time.Hour}, header: &h}
			i := 0
			for b.Loop() {
				p := polls[i%len(polls)]
				p.At = epoch.Add(time.Duration(i) * time.Second)
				if err := w.append(task{poll: p, header: &h}); err != nil {
					b.Fatal(err)
				}
				i++
			}
			b.ReportMetric(float64(w.segment.size)/float64(i), "bytes/poll")
			if err := w.segment.close(); err != nil {
				b.Fatal(err)
			}
		})
		b.Run(fmt.Sprintf("services=%d/plain", 2*n), func(b *testing.B) {
			file, err := os.Create(filepath.Join(b.TempDir(), "plain"))
			if err != nil {
				b.Fatal(err)
			}
			defer file.Close()
			i, size := 0, 0
			for b.Loop() {
				if i%10 == 9 { // as often as the recorder
					if err := file.Sync(); err != nil {
						b.Fatal(err)
					}
					if _, err := file.Seek(0, 0); err != nil { // not to fill the disk
						b.Fatal(err)
					}
				}
				if _, err := file.Write(raw[i%len(raw)]); err != nil {
					b.Fatal(err)
				}
				size += len(raw[i%len(raw)])
				i++
			}
			b.ReportMetric(float64(size)/float64(i), "bytes/poll")
		})
	}
}

// BenchmarkReplay is how many polls a second can be read, and how many can be shown again.
func BenchmarkReplay(b *testing.B) {
	for _, n := range []int{1, 100} {
		dir := b.TempDir()
		record(b, dir, DefaultLimits, header(n), seconds(n, 0, 300)...)
		r := open(b, dir)
		b.Run(fmt.Sprintf("services=%d/read", 2*n), func(b *testing.B) {
			for b.Loop() {
				polls, _ := readAll(b, r, time.Time{})
				if len(polls) != 300 {
					b.Fatal(len(polls))
				}
			}
			b.ReportMetric(300*float64(b.N)/b.Elapsed().Seconds(), "polls/s")
		})
		b.Run(fmt.Sprintf("services=%d/snapshots", 2*n), func(b *testing.B) {
			for b.Loop() {
				player, err := r.Play(time.Time{}, nil)
				if err != nil {
					b.Fatal(err)
				}
				for range 300 {
					if _, err := player.Next(); err != nil {
						b.Fatal(err)
					}
				}
				if err := player.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(300*float64(b.N)/b.Elapsed().Seconds(), "polls/s")
		})
	}
}
