package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"testing"
	"time"
)

// TestLinesAreThoseOfSlog: whatever is logged, it reads as slog's own handler writes it.
func TestLinesAreThoseOfSlog(t *testing.T) {
	var got, want bytes.Buffer
	options := &slog.HandlerOptions{Level: slog.LevelDebug}
	ours, theirs := newLineHandler(&got, options), slog.Handler(slog.NewJSONHandler(&want, options))
	texts := []string{"", "plain", "two words", "\"quoted\"", `back\slash`, "<b>&amp;", "line\nfeed", "\x00", "\x7f", "é", "\u2028", "\xff", "日本"}
	for c := range 256 {
		texts = append(texts, "a"+string([]byte{byte(c)})+"z")
	}
	values := []slog.Value{slog.IntValue(math.MinInt64), slog.IntValue(0), slog.Uint64Value(math.MaxUint64), slog.BoolValue(true), slog.DurationValue(time.Second),
		slog.AnyValue(nil), slog.AnyValue(errors.New("an error")), slog.AnyValue([]string{"a"}), slog.TimeValue(time.Unix(0, 1)), slog.GroupValue(slog.Int("n", 1)), slog.GroupValue()}
	for _, f := range []float64{0, math.Copysign(0, -1), 1, 2.345, -0.001, 1e-6, 9.99e-7, 1e20, 1e21, 0.1, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.NaN()} {
		values = append(values, slog.Float64Value(f))
	}
	for _, text := range texts {
		values = append(values, slog.StringValue(text))
	}
	moments := []time.Time{time.Now(), time.Unix(1, 0).UTC(), time.Unix(1, 120_000_000).In(time.FixedZone("east", 5400)), {},
		time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)}
	compare := func(message string, at time.Time, level slog.Level, attrs ...slog.Attr) {
		t.Helper()
		for _, handler := range []slog.Handler{ours, theirs} {
			record := slog.NewRecord(at, level, message, 0)
			record.AddAttrs(attrs...)
			if err := handler.Handle(context.Background(), record); err != nil {
				t.Errorf("logging %q %v: %v", message, attrs, err)
			}
		}
		if got.String() != want.String() {
			t.Errorf("%q, not %q", got.String(), want.String())
		}
		got.Reset()
		want.Reset()
	}
	for _, text := range texts {
		compare(text, moments[0], slog.LevelInfo, slog.String(text, "v"))
	}
	for _, value := range values {
		compare("m", moments[0], slog.LevelWarn, slog.Int("before", 1), slog.Attr{Key: "k", Value: value}, slog.Int("after", 1))
	}
	for i, at := range moments {
		compare("m", at, slog.Level(3*i-5), slog.String("k", "v"))
	}
	compare("nothing else", moments[0], slog.LevelError)
	ours, theirs = ours.WithAttrs([]slog.Attr{slog.Int("with", 1)}).WithGroup("g"), theirs.WithAttrs([]slog.Attr{slog.Int("with", 1)}).WithGroup("g")
	compare("m", moments[0], slog.LevelInfo, slog.String("k", "v"))
}

// BenchmarkLine is the line of a write, beside slog's own handler.
func BenchmarkLine(b *testing.B) {
	for name, handler := range map[string]slog.Handler{"ours": newLineHandler(discard{}, &slog.HandlerOptions{}), "slog": slog.NewJSONHandler(discard{}, nil)} {
		b.Run(name, func(b *testing.B) {
			record := slog.NewRecord(time.Now(), slog.LevelInfo, "write", 0)
			record.AddAttrs(slog.String("key", "captop-bench:000000001234"), slog.String("client", "127.0.0.1"), slog.Int("status", 200),
				slog.Float64("duration_ms", 2.345), slog.Int("size", 100), slog.String("version", "1763868000123456.817263"),
				slog.String("nodes", "db_g1"), slog.String("outcome", "applied"))
			for b.Loop() {
				if err := handler.Handle(context.Background(), record); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// discard is a writer that the benchmark's handlers cannot know as io.Discard.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
