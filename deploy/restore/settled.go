package restore

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"captop/deploy/dbnode"
	"captop/service/layout"
)

// settling is how far the services are with settling a node, as the node itself has it.
type settling struct {
	run         string
	cp, ap      bool  // it was ever settled by that mode, under whichever run
	cpOK, apOK  bool  // and under its present run
	done, total int64 // of the settling that is under way
}

// any says whether a service ever used the node.
func (s settling) any() bool { return s.cp || s.ap }

// ok says whether each mode that used the node has settled its present run.
func (s settling) ok() bool { return s.any() && (!s.cp || s.cpOK) && (!s.ap || s.apOK) }

// readSettling reads the stamps that the services leave on a node, so that no service has to be asked, nor trusted.
func readSettling(ctx context.Context, client *redis.Client) (settling, error) {
	standing, err := dbnode.Ask(ctx, client)
	if err != nil {
		return settling{}, err
	}
	s := settling{run: standing.RunID[:min(len(standing.RunID), layout.RunIDDigits)], cpOK: true}
	var stamps [layout.Buckets]*redis.StringCmd
	pipe := client.Pipeline()
	for b := range stamps {
		stamps[b] = pipe.HGet(ctx, layout.CPMeta(b), layout.CPSettled)
	}
	ap := pipe.HMGet(ctx, layout.APMeta, layout.APSettled, "done", "total")
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return s, fmt.Errorf("reading what the services have noted on the node: %w", err)
	}
	for _, stamp := range stamps {
		s.cp = s.cp || stamp.Val() != ""
		s.cpOK = s.cpOK && stamp.Val() == s.run
	}
	fields := ap.Val()
	s.ap, s.apOK = fields[0] != nil, fields[0] == s.run
	for i, into := range []*int64{&s.done, &s.total} {
		if text, ok := fields[1+i].(string); ok {
			_, _ = fmt.Sscan(text, into)
		}
	}
	return s, nil
}

// ClientKeys counts the keys on a node that clients know, of both modes. tell is told how many keys were looked at.
func ClientKeys(ctx context.Context, client *redis.Client, tell func(int64)) (cp, ap int64, err error) {
	for cursor, seen := uint64(0), int64(0); ; {
		names, next, err := client.Scan(ctx, cursor, "", 1000).Result()
		if err != nil {
			return 0, 0, fmt.Errorf("counting keys: %w", err)
		}
		for _, name := range names {
			if _, ok := layout.CPUserKey(name); ok {
				cp++
			} else if _, ok := layout.APUserKey(name); ok {
				ap++
			}
		}
		seen += int64(len(names))
		tell(seen)
		if cursor = next; cursor == 0 {
			return cp, ap, nil
		}
	}
}

// lacking counts the CP keys of a loaded backup that the other node does not hold as new or newer, and names one.
//
// Where there is such a key, the two come from different pasts (the pair was emptied since, or the backup is another
// stack's), and the settling, which takes both for one past, could leave them apart for ever.
func lacking(ctx context.Context, loaded, other *redis.Client) (count int64, example string, err error) {
	for cursor := uint64(0); ; {
		names, next, err := loaded.Scan(ctx, cursor, layout.CPPrefix+"*", 1000).Result()
		if err != nil {
			return 0, "", fmt.Errorf("reading the backup: %w", err)
		}
		page := names[:0]
		for _, name := range names {
			if _, ok := layout.CPUserKey(name); ok {
				page = append(page, name)
			}
		}
		here, err := versions(ctx, loaded, page)
		if err != nil {
			return 0, "", err
		}
		there, err := versions(ctx, other, page)
		if err != nil {
			return 0, "", err
		}
		for i, name := range page {
			if !there[i].holds(here[i]) {
				count++
				example, _ = layout.CPUserKey(name)
			}
		}
		if cursor = next; cursor == 0 {
			return count, example, nil
		}
	}
}

// version is what a node holds of a CP key: settled and, at the head, promised.
type version struct {
	n, promised int64
	tx, by      string
}

// holds says whether this is the same past as the settled value of v, and no earlier.
func (have version) holds(v version) bool {
	switch {
	case have.n == v.n:
		return have.tx == v.tx
	case have.promised == v.n:
		return have.by == v.tx
	default:
		return have.n > v.n || have.promised > v.n
	}
}

func versions(ctx context.Context, client *redis.Client, names []string) ([]version, error) {
	found := make([]version, len(names))
	if len(names) == 0 {
		return found, nil
	}
	answers := make([]*redis.SliceCmd, len(names))
	pipe := client.Pipeline()
	for i, name := range names {
		answers[i] = pipe.HMGet(ctx, name, layout.CPVersion, layout.CPTransaction, layout.CPPromised, layout.CPPromisedBy)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("reading versions: %w", err)
	}
	for i, answer := range answers {
		fields := answer.Val()
		text := func(i int) string { s, _ := fields[i].(string); return s }
		_, _ = fmt.Sscan(text(0), &found[i].n)
		_, _ = fmt.Sscan(text(2), &found[i].promised)
		found[i].tx, found[i].by = text(1), text(3)
	}
	return found, nil
}
