package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"captop/service"
	"captop/service/api"
)

// settings is everything that the environment decides. The tag want says what would do, secret that the value is never
// shown and may come from the file that NAME_FILE names.
type settings struct {
	AppEnv   string       `env:"APP_ENV" want:"development or production"`
	Mode     service.Mode `env:"MODE" want:"cp or ap (also --mode)"`
	Listen   string       `env:"LISTEN_ADDR" want:"host:port, such as 127.0.0.1:5001"`
	Instance string       `env:"INSTANCE" want:"a name that no other instance has, without spaces"`

	G1URL     string `env:"DB_G1_URL" secret:"true" want:"redis://:password@host:6379/0, rediss://, or either with ?master_name=NAME&replicas=N for Sentinel, ?cluster=true&replicas=N for Redis Cluster"`
	G2URL     string `env:"DB_G2_URL" secret:"true" want:"redis://:password@host:6379/0, rediss://, or either with ?master_name=NAME&replicas=N for Sentinel, ?cluster=true&replicas=N for Redis Cluster"`
	SecretKey string `env:"SECRET_KEY" secret:"true" want:"at least 32 random characters, as openssl rand -hex 32 prints"`

	Timeout         seconds     `env:"NETWORK_TIMEOUT_SEC" want:"seconds above 0, such as 2 or 0.5"`
	MaxStalenessMS  count       `env:"MAX_STALENESS_MS" want:"milliseconds above 0, such as 5000"`
	MaxClockSkewMS  count       `env:"MAX_CLOCK_SKEW_MS" want:"milliseconds above 0, such as 500"`
	APCacheMS       countOrNone `env:"AP_CACHE_MS" want:"milliseconds, at most MAX_STALENESS_MS and 60000, with ap only; 0 or nothing keeps nothing"`
	BreakerFailures count       `env:"BREAKER_FAILURES" want:"a number above 0, such as 5"`
	BreakerOpen     seconds     `env:"BREAKER_OPEN_SEC" want:"seconds above 0, such as 2"`
	Drain           delay       `env:"DRAIN_SEC" want:"seconds, 0 or more, such as 2"`

	LogLevel     level  `env:"LOG_LEVEL" want:"DEBUG, INFO, WARN, WARNING or ERROR"`
	LogFile      string `env:"LOG_FILE" want:"a path, or nothing"`
	LogAnonymize bool   `env:"LOG_ANONYMIZE" want:"true or false"`

	TLSCertFile string `env:"TLS_CERT_FILE" want:"a PEM file, together with TLS_KEY_FILE"`
	TLSKeyFile  string `env:"TLS_KEY_FILE" want:"a PEM file, together with TLS_CERT_FILE"`

	TokensFile   string  `env:"TOKENS_FILE" want:"a file of lines NAME ROLE SHA256, as capd token prints"`
	RateLimits   rates   `env:"RATE_LIMITS" want:"rates such as 1000 per hour;100 per minute, or nothing"`
	Proxies      proxies `env:"TRUSTED_PROXIES" want:"networks such as 10.0.0.0/8,127.0.0.1, or nothing"`
	SessionStore string  `env:"SESSION_STORE" want:"cookie or redis"`
}

// developmentKey signs sessions where nobody has chosen a key. It is public, so production refuses it.
const developmentKey = "captop-development-key-not-for-production"

// wellKnownKeys are what people leave in SECRET_KEY.
var wellKnownKeys = []string{developmentKey, "change-me", "changeme", "change_me", "secret", "secret-key", "secret_key",
	"dev", "dev-secret-key", "development", "default", "password", "test", "your-secret-key", "your-secret-key-here"}

// defaults are all the defaults there are, but for LISTEN_ADDR, which depends on the mode.
func defaults() settings {
	return settings{
		AppEnv:          "development",
		G1URL:           "redis://127.0.0.1:6379/0",
		G2URL:           "redis://127.0.0.1:6380/0",
		Timeout:         seconds(2 * time.Second),
		MaxStalenessMS:  5000,
		MaxClockSkewMS:  500,
		BreakerFailures: 5,
		BreakerOpen:     seconds(2 * time.Second),
		Drain:           delay(2 * time.Second),
		LogLevel:        level(slog.LevelInfo),
		SessionStore:    "cookie",
	}
}

// listenDefault is where a mode listens by default.
func listenDefault(mode service.Mode) string {
	if mode == service.ModeAP {
		return "127.0.0.1:5002"
	}
	return "127.0.0.1:5001"
}

