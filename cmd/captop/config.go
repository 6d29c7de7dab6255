package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"captop/probes"
	"captop/probes/discovery"
	"captop/service"
	"captop/tui/keys"
)

// keysTable is the table of the config file that binds keys.
const keysTable = "keys"

// configPath is where the config file lies by default: $XDG_CONFIG_HOME/captop/config.toml or the platform's like.
func configPath() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "captop", "config.toml")
}

// taker lets the TOML library hand a value over, so that it adds the line to what is wrong with it.
type taker func(value any) error

func (t taker) UnmarshalTOML(value any) error { return t(value) }

// loadConfig reads path over base. A file that is absent is an error only where it was asked for.
//
// The file is TOML: its values have one meaning each (no bare word becomes a truth value).
func loadConfig(path string, asked bool, base settings) (settings, error) {
	values := map[string]toml.Primitive{}
	meta, err := toml.DecodeFile(path, &values)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !asked:
		return base, nil
	case err != nil:
		return base, configError(path, err)
	}
	rows := map[string]setting{}
	for _, row := range table() {
		rows[row.name] = row
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		row, known := rows[name]
		switch {
		case name == keysTable:
			err = takeKeys(meta, values[name], &base)
		case !known:
			err = meta.PrimitiveDecode(values[name], taker(func(any) error { return unknownSetting(name) }))
		default:
			err = meta.PrimitiveDecode(values[name], taker(func(value any) error {
				if err := row.take(&base, value); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				return nil
			}))
			base.from[name] = path
		}
		if err != nil {
			return base, configError(path, err)
		}
	}
	return base, nil
}

// configError names file and line.
func configError(path string, err error) error {
	var syntax toml.ParseError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%s, line %d: %s", path, syntax.Position.Line, syntax.Message)
	}
	return fmt.Errorf("reading the config file %s: %w", path, err)
}

func unknownSetting(name string) error {
	hint := ""
	if near := keys.Nearest(name, settingNames()); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	return fmt.Errorf("unknown setting %q%s (known: %s)", name, hint, strings.Join(settingNames(), ", "))
}

// takeKeys reads the table of keys: an action with one key, or with a list of them.
func takeKeys(meta toml.MetaData, table toml.Primitive, s *settings) error {
	bound := map[string]toml.Primitive{}
	if err := meta.PrimitiveDecode(table, &bound); err != nil {
		return err
	}
	trial := keys.Default()
	s.Keys = map[string][]string{}
	for _, action := range slices.Sorted(maps.Keys(bound)) {
		take := taker(func(value any) error {
			names, err := manyStrings(value)
			if one, ok := value.(string); ok {
				names, err = []string{one}, nil
			}
			if err == nil {
				err = trial.Rebind(action, names)
			}
			if err != nil {
				return fmt.Errorf("%s.%s: %w", keysTable, action, err)
			}
			s.Keys[action] = names
			return nil
		})
		if err := meta.PrimitiveDecode(bound[action], take); err != nil {
			return err
		}
	}
	if err := trial.Check(); err != nil {
		return meta.PrimitiveDecode(table, taker(func(any) error { return fmt.Errorf("%s: %w", keysTable, err) }))
	}
	return nil
}

// given is one flag of the table: it checks what it is given at once, and keeps it until the config file has been read.
type given struct {
	row    setting
	values []string
}

// String gives nothing: the help shows defaults from the table.
func (g *given) String() string { return "" }

// Set takes one more value.
func (g *given) Set(value string) error {
	trial := defaultSettings()
	if err := g.row.take(&trial, append(g.values, value)); err != nil {
		return err
	}
	g.values = append(g.values, value)
	return nil
}

// Type names the value in the help.
func (g *given) Type() string {
	if g.row.only {
		return "bool"
	}
	return "string"
}

// flagSet is the flags of a command that are settings.
type flagSet struct {
	config string
	given  []*given
}

// bind adds the flags of the table to those of a command, but for those left out.
func bind(flags *pflag.FlagSet, without ...string) *flagSet {
	set := &flagSet{}
	flags.StringVar(&set.config, "config", "", "config file in TOML (default "+configPath()+")")
	for _, row := range table() {
		if slices.Contains(without, row.name) {
			continue
		}
		g := &given{row: row}
		help := row.help
		if shown := written(row.show(defaultSettings())); !row.hidden && shown != `""` {
			help += " (default " + shown + ")"
		}
		added := flags.VarPF(g, strings.ReplaceAll(row.name, "_", "-"), "", help)
		if row.only {
			added.NoOptDefVal = "true"
		}
		set.given = append(set.given, g)
	}
	return set
}

// settings lays the flags over the config file, and the file over the defaults.
func (f *flagSet) settings() (settings, error) {
	path, asked := configPath(), false
	if f.config != "" {
		path, asked = f.config, true
	}
	merged, err := loadConfig(path, asked, defaultSettings())
	if err != nil {
		return merged, err
	}
	if merged.Token != "" && merged.TokenFile != "" {
		return merged, fmt.Errorf("%s: token and token_file are both given; give one", path)
	}
	flags := map[string]bool{}
	for _, g := range f.given {
		if len(g.values) == 0 {
			continue
		}
		if err := g.row.take(&merged, g.values); err != nil {
			return merged, fmt.Errorf("--%s: %w", g.row.name, err)
		}
		flags[g.row.name], merged.from[g.row.name] = true, "--"+strings.ReplaceAll(g.row.name, "_", "-")
	}
	switch { // the flag for one takes the place of the file's other
	case flags["token"] && flags["token_file"]:
		return merged, errors.New("--token and --token-file are both given; give one")
	case flags["token"]:
		merged.TokenFile = ""
	case flags["token_file"]:
		merged.Token = ""
	}
	return merged, nil
}

