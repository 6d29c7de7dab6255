package main

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"captop/service"
	"captop/service/node"
)

// minSecretKey is the shortest key that production takes, characters.
const minSecretKey = 32

// check finds what parses and still can't be used.
func (s settings) check() []error {
	var found []error
	if s.AppEnv != "development" && s.AppEnv != "production" {
		found = append(found, unusable("APP_ENV", s.AppEnv, ""))
	}
	if s.Mode != service.ModeCP && s.Mode != service.ModeAP {
		found = append(found, unusable("MODE", string(s.Mode), ""))
	}
	if _, port, err := net.SplitHostPort(s.Listen); err != nil || port == "" {
		found = append(found, unusable("LISTEN_ADDR", s.Listen, ""))
	}
	if strings.ContainsAny(s.Instance, " \t\r\n") {
		found = append(found, unusable("INSTANCE", s.Instance, ""))
	}
	if s.SessionStore != "cookie" && s.SessionStore != "redis" {
		found = append(found, unusable("SESSION_STORE", s.SessionStore, ""))
	}
	if s.TLSCertFile == "" && s.TLSKeyFile != "" {
		found = append(found, unusable("TLS_CERT_FILE", "", ""))
	}
	if s.TLSKeyFile == "" && s.TLSCertFile != "" {
		found = append(found, unusable("TLS_KEY_FILE", "", ""))
	}
	switch {
	case s.APCacheMS == 0:
	case s.Mode == service.ModeCP:
		found = append(found, unusable("AP_CACHE_MS", strconv.Itoa(int(s.APCacheMS)), "cp answers from the nodes only"))
	case s.APCacheMS > countOrNone(min(s.MaxStalenessMS, mostCacheMS)):
		found = append(found, unusable("AP_CACHE_MS", strconv.Itoa(int(s.APCacheMS)), ""))
	}
	if err := node.CheckURL(s.G1URL); err != nil {
		found = append(found, unusable("DB_G1_URL", "", err.Error()))
	}
	if err := node.CheckURL(s.G2URL); err != nil {
		found = append(found, unusable("DB_G2_URL", "", err.Error()))
	}
	if s.G1URL == s.G2URL {
		found = append(found, unusable("DB_G2_URL", "", "it is the same as DB_G1_URL"))
	}
	return found
}

// checkProduction finds what a machine on a network must not run with.
func (s settings) checkProduction() []error {
	if s.AppEnv != "production" {
		return nil
	}
	const where = "APP_ENV is production"
	var found []error
	switch {
	case s.SecretKey == "":
		found = append(found, unusable("SECRET_KEY", "", "it is missing, and "+where))
	case slices.Contains(wellKnownKeys, strings.ToLower(s.SecretKey)):
		found = append(found, unusable("SECRET_KEY", "", "it is well known, and "+where))
	case len(s.SecretKey) < minSecretKey:
		found = append(found, unusable("SECRET_KEY", "", "it is short, and "+where))
	}
	for _, node := range []struct{ name, url string }{{"DB_G1_URL", s.G1URL}, {"DB_G2_URL", s.G2URL}} {
		parsed, err := url.Parse(node.url)
		if err != nil {
			continue // check has said so
		}
		password, _ := parsed.User.Password()
		if query := parsed.Query(); query.Has("master_name") {
			password = query.Get("password") // the other one is the Sentinels'
		}
		if password == "" {
			found = append(found, unusable(node.name, "", "it has no password, and "+where))
		}
	}
	if s.TokensFile == "" {
		found = append(found, unusable("TOKENS_FILE", "", "anybody could write, and "+where))
	}
	return found
}
