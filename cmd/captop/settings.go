package main

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"captop/probes/discovery"
	"captop/tui/theme"
)

// settings are what flags and the config file can say.
type settings struct {
	CP, AP           []string // URLs of instances
	G1, G2           string   // Redis URLs
	Targets          string   // a file that names instances, in the form of Prometheus' file_sd
	Token, TokenFile string
	Interval         time.Duration // between two polls

	Rules        string   // a rules file; "" is captop's own
	Prometheus   string   // the URL of a Prometheus to read from; "" scrapes
	Alertmanager string   // the URL of an Alertmanager; "" is none
	Log          []string // log files of the services

	Stack string   // what can be acted on: auto, compose:PROJECT, local, none
	Act   []string // commands for acts: "restart db_g2=systemctl restart redis@g2"

	Record     bool          // keep what was seen
	RecordDir  string        // where; "" is the state directory of captop
	RecordSize int64         // bytes that are kept at most
	RecordAge  time.Duration // and no longer than this

	Theme    string
	ASCII    bool
	Mouse    bool
	Zone     string // utc or local
	Relative bool

	Keys map[string][]string // what the config file binds anew: action to keys
	from map[string]string   // where each setting that is no default comes from
}

// setting is one row of the table of settings: the config file, the flags, their checks and captop config come from it.
type setting struct {
	name   string // in the config file; its flag has - for _
	help   string
	hidden bool // never printed
	only   bool // a flag that takes no value

	// take sets a value as the file gives it (string, bool, or list) or as flags do (list of strings), and refuses
	// one that cannot work, saying what would.
	take func(s *settings, value any) error
	show func(s settings) any // as the file would have it: string, bool or []string
}

// The bounds of the time between two polls.
const (
	minInterval = 100 * time.Millisecond
	maxInterval = time.Minute
)

// table is every setting, in the order in which captop config prints them. To add one: a field above, its default below,
// and a row here.
func table() []setting {
	return []setting{
		list("cp", "URL of an app_cp instance, or dns+URL for all that a name has (repeatable)", func(s *settings) *[]string { return &s.CP }, instanceAddress),
		list("ap", "URL of an app_ap instance, or dns+URL for all that a name has (repeatable)", func(s *settings) *[]string { return &s.AP }, instanceAddress),
		text("g1", "Redis URL of db_g1", func(s *settings) *string { return &s.G1 }, redisAddress),
		text("g2", "Redis URL of db_g2", func(s *settings) *string { return &s.G2 }, redisAddress),
		text("targets", "file that names the instances, in Prometheus' file_sd format", func(s *settings) *string { return &s.Targets }, anything),
		secret(text("token", "bearer token for the services; others on this host may see it, so rather use --token-file",
			func(s *settings) *string { return &s.Token }, anything)),
		text("token_file", "file that holds the bearer token", func(s *settings) *string { return &s.TokenFile }, anything),
		parsed("interval", "time between two polls, 100ms to 1m", func(s *settings) *time.Duration { return &s.Interval }, parseInterval, plainDuration),
		text("rules", "file of alerting rules (default: captop's own)", func(s *settings) *string { return &s.Rules }, anything),
		text("prometheus", "read series and alerts from this Prometheus instead of scraping", func(s *settings) *string { return &s.Prometheus }, optionalWebAddress),
		text("alertmanager", "URL of an Alertmanager, for its alerts and silences", func(s *settings) *string { return &s.Alertmanager }, optionalWebAddress),
		list("log", "log file of a service, followed among the events (repeatable)", func(s *settings) *[]string { return &s.Log }, anything),
		text("stack", "what can be acted on: auto, compose:PROJECT, local or none", func(s *settings) *string { return &s.Stack }, checkStack),
		list("act", `command for an act, such as "restart db_g2=systemctl restart redis@g2" (repeatable)`, func(s *settings) *[]string { return &s.Act }, checkAct),
		flag("record", "keep what is seen, to go back in time", func(s *settings) *bool { return &s.Record }),
		text("record_dir", "where it is kept (default: the state directory)", func(s *settings) *string { return &s.RecordDir }, anything),
		parsed("record_size", "how much of it is kept, such as 256MiB", func(s *settings) *int64 { return &s.RecordSize }, parseSize, writeSize),
		parsed("record_age", "for how long, such as 24h or 7d", func(s *settings) *time.Duration { return &s.RecordAge }, parseAge, writeAge),
		text("theme", strings.Join(theme.Names(), ", "), func(s *settings) *string { return &s.Theme }, func(name string) error {
			_, err := theme.ParseMode(name)
			return err
		}),
		flag("ascii", "draw with nothing but ASCII", func(s *settings) *bool { return &s.ASCII }),
		flag("mouse", "click and scroll; marking text then needs shift", func(s *settings) *bool { return &s.Mouse }),
		text("zone", "times in utc or local", func(s *settings) *string { return &s.Zone }, oneOf("utc", "local")),
		flag("relative", "times as how long ago", func(s *settings) *bool { return &s.Relative }),
	}
}

// defaultSettings are the addresses of the compose file, seen from its host.
func defaultSettings() settings {
	return settings{CP: []string{"http://localhost:5001"}, AP: []string{"http://localhost:5002"},
		G1: "redis://localhost:6379", G2: "redis://localhost:6380", Interval: time.Second, Stack: stackAuto,
		Record: true, RecordSize: 256 << 20, RecordAge: 24 * time.Hour, Theme: string(theme.Auto), Zone: "utc",
		from: map[string]string{}}
}