// load reads the settings, or says for every variable that can't be used what would do.
func load(environ map[string]string) (settings, error) {
	s := defaults()
	environ, err := withFiles(environ)
	if err != nil {
		return s, err
	}
	if err := env.ParseWithOptions(&s, env.Options{Environment: environ}); err != nil {
		return s, problems(err, environ)
	}
	if s.Listen == "" {
		s.Listen = listenDefault(s.Mode)
	}
	if s.Instance == "" {
		s.Instance = instanceName()
	}
	if err := errors.Join(append(s.check(), s.checkProduction()...)...); err != nil {
		return s, err
	}
	if s.SecretKey == "" {
		s.SecretKey = developmentKey
	}
	return s, nil
}

// withFiles fills secrets from the files that NAME_FILE variables name.
func withFiles(environ map[string]string) (map[string]string, error) {
	filled := make(map[string]string, len(environ))
	for name, value := range environ {
		filled[name] = value
	}
	for field := range fields() {
		if field.Tag.Get("secret") == "" {
			continue
		}
		name := field.Tag.Get("env")
		path := environ[name+"_FILE"]
		if path == "" {
			continue
		}
		if environ[name] != "" {
			return nil, fmt.Errorf("%s and %s_FILE are both set; keep one of them", name, name)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("%s_FILE: reading the secret: %w", name, err)
		}
		filled[name] = strings.TrimRight(string(content), "\r\n")
		if filled[name] == "" {
			return nil, fmt.Errorf("%s_FILE: %q is empty; give %s", name, path, field.Tag.Get("want"))
		}
	}
	return filled, nil
}

// fields walks over the settings.
func fields() func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for field := range reflect.TypeFor[settings]().Fields() {
			if !yield(field) {
				return
			}
		}
	}
}

// unusable says which variable can't be used, its value unless that is a secret, why where that is not plain, and what
// would do.
func unusable(name, value, because string) error {
	var want string
	secret := false
	for field := range fields() {
		if field.Tag.Get("env") == name {
			want, secret = field.Tag.Get("want"), field.Tag.Get("secret") != ""
		}
	}
	what := name
	if value != "" && !secret {
		what += ": " + strconv.Quote(value)
	}
	if because != "" {
		because = ": " + because
	}
	return fmt.Errorf("%s can't be used%s; give %s", what, because, want)
}

// problems puts the parser's errors into our words.
func problems(err error, environ map[string]string) error {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return err
	}
	var told []error
	for _, one := range all.Errors {
		var parse env.ParseError
		if !errors.As(one, &parse) {
			told = append(told, one)
			continue
		}
		field, _ := reflect.TypeFor[settings]().FieldByName(parse.Name)
		name := field.Tag.Get("env")
		told = append(told, unusable(name, environ[name], ""))
	}
	return errors.Join(told...)
}

func instanceName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "capd"
	}
	suffix := make([]byte, 3)
	_, _ = rand.Read(suffix) // never fails, says its documentation
	return host + "-" + hex.EncodeToString(suffix)
}

// seconds is a time above zero, written as a number of seconds.
type seconds time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *seconds) UnmarshalText(text []byte) error {
	var d delay
	if err := d.UnmarshalText(text); err != nil {
		return err
	}
	if d == 0 {
		return errors.New("it is zero")
	}
	*s = seconds(d)
	return nil
}

// delay is a time of zero or more, written as a number of seconds.
type delay time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *delay) UnmarshalText(text []byte) error {
	number, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return err
	}
	if !(number >= 0 && number <= 86400) { // so that NaN fails too
		return errors.New("it is below zero or above a day")
	}
	*d = delay(number * float64(time.Second))
	return nil
}

// mostCacheMS bounds AP_CACHE_MS.
const mostCacheMS = 60_000

// count is a whole number above zero.
type count uint32

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *count) UnmarshalText(text []byte) error {
	var number countOrNone
	if err := number.UnmarshalText(text); err != nil {
		return err
	}
	if number == 0 {
		return errors.New("it is zero")
	}
	*c = count(number)
	return nil
}

// countOrNone is a whole number, or nothing.
type countOrNone uint32

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *countOrNone) UnmarshalText(text []byte) error {
	number, err := strconv.ParseUint(string(text), 10, 31)
	*c = countOrNone(number)
	return err
}

// level is a slog level that also takes WARNING.
type level slog.Level

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *level) UnmarshalText(text []byte) error {
	name := strings.ToUpper(string(text))
	if name == "WARNING" {
		name = "WARN"
	}
	return (*slog.Level)(l).UnmarshalText([]byte(name))
}

type rates []api.Rate

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *rates) UnmarshalText(text []byte) error {
	parsed, err := api.ParseRates(string(text))
	*r = parsed
	return err
}

type proxies api.Proxies

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *proxies) UnmarshalText(text []byte) error {
	parsed, err := api.ParseProxies(string(text))
	*p = proxies(parsed)
	return err
}
