package main

import (
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const goodKey = "0123456789abcdef0123456789abcdef"

func TestDefaults(t *testing.T) {
	s, err := load(map[string]string{"MODE": "ap"})
	if err != nil {
		t.Fatal(err)
	}
	if s.Listen != "127.0.0.1:5002" || time.Duration(s.Timeout) != 2*time.Second || s.SecretKey != developmentKey ||
		s.Instance == "" {
		t.Errorf("defaults: %+v", s)
	}
}

func TestSettingsAreRead(t *testing.T) {
	s, err := load(map[string]string{"MODE": "cp", "NETWORK_TIMEOUT_SEC": "0.5", "LOG_LEVEL": "warning",
		"RATE_LIMITS": "1000 per hour;100 per minute", "TRUSTED_PROXIES": "10.0.0.0/8, 127.0.0.1", "RATE": "x"})
	if err != nil {
		t.Fatal(err)
	}
	if time.Duration(s.Timeout) != 500*time.Millisecond || slog.Level(s.LogLevel) != slog.LevelWarn ||
		len(s.RateLimits) != 2 || len(s.Proxies) != 2 {
		t.Errorf("settings: %+v", s)
	}
}

// TestUnusableSettings holds every bad value beside its message. No message may hold a secret.
func TestUnusableSettings(t *testing.T) {
	for name, c := range map[string]struct {
		environ map[string]string
		want    string
	}{
		"no mode":    {map[string]string{"MODE": ""}, `MODE can't be used; give cp or ap (also --mode)`},
		"mode":       {map[string]string{"MODE": "ca"}, `MODE: "ca" can't be used; give cp or ap`},
		"app env":    {map[string]string{"APP_ENV": "prod"}, `APP_ENV: "prod" can't be used; give development or production`},
		"timeout":    {map[string]string{"NETWORK_TIMEOUT_SEC": "0"}, `NETWORK_TIMEOUT_SEC: "0" can't be used; give seconds above 0`},
		"nan":        {map[string]string{"NETWORK_TIMEOUT_SEC": "NaN"}, `NETWORK_TIMEOUT_SEC: "NaN" can't be used`},
		"staleness":  {map[string]string{"MAX_STALENESS_MS": "-1"}, `MAX_STALENESS_MS: "-1" can't be used`},
		"cache":      {map[string]string{"MODE": "ap", "AP_CACHE_MS": "5001"}, `AP_CACHE_MS: "5001" can't be used; give milliseconds, at most MAX_STALENESS_MS and 60000, with ap only; 0 or nothing keeps nothing`},
		"cp's cache": {map[string]string{"AP_CACHE_MS": "100"}, `AP_CACHE_MS: "100" can't be used: cp answers from the nodes only; give milliseconds`},
		"skew":       {map[string]string{"MAX_CLOCK_SKEW_MS": "x"}, `MAX_CLOCK_SKEW_MS: "x" can't be used`},
		"level":      {map[string]string{"LOG_LEVEL": "loud"}, `LOG_LEVEL: "loud" can't be used; give DEBUG`},
		"anonymize":  {map[string]string{"LOG_ANONYMIZE": "perhaps"}, `LOG_ANONYMIZE: "perhaps" can't be used; give true or false`},
		"address":    {map[string]string{"LISTEN_ADDR": "5001"}, `LISTEN_ADDR: "5001" can't be used; give host:port`},
		"rates":      {map[string]string{"RATE_LIMITS": "many per hour"}, `RATE_LIMITS: "many per hour" can't be used`},
		"zero rate":  {map[string]string{"RATE_LIMITS": "0 per hour"}, `RATE_LIMITS: "0 per hour" can't be used`},
		"proxies":    {map[string]string{"TRUSTED_PROXIES": "my proxy"}, `TRUSTED_PROXIES: "my proxy" can't be used`},
		"sessions":   {map[string]string{"SESSION_STORE": "disk"}, `SESSION_STORE: "disk" can't be used; give cookie or redis`},
		"half TLS":   {map[string]string{"TLS_CERT_FILE": "/c"}, `TLS_KEY_FILE can't be used; give a PEM file, together with`},
		"url":        {map[string]string{"DB_G1_URL": "http://:HUSH@h:1"}, `DB_G1_URL can't be used: `},
		"broken url": {map[string]string{"DB_G2_URL": "redis://:HUSH@h:port"}, `DB_G2_URL can't be used: not a URL; give redis://`},
		"same node": {map[string]string{"DB_G1_URL": "redis://h:1", "DB_G2_URL": "redis://h:1"},
			`DB_G2_URL can't be used: it is the same as DB_G1_URL`},
		"both forms": {map[string]string{"SECRET_KEY": "HUSH", "SECRET_KEY_FILE": "/x"},
			`SECRET_KEY and SECRET_KEY_FILE are both set`},
		"no file": {map[string]string{"SECRET_KEY_FILE": "/does/not/exist"}, `SECRET_KEY_FILE: reading the secret: `},
	} {
		t.Run(name, func(t *testing.T) {
			environ := map[string]string{"MODE": "cp"}
			maps.Copy(environ, c.environ)
			_, err := load(environ)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("load says %v, wanted %s", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "HUSH") {
				t.Errorf("the message holds a secret: %v", err)
			}
		})
	}
}

func TestProductionRefuses(t *testing.T) {
	good := map[string]string{"APP_ENV": "production", "MODE": "cp", "SECRET_KEY": goodKey, "TOKENS_FILE": "/tokens",
		"DB_G1_URL": "redis://:HUSH@g1:6379", "DB_G2_URL": "rediss://user:HUSH@g2:6379"}
	if _, err := load(good); err != nil {
		t.Fatalf("good settings: %v", err)
	}
	for name, c := range map[string]struct{ name, value, want string }{
		"no key":      {"SECRET_KEY", "", "SECRET_KEY can't be used: it is missing, and APP_ENV is production"},
		"known key":   {"SECRET_KEY", developmentKey, "SECRET_KEY can't be used: it is well known"},
		"change me":   {"SECRET_KEY", "Change-Me", "SECRET_KEY can't be used: it is well known"},
		"short key":   {"SECRET_KEY", "HUSH", "SECRET_KEY can't be used: it is short"},
		"no password": {"DB_G1_URL", "redis://g1:6379", "DB_G1_URL can't be used: it has no password"},
		"only a user": {"DB_G2_URL", "redis://user@g1:6379", "DB_G2_URL can't be used: it has no password"},
		"only the Sentinels'": {"DB_G1_URL", "redis://:HUSH@s1:26379?master_name=m&replicas=2",
			"DB_G1_URL can't be used: it has no password"},
		"open writes": {"TOKENS_FILE", "", "TOKENS_FILE can't be used: anybody could write"},
	} {
		t.Run(name, func(t *testing.T) {
			environ := maps.Clone(good)
			environ[c.name] = c.value
			_, err := load(environ)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "HUSH") {
				t.Errorf("load says %v, wanted %s", err, c.want)
			}
		})
	}
}

func TestSecretsFromFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(goodKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(url, []byte("redis://:pw@g1:6379\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := load(map[string]string{"MODE": "cp", "SECRET_KEY_FILE": path, "DB_G1_URL_FILE": url})
	if err != nil || s.SecretKey != goodKey || s.G1URL != "redis://:pw@g1:6379" {
		t.Errorf("key %q, URL %q, error %v", s.SecretKey, s.G1URL, err)
	}
}

// TestExampleNamesEverySetting: .env.example and the settings are the same set, and the example can be used as it is.
func TestExampleNamesEverySetting(t *testing.T) {
	text, err := os.ReadFile("../../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	own, composes, ok := strings.Cut(string(text), "# docker-compose.yml alone")
	if !ok {
		t.Fatal(".env.example has lost its part for docker-compose.yml")
	}
	var named, known []string
	for _, found := range regexp.MustCompile(`(?m)^#?([A-Z][A-Z0-9_]+)=`).FindAllStringSubmatch(own, -1) {
		named = append(named, found[1])
	}
	for field := range fields() {
		known = append(known, field.Tag.Get("env"))
		if field.Tag.Get("want") == "" {
			t.Errorf("%s does not say what would do", field.Name)
		}
	}
	slices.Sort(named)
	slices.Sort(known)
	if !slices.Equal(named, known) {
		t.Errorf(".env.example names\n%v\nthe settings are\n%v", named, known)
	}
	environ := environment(strings.Split(string(text), "\n"))
	if _, err := load(environ); err != nil {
		t.Errorf(".env.example as it is: %v", err)
	}
	compose, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`\$\{([A-Z0-9_]+):-([^}]*)\}`).FindAllStringSubmatch(string(compose), -1) {
		if name, unless := found[1], found[2]; !slices.Contains(named, name) && !strings.Contains(composes, "#"+name+"="+unless+"\n") {
			t.Errorf(".env.example does not tell %s, which is %q in docker-compose.yml unless set", name, unless)
		}
	}
}