// keymap is the built-in keys with those that the config file binds anew.
func (s settings) keymap() (keys.Map, error) {
	k := keys.Default()
	for action, names := range s.Keys {
		if err := k.Rebind(action, names); err != nil {
			return k, fmt.Errorf("%s.%s: %w", keysTable, action, err)
		}
	}
	return k, nil
}

// location is the zone of clock times; nil is UTC.
func (s settings) location() *time.Location {
	if s.Zone == "local" {
		return time.Local
	}
	return nil
}

// probeConfig makes the settings what probes work with.
func (s settings) probeConfig() (probes.Config, error) {
	config := probes.Config{Poll: s.Interval}
	token, err := s.token()
	if err != nil {
		return config, err
	}
	for _, group := range []struct {
		mode service.Mode
		urls []string
	}{{service.ModeCP, s.CP}, {service.ModeAP, s.AP}} {
		for i, address := range group.urls {
			if strings.HasPrefix(address, discovery.Prefix) {
				continue
			}
			name := "app_" + string(group.mode)
			if i > 0 {
				name = fmt.Sprintf("%s-%d", name, i+1)
			}
			config.Targets.Services = append(config.Targets.Services,
				probes.ServiceTarget{Name: name, Mode: group.mode, URL: address, Token: token})
		}
	}
	config.Targets.Nodes = []probes.NodeTarget{{Name: service.G1, URL: s.G1}, {Name: service.G2, URL: s.G2}}
	err = s.useRules(&config)
	return config, err
}

// find lets the config see the services: through a Prometheus, or wherever they are found.
func (s settings) find(ctx context.Context, config *probes.Config) error {
	if s.Prometheus != "" {
		return s.usePrometheus(ctx, config)
	}
	return s.discover(ctx, config)
}

// discover has probes follow instances that come and go, where the settings name any. It ends with ctx.
func (s settings) discover(ctx context.Context, config *probes.Config) error {
	find := discovery.Config{Fixed: config.Targets.Services, File: s.Targets, Resolver: net.DefaultResolver}
	for mode, urls := range map[service.Mode][]string{service.ModeCP: s.CP, service.ModeAP: s.AP} {
		for _, address := range urls {
			if strings.HasPrefix(address, discovery.Prefix) {
				find.Names = append(find.Names, discovery.Name{Mode: mode, URL: address})
			}
		}
	}
	if len(find.Names) == 0 && find.File == "" {
		return nil
	}
	var err error
	if find.Token, err = s.token(); err != nil {
		return err
	}
	find.Fixed = slices.DeleteFunc(slices.Clone(find.Fixed), func(target probes.ServiceTarget) bool {
		return s.from[string(target.Mode)] == "" // the default address was nobody's wish
	})
	finder, err := discovery.New(ctx, find)
	if err != nil {
		return err
	}
	config.Targets.Services, _, _ = finder.Found() // a name that cannot be looked up is said with the first poll
	config.Discover = finder.Found
	go finder.Run(ctx)
	return nil
}

func (s settings) token() (string, error) {
	if s.TokenFile == "" {
		return s.Token, nil
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

func newConfigCommand(std streams) *cobra.Command {
	command := &cobra.Command{
		Use:   "config",
		Short: "print every setting with its value and where it comes from",
		Long: "config prints every setting as a config file would have it, with where it comes from: the default, the config file, or a\n" +
			"flag. Flags win over the file, and the file over the defaults. Secrets are hidden.",
		Args: cobra.NoArgs,
	}
	flags := bind(command.Flags())
	command.RunE = func(*cobra.Command, []string) error {
		merged, err := flags.settings()
		if err != nil {
			return err
		}
		return printSettings(std.out, merged)
	}
	return command
}

// printSettings writes TOML that a config file can be made from.
func printSettings(out io.Writer, s settings) error {
	var b strings.Builder
	line := func(text, source string) { fmt.Fprintf(&b, "%-48s # %s\n", text, source) }
	source := func(name string) string {
		if from := s.from[name]; from != "" {
			return from
		}
		return "default"
	}
	for _, row := range table() {
		text := row.name + " = " + written(redacted(row.show(s)))
		if row.hidden && row.show(s) != "" {
			text = "# " + row.name + " is set, and hidden"
		}
		line(text, source(row.name))
	}
	b.WriteString("\n[" + keysTable + "]\n")
	k, err := s.keymap()
	if err != nil {
		return err
	}
	for _, entry := range k.Entries() {
		from := "default"
		if s.Keys[entry.Name] != nil {
			from = "config file"
		}
		names := slices.Clone(entry.Binding.Keys())
		for i, name := range names {
			if name == " " {
				names[i] = "space"
			}
		}
		line(entry.Name+" = "+written(names), from)
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("printing the settings: %w", err)
	}
	return nil
}

// redacted hides the passwords of URLs.
func redacted(value any) any {
	hide := func(text string) string {
		if parsed, err := url.Parse(text); err == nil && parsed.User != nil {
			return parsed.Redacted()
		}
		return text
	}
	switch value := value.(type) {
	case string:
		return hide(value)
	case []string:
		all := make([]string, len(value))
		for i, text := range value {
			all[i] = hide(text)
		}
		return all
	}
	return value
}

// written is a value in TOML.
func written(value any) string {
	switch value := value.(type) {
	case string:
		return fmt.Sprintf("%q", value)
	case []string:
		quoted := make([]string, len(value))
		for i, text := range value {
			quoted[i] = fmt.Sprintf("%q", text)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	return fmt.Sprint(value)
}
