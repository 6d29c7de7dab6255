package ap

import (
	_ "embed"

	"github.com/redis/go-redis/v9"
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
