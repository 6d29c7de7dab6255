package ap

import (
	"context"
	"strconv"
	"testing"
	"time"

	"captop/service"
)

// BenchmarkWrite acknowledges writes of 100 bytes to 1000 keys, with the carriers at work behind them.
func BenchmarkWrite(b *testing.B) {
	s := newPair(b).ready(b, "a")
	value := make([]byte, 100)
	b.SetParallelism(25)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := s.Write(context.Background(), strconv.Itoa(i%1000), value); err != nil {
				b.Error(err)
			}
		}
	})
	b.StopTimer()
	begun := time.Now()
	awaitCarried(b, s)
	b.ReportMetric(float64(time.Since(begun).Milliseconds()), "ms-until-carried")
}

// BenchmarkRead reads one of 1000 keys at the preferred node.
func BenchmarkRead(b *testing.B) {
	s := newPair(b).ready(b, "a")
	fill(b, s, 1000, "value")
	b.SetParallelism(25)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := s.Read(context.Background(), "k"+strconv.Itoa(i%1000), service.ReadOptions{}); err != nil {
				b.Error(err)
			}
		}
	})
}