// settingNames are the names that a config file may use.
func settingNames() []string {
	rows := table()
	names := make([]string, len(rows), len(rows)+1)
	for i, row := range rows {
		names[i] = row.name
	}
	return append(names, keysTable)
}

// text is a setting of one string.
func text(name, help string, field func(*settings) *string, check func(string) error) setting {
	return parsed(name, help, field, func(value string) (string, error) { return value, check(value) }, func(value string) string { return value })
}

// parsed is a setting that is written as a string and means something else.
func parsed[T any](name, help string, field func(*settings) *T, parse func(string) (T, error), write func(T) string) setting {
	return setting{name: name, help: help,
		take: func(s *settings, value any) error {
			given, err := oneString(value)
			if err != nil {
				return err
			}
			meant, err := parse(given)
			if err != nil {
				return err
			}
			*field(s) = meant
			return nil
		},
		show: func(s settings) any { return write(*field(&s)) }}
}

// list is a setting of several strings.
func list(name, help string, field func(*settings) *[]string, check func(string) error) setting {
	return setting{name: name, help: help,
		take: func(s *settings, value any) error {
			given, err := manyStrings(value)
			for i := 0; err == nil && i < len(given); i++ {
				err = check(given[i])
			}
			if err == nil {
				*field(s) = given
			}
			return err
		},
		show: func(s settings) any { return *field(&s) }}
}

// flag is a setting that is on or off.
func flag(name, help string, field func(*settings) *bool) setting {
	return setting{name: name, help: help, only: true,
		take: func(s *settings, value any) error {
			if on, ok := value.(bool); ok {
				*field(s) = on
				return nil
			}
			given, err := oneString(value)
			on, notBool := strconv.ParseBool(given)
			if err != nil || notBool != nil {
				return errors.New("give true or false")
			}
			*field(s) = on
			return nil
		},
		show: func(s settings) any { return *field(&s) }}
}

func secret(s setting) setting {
	s.hidden = true
	return s
}

// oneString reads a value of the file, or of a flag that may be given once.
func oneString(value any) (string, error) {
	switch value := value.(type) {
	case string:
		return value, nil
	case []string:
		if len(value) == 1 {
			return value[0], nil
		}
		return "", errors.New("it can be given once")
	}
	return "", fmt.Errorf("give a text in quotes, not %v", value)
}

// manyStrings reads a list of the file, or of a flag.
func manyStrings(value any) ([]string, error) {
	switch value := value.(type) {
	case []string:
		return value, nil
	case []any:
		texts := make([]string, len(value))
		for i, element := range value {
			text, ok := element.(string)
			if !ok {
				return nil, fmt.Errorf("give texts in quotes, not %v", element)
			}
			texts[i] = text
		}
		return texts, nil
	}
	return nil, fmt.Errorf(`give a list such as ["one", "two"], not %v`, value)
}

func anything(string) error { return nil }

func oneOf(words ...string) func(string) error {
	return func(given string) error {
		for _, word := range words {
			if word == given {
				return nil
			}
		}
		return fmt.Errorf("%q: want %s", given, strings.Join(words, " or "))
	}
}

func instanceAddress(address string) error {
	return checkURL(strings.TrimPrefix(address, discovery.Prefix), "http://localhost:5001", "http", "https")
}

func optionalWebAddress(address string) error {
	if address == "" {
		return nil
	}
	return checkURL(address, "http://localhost:9090", "http", "https")
}

func redisAddress(address string) error {
	return checkURL(address, "redis://:password@localhost:6379", "redis", "rediss")
}

// checkURL refuses an address without quoting it: it may hold a password.
func checkURL(address, example string, schemes ...string) error {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || parsed.Scheme != schemes[0] && parsed.Scheme != schemes[1] {
		return fmt.Errorf("not a URL of the form %s:// or %s://; it looks like %s", schemes[0], schemes[1], example)
	}
	return nil
}

func parseInterval(given string) (time.Duration, error) {
	poll, err := time.ParseDuration(given)
	if err != nil || poll < minInterval || poll > maxInterval {
		return 0, fmt.Errorf("%q: give a duration from %s to %s, such as 1s", given, minInterval, maxInterval)
	}
	return poll, nil
}

func plainDuration(d time.Duration) string { return d.String() }

// size is a number of bytes as people write it.
var size = regexp.MustCompile(`^([1-9][0-9]{0,6})(KiB|MiB|GiB)$`)

// sizeUnits are the units of size, the largest first.
var sizeUnits = [...]struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

func parseSize(given string) (int64, error) {
	match := size.FindStringSubmatch(given)
	if match == nil {
		return 0, fmt.Errorf("%q: give a size such as 256MiB", given)
	}
	n, err := strconv.ParseInt(match[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q: give a size such as 256MiB", given)
	}
	for _, unit := range sizeUnits {
		if unit.name == match[2] {
			n *= unit.bytes
		}
	}
	return n, nil
}

func writeSize(bytes int64) string {
	for _, unit := range sizeUnits {
		if bytes%unit.bytes == 0 {
			return fmt.Sprintf("%d%s", bytes/unit.bytes, unit.name)
		}
	}
	return strconv.FormatInt(bytes, 10)
}

func parseAge(given string) (time.Duration, error) {
	age, err := model.ParseDuration(given)
	if err != nil || age <= 0 {
		return 0, fmt.Errorf("%q: give a duration such as 24h or 7d", given)
	}
	return time.Duration(age), nil
}

func writeAge(age time.Duration) string { return model.Duration(age).String() }
