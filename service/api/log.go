package api

// Names of the log attributes that are about people: a key they chose, an address or a token name of theirs. Whoever
// logs one of these uses these names, and the daemon's log handler pseudonymises them where LOG_ANONYMIZE asks for it.
// Values are not logged at all.
const (
	LogKey    = "key"
	LogClient = "client"
)
