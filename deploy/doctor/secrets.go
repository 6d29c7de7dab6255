package doctor

import (
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
)

// leastSecret is the shortest secret that passes, characters.
const leastSecret = 32

// leastPassword is the shortest password of Redis that passes: it can be tried a million times a second.
const leastPassword = 16

// wellKnown are what people leave in secrets, and try on others' servers.
var wellKnown = []string{"captop-development-key-not-for-production", "change-me", "changeme", "change_me", "secret", "secret-key",
	"secret_key", "dev", "development", "default", "password", "test", "your-secret-key", "your-secret-key-here"}

// triedPasswords are tried on the nodes.
var triedPasswords = []string{"redis", "password", "foobared", "changeme", "change-me", "secret", "default", "admin", "root", "test",
	"123456", "captop", "requirepass"}

// newSecret makes a secret.
const newSecret = "openssl rand -hex 32"

func secretChecks() []check {
	return []check{
		{Line{"app-env", "secrets", "APP_ENV is production on every instance",
			"only in production does capd refuse to start with a weak key, an open node or an open API"}, lookAppEnv},
		{Line{"secret-key", "secrets", "SECRET_KEY is random, long, and the same on every instance",
			"who knows the key can make session tokens; with different keys sessions break when the balancer changes the instance"}, lookSecretKey},
		{Line{"secret-files", "secrets", "No file with a secret can be read by others",
			"any account on the host could take the secret, and nobody would see it"}, lookSecretFiles},
		{Line{"redis-password", "secrets", "The nodes refuse to work without a password and with those that everybody tries",
			"an open Redis is found within hours, and gives its host away with it"}, lookRedisPassword},
	}
}

// inProduction is the fix for settings of capd.
func (r *round) inProduction(setting string) string {
	if r.eyes.Targets.Stack != "" { // no .env is read there
		return fmt.Sprintf("export '%s'; %s", setting, r.up())
	}
	return fmt.Sprintf("echo '%s' >> .env && %s", setting, r.up("app_cp", "app_ap"))
}

func lookAppEnv(ctx context.Context, r *round, v *verdict) {
	r.each(ctx, v, services, func(u Unit) {
		setting(v, u, "APP_ENV", func(value string) {
			v.expect(value == "production", r.inProduction("APP_ENV=production"), "%s has APP_ENV=%s", u.Name, orUnset(value))
		})
	})
}

func orUnset(value string) string {
	if value == "" {
		return "(unset: development)"
	}
	return value
}

func lookSecretKey(ctx context.Context, r *round, v *verdict) {
	fix := "umask 077; " + newSecret + " > secrets/secret_key, then name it in SECRET_KEY_FILE, and " + r.upAnew("app_cp", "app_ap")
	first, firstAt := "", ""
	r.each(ctx, v, services, func(u Unit) {
		key, where, err := r.secretOf(ctx, u, "SECRET_KEY")
		switch {
		case err != nil:
			v.cannot("", "%s: %s cannot be read: %v", u.Name, where, err)
			return
		case key == "":
			v.fail(fix, "%s has no SECRET_KEY", u.Name)
			return
		}
		if weak := weakness(key, leastSecret); weak != "" {
			v.fail(fix, "%s: %s %s", u.Name, where, weak)
			return
		}
		if first == "" {
			first, firstAt = key, u.Name
		}
		v.expect(key == first, fix, "%s has a %s of %d characters%s", u.Name, where, len(key), map[bool]string{true: "", false: ", another one than " + firstAt}[key == first])
	})
}

// weakness says what is wrong with a secret, "" for nothing.
func weakness(secret string, least int) string {
	distinct := map[rune]bool{}
	for _, letter := range secret {
		distinct[letter] = true
	}
	switch {
	case slices.Contains(wellKnown, strings.ToLower(secret)) || slices.Contains(triedPasswords, strings.ToLower(secret)):
		return "is one that everybody knows"
	case len(secret) < least:
		return fmt.Sprintf("has %d characters; %d are needed", len(secret), least)
	case len(distinct) < 8:
		return fmt.Sprintf("has %d different characters only, and was not drawn at random", len(distinct))
	}
	return ""
}

// secretPaths are the settings that name files which nobody else may read.
var secretPaths = []string{"SECRET_KEY_FILE", "DB_G1_URL_FILE", "DB_G2_URL_FILE", "TLS_KEY_FILE", "TOKENS_FILE"}

func lookSecretFiles(ctx context.Context, r *round, v *verdict) {
	folders := []string{}
	r.each(ctx, v, services, func(u Unit) {
		if u.Folder != "" && !slices.Contains(folders, u.Folder) {
			folders = append(folders, u.Folder)
		}
		known(v, u, "its environment", u.Env, func(env map[string]string) {
			found := 0
			for _, name := range secretPaths {
				if env[name] != "" {
					found++
					r.lookSecretFile(ctx, v, u, env[name])
				}
			}
			if found == 0 {
				v.pass("%s has its secrets from no file", u.Name)
			}
		})
	})
	for _, folder := range folders {
		r.lookDotEnv(ctx, v, path.Join(folder, ".env"))
	}
}

