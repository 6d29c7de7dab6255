package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"

	"gopkg.in/natefinch/lumberjack.v2"

	"captop/service/api"
)

// Rotation of LOG_FILE.
const (
	logFileMB    = 10
	logFilesKept = 3
)

// newLogger logs JSON lines to out, and to LOG_FILE where there is one, a moment later. To close it writes what waits.
func newLogger(s settings, out io.Writer) (*slog.Logger, func() error) {
	closeFile := func() error { return nil }
	if s.LogFile != "" {
		file := &lumberjack.Logger{Filename: s.LogFile, MaxSize: logFileMB, MaxBackups: logFilesKept}
		out, closeFile = io.MultiWriter(out, file), file.Close
	}
	options := &slog.HandlerOptions{Level: slog.Level(s.LogLevel)}
	if s.LogAnonymize {
		options.ReplaceAttr = pseudonyms([]byte(s.SecretKey))
	}
	behind := newLogWriter(out)
	return slog.New(newLineHandler(behind, options)), func() error { return errors.Join(behind.Close(), closeFile()) }
}

// pseudonyms replaces what is about people by a keyed hash: the same key of a person has the same pseudonym on every
// instance with the same SECRET_KEY, and nobody without it can tell whose it is.
func pseudonyms(secret []byte) func([]string, slog.Attr) slog.Attr {
	return func(_ []string, attr slog.Attr) slog.Attr {
		if attr.Key != api.LogKey && attr.Key != api.LogClient {
			return attr
		}
		sum := hmac.New(sha256.New, secret)
		sum.Write([]byte("captop log " + attr.Key + " " + attr.Value.String()))
		return slog.String(attr.Key, "p-"+hex.EncodeToString(sum.Sum(nil)[:8]))
	}
}
