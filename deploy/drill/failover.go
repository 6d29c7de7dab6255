package drill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/deploy/dbnode"
	"captop/deploy/restore"
	"captop/service"
)

// Errors that callers tell apart.
var (
	ErrPromoted    = errors.New("the standby pair is promoted")
	ErrNotPromoted = errors.New("the standby pair was not promoted by captop")
	ErrNoStandby   = errors.New("it is no standby that could take over")
)

// catchUpWithin bounds how long a standby may be behind at its promotion, and how long it may take to follow again.
const catchUpWithin = RPOTarget

// Promotion says what was promoted, and what it followed: a file in the folder of backups, for as long as it lasts.
type Promotion struct {
	At        time.Time         `json:"at"`
	Primaries map[string]string `json:"primaries"` // host:port that the standby of a node followed
	Stays     bool              `json:"stays"`     // it was no exercise
}

const promotionFile = "promotion.json"

// Promoted tells of a standby pair that is promoted; false if it is not.
func Promoted(dir string) (Promotion, bool, error) {
	var p Promotion
	text, err := os.ReadFile(filepath.Join(dir, promotionFile))
	if errors.Is(err, fs.ErrNotExist) {
		return p, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return p, false, fmt.Errorf("reading what was promoted: %w", err)
	}
	return p, true, nil
}

func (p Promotion) save(dir string) error {
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("noting the promotion: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("noting the promotion: %w", err)
	}
	path := filepath.Join(dir, promotionFile)
	file, err := os.OpenFile(path+".partial", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("noting the promotion: %w", err)
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(path+".partial", path)
	}
	if err != nil {
		return fmt.Errorf("noting the promotion: %w", err)
	}
	return nil
}

// Failover promotes the standby pair, has the services settle and serve it, and measures. Unless it is to stay, the pair
// follows its primaries again at the end: what the drill wrote is gone then. The URLs are by node.
func (d *Driller) Failover(ctx context.Context, primaries, standbys map[string]string, stay bool) (Result, error) {
	if p, promoted, err := Promoted(d.Dir); err != nil || promoted {
		return Result{}, errors.Join(err, fmt.Errorf("%w since %s: captop drill failover --back makes it follow its primaries again", ErrPromoted, p.At.Format(time.RFC3339)))
	}
	e := d.begin(Failover)
	err := e.failover(ctx, primaries, standbys, stay)
	if _, promoted, _ := Promoted(d.Dir); promoted && !stay {
		e.step("making the standbys follow their primaries again")
		// Also where the drill was interrupted.
		err = errors.Join(err, d.Back(context.WithoutCancel(ctx), standbys))
	}
	return e.end(ctx, err)
}

func (e *exercise) failover(ctx context.Context, primaries, standbys map[string]string, stay bool) error {
	p := Promotion{At: e.At, Primaries: map[string]string{}, Stays: stay}
	least := map[string][2]int64{}
	e.step("looking how far the standbys are behind")
	for _, name := range []string{service.G1, service.G2} {
		e.Nodes = append(e.Nodes, Node{Name: name})
		follows, counts, err := e.behind(ctx, primaries[name], standbys[name], stay)
		if err != nil {
			return fmt.Errorf("standby of %s: %w", name, err)
		}
		p.Primaries[name], least[name] = follows, counts
	}
	if err := p.save(e.Dir); err != nil {
		return err
	}
	promoted := e.Now()
	e.step("promoting both (REPLICAOF NO ONE)")
	for _, name := range []string{service.G1, service.G2} {
		if err := follow(ctx, standbys[name], "NO", "ONE"); err != nil {
			return fmt.Errorf("promoting the standby of %s: %w", name, err)
		}
	}
	if err := e.serve(ctx, standbys); err != nil {
		return err
	}
	e.RTO = e.Now().Sub(promoted)
	for _, n := range e.Nodes {
		if n.CP < least[n.Name][0] || n.AP < least[n.Name][1] {
			return fmt.Errorf("the standby of %s holds %d keys of CP and %d of AP, and its primary held %d and %d", n.Name, n.CP, n.AP, least[n.Name][0], least[n.Name][1])
		}
	}
	return nil
}

