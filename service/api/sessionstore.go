package api

import (
	"context"
	_ "embed"
	"sync"

	"github.com/redis/go-redis/v9"

	"captop/service"
)

// maxSessionKeys bounds what one session keeps in Redis; further keys count as fallen out.
const maxSessionKeys = 1000

// saveTries bounds how often a session is noted anew because the same session wrote the same key meanwhile.
const saveTries = 5

//go:embed session.lua
var sessionSource string

// saveScript is safe for concurrent use.
var saveScript = redis.NewScript(sessionSource)

func sessionKey(mode service.Mode, id string) string {
	return "session:{" + string(mode) + ":" + id + "}"
}

// save notes a write in every store, and reports whether one of them has it.
func (s *Sessions) save(ctx context.Context, id string, key keyHash, version service.Version,
	newer func(a, b service.Version) (bool, error)) bool {
	results := make([]error, len(s.stores))
	var wait sync.WaitGroup
	for i, store := range s.stores {
		wait.Go(func() {
			_, results[i] = store.run(ctx, func(ctx context.Context, client redis.UniversalClient) (any, error) {
				return nil, saveIn(ctx, client, sessionKey(s.mode, id), key.text(), version, newer)
			})
		})
	}
	wait.Wait()
	for _, err := range results {
		if err == nil {
			return true
		}
	}
	return false
}

// saveIn sets the version of a key unless a newer one of the same session is there.
func saveIn(ctx context.Context, client redis.UniversalClient, key, hash string, version service.Version,
	newer func(a, b service.Version) (bool, error)) error {
	expected := ""
	for range saveTries {
		found, err := saveScript.Run(ctx, client, []string{key}, hash, expected, string(version),
			sessionTTL.Milliseconds(), maxSessionKeys).Text()
		if err != nil || found == expected {
			return err
		}
		if isNewer, err := newer(version, service.Version(found)); err == nil && !isNewer {
			return nil
		}
		expected = found
	}
	return context.DeadlineExceeded
}

// load asks every store, and gives the newest version that one knows. Where none knows one and not all have answered,
// the session may have written the key.
func (s *Sessions) load(ctx context.Context, id string, key keyHash, newer func(a, b service.Version) (bool, error)) sessionEntry {
	entries := make([]sessionEntry, len(s.stores))
	var wait sync.WaitGroup
	for i, store := range s.stores {
		wait.Go(func() {
			reply, err := store.run(ctx, func(ctx context.Context, client redis.UniversalClient) (any, error) {
				return client.HMGet(ctx, sessionKey(s.mode, id), key.text(), "dropped").Result()
			})
			entries[i] = entryOf(reply, err)
		})
	}
	wait.Wait()
	// Without stores (SESSION_STORE was redis and is cookie now) nothing is known of a session in Redis.
	best := sessionEntry{state: wroteUnknown}
	if len(entries) > 0 {
		best = entries[0]
	}
	for _, entry := range entries[1:] {
		switch {
		case entry.state == wroteVersion && best.state == wroteVersion:
			if isNewer, err := newer(entry.version, best.version); err == nil && isNewer {
				best = entry
			}
		case entry.state == wroteVersion, entry.state == wroteUnknown && best.state == wroteNothing:
			best = entry
		}
	}
	return best
}

func entryOf(reply any, err error) sessionEntry {
	fields, ok := reply.([]any)
	if err != nil || !ok || len(fields) != 2 {
		return sessionEntry{state: wroteUnknown}
	}
	if version, ok := fields[0].(string); ok {
		return sessionEntry{wroteVersion, service.Version(version)}
	}
	if fields[1] != nil {
		return sessionEntry{state: wroteUnknown}
	}
	return sessionEntry{state: wroteNothing}
}
