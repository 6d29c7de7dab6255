package probes

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// maxAnswer bounds what is read of one answer, in bytes.
const maxAnswer = 8 << 20

// errTooLong: an answer had more than maxAnswer bytes.
var errTooLong = errors.New("the answer is over 8 MiB")

// answer is what came back.
type answer struct {
	status int
	body   string
}

// ask is one probe: a plain function that ends with its context.
type ask func(ctx context.Context) (answer, error)

// newTransport gives connections of captop's own: no proxy between the watcher and what it watches.
func newTransport() *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.MaxIdleConnsPerHost = 4
	transport.MaxIdleConns = 0 // no bound: a connection that is closed and made anew at each poll costs more than one that idles
	return transport
}

// askHTTP gets base+path. Any HTTP answer is an answer, whatever its status.
func askHTTP(client *http.Client, base, path, token string) ask {
	base, authorization := Credentials(base)
	if token != "" {
		authorization = "Bearer " + token
	}
	return func(ctx context.Context) (answer, error) { return get(ctx, client, base+path, authorization) }
}

// get sends a GET. Any HTTP answer is an answer, whatever its status.
func get(ctx context.Context, client *http.Client, address, authorization string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return answer{}, fmt.Errorf("making a request: %w", withoutURL(err))
	}
	path := request.URL.Path
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, fmt.Errorf("GET %s: %w", path, withoutURL(err))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return answer{}, fmt.Errorf("reading the answer to GET %s: %w", path, err)
	}
	if len(body) > maxAnswer {
		return answer{}, fmt.Errorf("reading the answer to GET %s: %w", path, errTooLong)
	}
	return answer{status: response.StatusCode, body: string(body)}, nil
}

// Credentials takes user and password out of a base URL and gives them as a header; a password without a user is a
// bearer token. The base has no slash at its end.
func Credentials(base string) (without, authorization string) {
	parsed, err := url.Parse(base)
	if err != nil || parsed.User == nil {
		return strings.TrimRight(base, "/"), ""
	}
	user := parsed.User.Username()
	password, _ := parsed.User.Password()
	parsed.User = nil
	without = strings.TrimRight(parsed.String(), "/")
	if user == "" {
		return without, "Bearer " + password
	}
	return without, "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// askInfo sends INFO.
func askInfo(client *redis.Client) ask {
	return func(ctx context.Context) (answer, error) {
		body, err := client.Info(ctx).Result()
		return answer{body: body}, err
	}
}

// replicasOption is what only the services need to know of a Sentinel's URL.
var replicasOption = regexp.MustCompile(`&replicas=[^&]*|replicas=[^&]*&`)

// OpenRedis makes a client that neither retries nor queues: one attempt tells one thing. It contacts nobody yet. Its errors
// are URLs that cannot be used, without their passwords. Close it.
func OpenRedis(target NodeTarget, timeout time.Duration) (*redis.Client, error) {
	if strings.Contains(target.URL, "master_name=") {
		o, err := redis.ParseFailoverURL(replicasOption.ReplaceAllString(target.URL, ""))
		if err != nil {
			return nil, fmt.Errorf("reading the URL of %s: %w", target.Name, withoutURL(err))
		}
		o.MaxRetries, o.DialerRetries, o.Protocol = -1, 1, 2
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = timeout, timeout, timeout, timeout
		o.ContextTimeoutEnabled, o.DisableIdentity = true, true
		return redis.NewFailoverClient(o), nil
	}
	if strings.Contains(target.URL, "cluster=true") {
		return nil, fmt.Errorf("reading the URL of %s: captop cannot look into a Redis Cluster; name one of its members, or leave the node out", target.Name)
	}
	o, err := redis.ParseURL(target.URL)
	if err != nil {
		return nil, fmt.Errorf("reading the URL of %s: %w", target.Name, withoutURL(err))
	}
	o.MaxRetries, o.DialerRetries, o.Protocol = -1, 1, 2
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = timeout, timeout, timeout, timeout
	o.ContextTimeoutEnabled, o.DisableIdentity = true, true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(o), nil
}

// withoutURL keeps the reason of an error and drops the URL that net/url quotes with it: it may hold a password.
func withoutURL(err error) error {
	var quoted *url.Error
	if errors.As(err, &quoted) {
		return quoted.Err
	}
	return err
}

// bare gives a URL without user, password and query, for screens.
func bare(text string) string {
	if text == "" {
		return ""
	}
	parsed, err := url.Parse(text)
	if err != nil {
		return "an unreadable URL"
	}
	parsed.User, parsed.RawQuery, parsed.Fragment = nil, "", ""
	return parsed.String()
}

// host is the instance as Prometheus names it: host and port.
func host(text string) string {
	parsed, err := url.Parse(text)
	if err != nil {
		return bare(text)
	}
	if parsed.Port() != "" {
		return parsed.Host
	}
	if parsed.Scheme == "https" {
		return parsed.Host + ":443"
	}
	return parsed.Host + ":80"
}