// lookSecretFile judges who may read a file that a unit sees. One that is on no disk of the host (a secret of Swarm, a
// part of the image) is out of others' reach there.
func (r *round) lookSecretFile(ctx context.Context, v *verdict, u Unit, name string) {
	file, err := r.readFile(ctx, u, name)
	if err != nil {
		v.cannot("", "%s: %s cannot be looked at: %v", u.Name, name, err)
		return
	}
	if len(file.Content) == 0 {
		v.cannot("", "%s: %s is empty", u.Name, name)
		return
	}
	onHost := name
	if u.Container {
		if !u.Mounts.OK {
			v.cannot("", "%s: where %s comes from cannot be told: %s", u.Name, name, u.Mounts.Why)
			return
		}
		mount, ok := mountOf(u.Mounts.Value, name)
		if !ok || mount.Kind != "bind" {
			v.pass("%s: %s is not among the host's own files", u.Name, name)
			return
		}
		onHost = path.Join(mount.Source, strings.TrimPrefix(name, mount.Destination))
	}
	r.judgeSecretFile(ctx, v, onHost, file.Mode)
}

// judgeSecretFile passes a file whose mode keeps others out, and one in a folder that does.
func (r *round) judgeSecretFile(ctx context.Context, v *verdict, name string, mode fs.FileMode) {
	fix := "chmod o-rwx,g-w " + name
	switch {
	case mode&0o022 != 0:
		v.fail(fix, "%s may be written by its group or others: mode %04o", name, mode.Perm())
		return
	case mode&0o004 == 0:
		v.pass("%s has mode %04o", name, mode.Perm())
		return
	}
	for folder := path.Dir(name); ; folder = path.Dir(folder) {
		parent, err := r.hostFile(ctx, folder)
		if err != nil {
			v.cannot("ls -ld "+folder, "%s may be read by others if they come to it, and %s cannot be looked at: %v", name, folder, err)
			return
		}
		if parent.Mode&0o001 == 0 {
			v.pass("%s lies in %s, where others cannot go", name, folder)
			return
		}
		if folder == "/" || folder == "." {
			break
		}
	}
	v.fail(fix, "%s may be read by everybody on the host: mode %04o", name, mode.Perm())
}

// lookDotEnv judges the file with Compose's variables. That it is absent is well.
func (r *round) lookDotEnv(ctx context.Context, v *verdict, name string) {
	file, err := r.hostFile(ctx, name)
	switch {
	case isAbsent(err):
		v.pass("there is no %s", name)
	case err != nil:
		v.cannot("ls -l "+name, "%s cannot be looked at: %v", name, err)
	case !holdsSecrets(string(file.Content)):
		v.pass("%s holds no secret", name)
	default:
		r.judgeSecretFile(ctx, v, name, file.Mode)
	}
}

// holdsSecrets says whether a file of variables gives one a value that is secret.
func holdsSecrets(text string) bool {
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") || value == "" || strings.HasSuffix(name, "_FILE") {
			continue
		}
		for _, mark := range []string{"SECRET", "PASSWORD", "TOKEN", "_URL", "KEY"} {
			if strings.Contains(name, mark) {
				return true
			}
		}
	}
	return false
}

// mountOf finds the mount that a path lies on.
func mountOf(mounts []Mount, name string) (best Mount, found bool) {
	for _, m := range mounts {
		under := name == m.Destination || strings.HasPrefix(name, strings.TrimRight(m.Destination, "/")+"/")
		if under && len(m.Destination) >= len(best.Destination) {
			best, found = m, true
		}
	}
	return best, found
}

func lookRedisPassword(ctx context.Context, r *round, v *verdict) {
	fix := "umask 077; " + newSecret + " > secrets/redis_password, then " + r.upAnew()
	for _, node := range nodes {
		r.tryPasswords(ctx, v, node, fix)
	}
	r.each(ctx, v, services, func(u Unit) {
		for _, name := range []string{"DB_G1_URL", "DB_G2_URL"} {
			text, where, err := r.secretOf(ctx, u, name)
			parsed, parseErr := url.Parse(text)
			if err != nil || parseErr != nil {
				v.cannot("", "%s: %s cannot be read", u.Name, where)
				continue
			}
			password, _ := parsed.User.Password()
			if password == "" {
				v.fail(fix, "%s has a %s without a password", u.Name, where)
			} else if weak := weakness(password, leastPassword); weak != "" {
				v.fail(fix, "%s: the password in %s %s", u.Name, where, weak)
			}
		}
	})
}

// tryPasswords really tries: without a password, and with those that everybody tries.
func (r *round) tryPasswords(ctx context.Context, v *verdict, node, fix string) {
	const see = "captop doctor redis-password --g1 redis://:PASSWORD@HOST:6379 --g2 redis://:PASSWORD@HOST:6379, from where the nodes can be reached"
	answer, err := r.redis(ctx, node, Auth{}, "PING")
	switch {
	case err == nil && answer == "PONG":
		v.fail(fix, "%s works for anybody, without a password", node)
		return
	case err == nil:
		v.cannot(see, "%s answers %.40q to PING, which is no Redis", node, answer)
		return
	case !refusedAuth(err):
		v.cannot(see, "%s cannot be asked: %v", node, err)
		return
	}
	for _, password := range triedPasswords {
		answer, err := r.redis(ctx, node, Auth{Password: password}, "PING")
		switch {
		case err == nil && answer == "PONG":
			v.fail(fix, "%s takes the password %q", node, password)
			return
		case err == nil || !refusedAuth(err):
			v.cannot(see, "%s did not say what it thinks of a wrong password: %v", node, err)
			return
		}
	}
	v.pass("%s refuses to work without a password and with %d that everybody tries", node, len(triedPasswords))
}

// refusedAuth says that a node has understood, and refused for want of the right password.
func refusedAuth(err error) bool {
	text := err.Error()
	return strings.HasPrefix(text, "NOAUTH") || strings.HasPrefix(text, "WRONGPASS")
}
