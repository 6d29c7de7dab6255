package ap

import (
	_ "embed"
	"strconv"

	"github.com/redis/go-redis/v9"

	"captop/service/node"
)

// The scripts; each file says what it does and takes.
var (
	//go:embed lua/write.lua
	writeText string
	//go:embed lua/take.lua
	takeText string
	//go:embed lua/merge.lua
	mergeText string
	//go:embed lua/clear.lua
	clearText string
	//go:embed lua/lease.lua
	leaseText string
	//go:embed lua/release.lua
	releaseText string
	//go:embed lua/asof.lua
	asofText string
	//go:embed lua/rejoin_begin.lua
	rejoinBeginText string
	//go:embed lua/rejoin_step.lua
	rejoinStepText string
	//go:embed lua/rejoin_end.lua
	rejoinEndText string

	writeScript       = redis.NewScript(writeText)
	leaseScript       = redis.NewScript(leaseText)
	releaseScript     = redis.NewScript(releaseText)
	asofScript        = redis.NewScript(asofText)
	rejoinBeginScript = redis.NewScript(rejoinBeginText)
	rejoinStepScript  = redis.NewScript(rejoinStepText)
	rejoinEndScript   = redis.NewScript(rejoinEndText)
)

// The layout on disk, which can't change: a register per key, a dirty set per bucket, and one hash about the node.

// registerPrefix begins the names of all registers of a bucket; the user's key follows.
func registerPrefix(bucket int) string { return "ap:{" + strconv.Itoa(bucket) + "}k:" }

// register is a hash: t stamp and o origin of the version, v the value.
func register(key string) string { return registerPrefix(node.Bucket(key)) + key }

// dirtySet is a sorted set: keys that the peer lacks a write of, by this node's clock (microseconds) at the oldest such
// write.
func dirtySet(bucket int) string { return "ap:{" + strconv.Itoa(bucket) + "}d" }

const (
	// metaKey is a hash about the node: settled, the run id under which it was last reconciled; asof, see asof.lua;
	// while it is being reconciled: rejoin, whose token that is; beat, the last progress; done and total.
	metaKey = "ap:{0}m"
	// leaseKey says who carries this node's dirty keys to its peer.
	leaseKey = "ap:{0}l"
)