// behind measures how far a standby is behind its primary: until it has what the primary has now. A primary that is gone
// leaves the time since the last word from it.
func (e *exercise) behind(ctx context.Context, primary, standby string, stay bool) (follows string, counts [2]int64, err error) {
	replica, err := dbnode.AskAt(ctx, standby)
	if err != nil {
		return "", counts, err
	}
	if replica.Role != "slave" || replica.Primary == "" {
		return "", counts, fmt.Errorf("%w: its role is %s", ErrNoStandby, replica.Role)
	}
	client, err := dbnode.Connect(primary)
	if err != nil {
		return "", counts, err
	}
	defer client.Close()
	began := e.Now()
	standing, err := dbnode.Ask(ctx, client)
	if err != nil && stay {
		e.RPO = max(e.RPO, replica.Silence)
		return replica.Primary, counts, nil // it is the day: nobody knows what it held last
	}
	if err != nil {
		return "", counts, fmt.Errorf("its primary: %w", err)
	}
	if !replica.LinkUp {
		return "", counts, fmt.Errorf("%w: it does not follow its primary %s (master_link_status is down)", ErrNoStandby, replica.Primary)
	}
	bounded, cancel := context.WithTimeout(ctx, catchUpWithin)
	defer cancel()
	for replica.Offset < standing.Offset {
		select {
		case <-bounded.Done():
			return "", counts, fmt.Errorf("%w: it is %d bytes behind and does not catch up", ErrNoStandby, standing.Offset-replica.Offset)
		case <-time.After(10 * time.Millisecond):
		}
		if replica, err = dbnode.AskAt(bounded, standby); err != nil {
			return "", counts, err
		}
	}
	e.RPO = max(e.RPO, e.Now().Sub(began))
	counts[0], counts[1], err = restore.ClientKeys(ctx, client, func(int64) {})
	if err != nil {
		return "", counts, err
	}
	return replica.Primary, counts, e.caughtUp(bounded, client, standby)
}

// caughtUp waits until a standby has what its primary has now.
func (e *exercise) caughtUp(ctx context.Context, primary *redis.Client, standby string) error {
	standing, err := dbnode.Ask(ctx, primary)
	if err != nil {
		return err
	}
	for {
		replica, err := dbnode.AskAt(ctx, standby)
		if err != nil || replica.Offset >= standing.Offset {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: it does not catch up", ErrNoStandby)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Back makes a promoted standby pair follow its primaries again. What was written to it is lost.
func (d *Driller) Back(ctx context.Context, standbys map[string]string) error {
	p, promoted, err := Promoted(d.Dir)
	if err != nil {
		return err
	}
	if !promoted {
		return ErrNotPromoted
	}
	bounded, cancel := context.WithTimeout(ctx, catchUpWithin)
	defer cancel()
	for name, address := range p.Primaries {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return fmt.Errorf("where the primary of %s was: %w", name, err)
		}
		if err := follow(bounded, standbys[name], host, port); err != nil {
			return fmt.Errorf("making the standby of %s follow %s: %w", name, address, err)
		}
	}
	for name := range p.Primaries {
		for {
			standing, err := dbnode.AskAt(bounded, standbys[name])
			if err == nil && standing.LinkUp && !standing.Loading {
				break
			}
			select {
			case <-bounded.Done():
				return errors.Join(fmt.Errorf("the standby of %s does not follow yet", name), err)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	if err := os.Remove(filepath.Join(d.Dir, promotionFile)); err != nil {
		return fmt.Errorf("noting that the standbys follow again: %w", err)
	}
	return nil
}

// follow sends REPLICAOF.
func follow(ctx context.Context, standby, host, port string) error {
	client, err := dbnode.Connect(standby)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.ReplicaOf(ctx, host, port).Err()
}
