package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"captop/service"
)

// maxAnswerBytes bounds what a client reads of an answer: a value of 1 MiB, escaped at its worst, and the rest.
const maxAnswerBytes = 6*service.MaxValueBytes + 64<<10

// Client speaks to one instance. It is safe for concurrent use, and remembers the session that the instance hands out,
// so that its reads see its writes. It never repeats a write.
type Client struct {
	base  string
	token string
	http  *http.Client

	mu      sync.Mutex
	session string
}

// NewClient gives a client of the instance at base, such as http://127.0.0.1:5001. token is the bearer token, "" for
// none. A nil transport means http.DefaultTransport. Deadlines come from the contexts of the calls.
func NewClient(base, token string, transport http.RoundTripper) *Client {
	return &Client{
		base:  strings.TrimRight(base, "/"),
		token: token,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Write writes value under key. Its errors are *service.Error; where no answer came, the outcome is unknown, or
// not_applied if no connection could be made.
func (c *Client) Write(ctx context.Context, key string, value []byte) (service.Written, error) {
	var written service.Written
	err := c.do(ctx, http.MethodPost, "/write/"+escapeKey(key), value, &written)
	if err == nil {
		return written, nil
	}
	var refusal *service.Error
	if errors.As(err, &refusal) {
		return service.Written{}, err
	}
	if neverSent(err) {
		return service.Written{}, &service.Error{Code: service.CodeNodeUnavailable, Outcome: service.NotApplied,
			Message: "cannot connect to " + c.base + "; the write was never sent", Err: err}
	}
	return service.Written{}, &service.Error{Code: service.CodeUnknownOutcome, Outcome: service.Unknown,
		Message: "no answer from " + c.base + "; the write may have taken effect", Err: err}
}

// Read reads key. options.After is not sent: the session does that. A refusal is a *service.Error; any other error
// means that no answer came.
func (c *Client) Read(ctx context.Context, key string, options service.ReadOptions) (ReadBody, error) {
	path := "/read/" + escapeKey(key)
	if options.Node != "" {
		path += "?node=" + url.QueryEscape(options.Node)
	}
	var body ReadBody
	err := c.do(ctx, http.MethodGet, path, nil, &body)
	return body, err
}

// Health gets the health body, whether the status is 200 or 503.
func (c *Client) Health(ctx context.Context) (HealthBody, error) {
	var body HealthBody
	err := c.do(ctx, http.MethodGet, "/health", nil, &body)
	if err == nil && body.Status == "" {
		return body, fmt.Errorf("GET %s/health answered without a health body; is it capd?", c.base)
	}
	return body, err
}

// Breakers gets the state of the circuit breakers.
func (c *Client) Breakers(ctx context.Context) (BreakersBody, error) {
	var body BreakersBody
	err := c.do(ctx, http.MethodGet, "/circuit-breaker", nil, &body)
	return body, err
}

func (c *Client) do(ctx context.Context, method, path string, payload []byte, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(payload))
	if err != nil {
		return fmt.Errorf("making the request %s %s%s: %w", method, c.base, path, err)
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	c.mu.Lock()
	if c.session != "" {
		request.Header.Set(SessionHeader, c.session)
	}
	c.mu.Unlock()

	response, err := c.http.Do(request)
	if err != nil {
		return err // *url.Error, which names method and address
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return fmt.Errorf("reading the answer to %s %s%s: %w", method, c.base, path, err)
	}
	if session := response.Header.Get(SessionHeader); session != "" {
		c.mu.Lock()
		c.session = session
		c.mu.Unlock()
	}
	return c.decode(request, response.StatusCode, answer, into)
}

// decode fills into from a 2xx answer, or from a 503 that is a health body; every other answer becomes an error.
func (c *Client) decode(request *http.Request, status int, answer []byte, into any) error {
	_, health := into.(*HealthBody)
	if status/100 == 2 || health && status == http.StatusServiceUnavailable {
		if err := json.Unmarshal(answer, into); err != nil {
			return fmt.Errorf("decoding the answer to %s %s: %w", request.Method, request.URL, err)
		}
		return nil
	}
	var refusal ErrorBody
	if err := json.Unmarshal(answer, &refusal); err != nil || refusal.Error.Code == "" {
		return fmt.Errorf("%s %s answered %d without an error body; is it capd?", request.Method, request.URL, status)
	}
	return &service.Error{Code: refusal.Error.Code, Message: refusal.Error.Message,
		Outcome: refusal.Error.Outcome, Node: refusal.Error.Node}
}

// escapeKey makes a key one path segment. Dots are escaped where the whole key is dots, since . and .. mean folders.
func escapeKey(key string) string {
	if key == "." || key == ".." {
		return strings.ReplaceAll(key, ".", "%2E")
	}
	return url.PathEscape(key)
}

func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
