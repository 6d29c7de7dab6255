package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"captop/probes"
	"captop/service"
)

// settings are what flags and the config file can say.
//
// The file is TOML: its values have one meaning each (no bare word becomes a truth value), and its library names the
// line of an error and every key that nobody knows.
type settings struct {
	CP        []string `toml:"cp"`         // URLs of app_cp instances
	AP        []string `toml:"ap"`         // URLs of app_ap instances
	G1        string   `toml:"g1"`         // Redis URL of db_g1
	G2        string   `toml:"g2"`         // Redis URL of db_g2
	Token     string   `toml:"token"`      // bearer token for the services
	TokenFile string   `toml:"token_file"` // a file that holds it
	Interval  string   `toml:"interval"`   // between two polls, such as 1s
}

// The settings' bounds and names.
const (
	minInterval = 100 * time.Millisecond
	maxInterval = time.Minute
)

var settingNames = [...]string{"cp", "ap", "g1", "g2", "token", "token_file", "interval"}

// defaultSettings are the addresses of the compose file, seen from its host.
func defaultSettings() settings {
	return settings{CP: []string{"http://localhost:5001"}, AP: []string{"http://localhost:5002"},
		G1: "redis://localhost:6379", G2: "redis://localhost:6380", Interval: "1s"}
}

// configPath is where the config file lies by default: $XDG_CONFIG_HOME/captop/config.toml or the platform's like.
func configPath() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "captop", "config.toml")
}

// loadConfig reads path over base. A file that is absent is an error only where it was asked for.
func loadConfig(path string, asked bool, base settings) (settings, error) {
	meta, err := toml.DecodeFile(path, &base)
	var syntax toml.ParseError
	switch {
	case errors.Is(err, fs.ErrNotExist) && !asked:
		return base, nil
	case errors.As(err, &syntax):
		return base, fmt.Errorf("%s, line %d: %s", path, syntax.Position.Line, syntax.Message)
	case err != nil:
		return base, fmt.Errorf("reading the config file %s: %w", path, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		name, hint := unknown[0].String(), ""
		if near := nearest(name); near != "" {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		return base, fmt.Errorf("%s: unknown setting %q%s (known: %s)", path, name, hint, strings.Join(settingNames[:], ", "))
	}
	return base, nil
}

// nearest gives the known setting that is at most two typing errors away, "" if none is.
func nearest(name string) string {
	best, distance := "", 3
	for _, known := range settingNames {
		if d := edits(strings.ToLower(name), known); d < distance && d < len(known) {
			best, distance = known, d
		}
	}
	return best
}

// edits is the Levenshtein distance of two ASCII words.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// probeConfig checks the settings and makes them what probes work with.
func (s settings) probeConfig() (probes.Config, error) {
	var config probes.Config
	poll, err := time.ParseDuration(s.Interval)
	if err != nil || poll < minInterval || poll > maxInterval {
		return config, fmt.Errorf("interval %q: give a duration from %s to %s, such as 1s", s.Interval, minInterval, maxInterval)
	}
	config.Poll = poll
	token, err := s.token()
	if err != nil {
		return config, err
	}
	for _, group := range []struct {
		mode service.Mode
		urls []string
	}{{service.ModeCP, s.CP}, {service.ModeAP, s.AP}} {
		for i, address := range group.urls {
			if err := checkURL(string(group.mode), address, "http", "https"); err != nil {
				return config, err
			}
			name := "app_" + string(group.mode)
			if i > 0 {
				name = fmt.Sprintf("%s-%d", name, i+1)
			}
			config.Targets.Services = append(config.Targets.Services,
				probes.ServiceTarget{Name: name, Mode: group.mode, URL: address, Token: token})
		}
	}
	for _, node := range []struct{ flag, name, url string }{{"g1", service.G1, s.G1}, {"g2", service.G2, s.G2}} {
		if err := checkURL(node.flag, node.url, "redis", "rediss"); err != nil {
			return config, err
		}
		config.Targets.Nodes = append(config.Targets.Nodes, probes.NodeTarget{Name: node.name, URL: node.url})
	}
	return config, nil
}

func (s settings) token() (string, error) {
	if s.TokenFile == "" {
		return s.Token, nil
	}
	if s.Token != "" {
		return "", errors.New("token and token_file are both given; give one")
	}
	text, err := os.ReadFile(s.TokenFile)
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fmt.Errorf("reading the token: %s is empty", s.TokenFile)
	}
	return token, nil
}

// checkURL refuses an address without quoting it: it may hold a password.
func checkURL(flag, address string, schemes ...string) error {
	example := schemes[0] + "://localhost:5001"
	if schemes[0] == "redis" {
		example = "redis://:password@localhost:6379"
	}
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || parsed.Scheme != schemes[0] && parsed.Scheme != schemes[1] {
		return fmt.Errorf("%s: not a URL of the form %s:// or %s://; it looks like %s", flag, schemes[0], schemes[1], example)
	}
	return nil
}
