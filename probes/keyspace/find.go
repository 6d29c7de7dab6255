package keyspace

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// foundAtMost bounds the keys that a search gives.
const foundAtMost = 500

// Found is a key with where it lies.
type Found struct {
	Key   string
	Where [2][2]bool // by mode as Modes, then db_g1 and db_g2
}

// Search is how far a search is, or its end.
type Search struct {
	Phase   Phase
	Problem string
	Query   string
	Exact   bool    // Keys[0] is the query itself
	Keys    []Found // sorted, at most 500
	Full    bool    // there may be more keys than Keys has room for
	Done    int64   // names visited, over both nodes
	Total   int64
}

// Find looks for keys. A query with * ? or [ is a pattern as Redis has them; any other is the beginning of a key. A key
// that is named exactly is found at once. news is told how far it is, a few times a second. Cancelling ctx ends it.
func (s *Space) Find(ctx context.Context, query string, news func(Search)) Search {
	f := &finder{space: s, news: news, state: Search{Query: query}, keys: map[string]Found{}}
	err := f.run(ctx)
	switch {
	case ctx.Err() != nil:
		f.state.Phase = Cancelled
	case err != nil:
		f.state.Phase, f.state.Problem = Failed, err.Error()
	default:
		f.state.Phase = Ended
	}
	return f.snapshot()
}

type finder struct {
	space *Space
	news  func(Search)
	state Search
	keys  map[string]Found

	lastNews time.Time
}

func (f *finder) run(ctx context.Context) error {
	if err := f.exact(ctx); err != nil {
		return err
	}
	if len(f.keys) > 0 {
		f.news(f.snapshot())
	}
	for i, client := range f.space.nodes {
		size, err := bounded(ctx, func(ctx context.Context) (int64, error) { return client.DBSize(ctx).Result() })
		if err != nil {
			return fmt.Errorf("counting the keys of %s: %s", f.space.names[i], why(err))
		}
		f.state.Total += size
	}
	for node := range f.space.nodes {
		if err := f.walk(ctx, node); err != nil {
			return err
		}
	}
	return nil
}

// exact looks for the key whose name the query is.
func (f *finder) exact(ctx context.Context) error {
	if f.state.Query == "" {
		return nil
	}
	for node, client := range f.space.nodes {
		_, err := bounded(ctx, func(ctx context.Context) (any, error) {
			pipe := client.Pipeline()
			exists := [2]*redis.IntCmd{}
			for m, mode := range Modes {
				exists[m] = pipe.Exists(ctx, nameOf(mode, f.state.Query))
			}
			_, err := pipe.Exec(ctx)
			for m := range exists {
				if exists[m].Val() > 0 {
					f.take(m, node, f.state.Query)
				}
			}
			return nil, err
		})
		if err != nil {
			return fmt.Errorf("looking for the key at %s: %s", f.space.names[node], why(err))
		}
	}
	_, f.state.Exact = f.keys[f.state.Query]
	return nil
}

func (f *finder) take(mode, node int, key string) {
	found, known := f.keys[key]
	if !known && len(f.keys) >= foundAtMost {
		f.state.Full = true
		return
	}
	found.Key = key
	found.Where[mode][node] = true
	f.keys[key] = found
}

// glob is the pattern of a query for SCAN, over the names of both modes.
func glob(query string) string {
	if !strings.ContainsAny(query, "*?[") {
		query = strings.ReplaceAll(query, `\`, `\\`) + "*"
	}
	return "[ac]p:{*}k:" + query
}

func (f *finder) walk(ctx context.Context, node int) error {
	pattern := glob(f.state.Query)
	for cursor := uint64(0); !f.state.Full; {
		began := f.space.now()
		var next uint64
		names, err := bounded(ctx, func(ctx context.Context) (page []string, err error) {
			page, next, err = f.space.nodes[node].Scan(ctx, cursor, pattern, pageKeys).Result()
			return page, err
		})
		if err != nil {
			return fmt.Errorf("searching at %s: %s", f.space.names[node], why(err))
		}
		for _, name := range names {
			if mode, key, ok := keyOf(name); ok && f.fits(key) {
				f.take(modeIndex(mode), node, key)
			}
		}
		f.state.Done = min(f.state.Done+pageKeys, f.state.Total)
		if now := f.space.now(); now.Sub(f.lastNews) >= newsEvery {
			f.lastNews = now
			f.news(f.snapshot())
		}
		if cursor = next; cursor == 0 {
			return nil
		}
		if err := f.space.pace.wait(ctx, pageKeys, 0, f.space.now().Sub(began)); err != nil {
			return err
		}
	}
	return nil
}

// fits weeds out what the pattern took for another reason: the beginning of a key must be its beginning.
func (f *finder) fits(key string) bool {
	return strings.ContainsAny(f.state.Query, "*?[") || strings.HasPrefix(key, f.state.Query)
}

func (f *finder) snapshot() Search {
	state := f.state
	state.Keys = make([]Found, 0, len(f.keys))
	for _, found := range f.keys {
		state.Keys = append(state.Keys, found)
	}
	slices.SortFunc(state.Keys, func(a, b Found) int {
		if a.Key == f.state.Query || b.Key == f.state.Query {
			return map[bool]int{true: -1, false: 1}[a.Key == f.state.Query]
		}
		return strings.Compare(a.Key, b.Key)
	})
	return state
}
