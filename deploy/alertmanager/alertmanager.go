// Package alertmanager silences alerts in an Alertmanager, and ends silences.
package alertmanager

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Errors that callers tell apart.
var (
	ErrRefused   = errors.New("the Alertmanager refuses it")
	ErrNotProven = errors.New("the Alertmanager took it, and does not show it")
)

// Silence keeps notifications of matching alerts back until it ends.
type Silence struct {
	Matchers  []Matcher `json:"matchers"`
	StartsAt  time.Time `json:"startsAt"`
	EndsAt    time.Time `json:"endsAt"`
	CreatedBy string    `json:"createdBy"`
	Comment   string    `json:"comment"`
}

// Matcher is one condition of a silence.
type Matcher struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	IsRegex bool   `json:"isRegex"`
	IsEqual bool   `json:"isEqual"`
}

// Client speaks to one Alertmanager.
type Client struct {
	base          string
	authorization string
	http          *http.Client
}

// New makes a client of the Alertmanager at a URL. User and password in it are sent as such; a password alone is a
// bearer token.
func New(address string, client *http.Client) (*Client, error) {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" {
		return nil, errors.New("the address of Alertmanager is no URL; it looks like http://localhost:9093")
	}
	c := &Client{http: client}
	if parsed.User != nil {
		password, _ := parsed.User.Password()
		c.authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(parsed.User.Username()+":"+password))
		if parsed.User.Username() == "" {
			c.authorization = "Bearer " + password
		}
	}
	parsed.User = nil
	c.base = strings.TrimRight(parsed.String(), "/") + "/api/v2/"
	return c, nil
}

// Silence makes a silence, and gives its id once Alertmanager shows it as active or pending.
func (c *Client) Silence(ctx context.Context, silence Silence) (id string, err error) {
	body, err := json.Marshal(silence)
	if err != nil {
		return "", fmt.Errorf("silencing: %w", err)
	}
	var made struct {
		ID string `json:"silenceID"`
	}
	if err := c.call(ctx, http.MethodPost, "silences", body, &made); err != nil {
		return "", fmt.Errorf("silencing: %w", err)
	}
	state, err := c.state(ctx, made.ID)
	if err == nil && state != "active" && state != "pending" {
		err = fmt.Errorf("%w: the silence %s is %s", ErrNotProven, made.ID, state)
	}
	if err != nil {
		return made.ID, fmt.Errorf("reading the new silence back: %w", err)
	}
	return made.ID, nil
}

// Expire ends a silence, and returns once Alertmanager shows it as expired.
func (c *Client) Expire(ctx context.Context, id string) error {
	if err := c.call(ctx, http.MethodDelete, "silence/"+url.PathEscape(id), nil, nil); err != nil {
		return fmt.Errorf("ending the silence %s: %w", id, err)
	}
	state, err := c.state(ctx, id)
	if err == nil && state != "expired" {
		err = fmt.Errorf("%w: the silence is %s", ErrNotProven, state)
	}
	if err != nil {
		return fmt.Errorf("reading the silence %s back: %w", id, err)
	}
	return nil
}

// state is a silence's: active, pending or expired.
func (c *Client) state(ctx context.Context, id string) (string, error) {
	var silence struct {
		Status struct {
			State string `json:"state"`
		} `json:"status"`
	}
	err := c.call(ctx, http.MethodGet, "silence/"+url.PathEscape(id), nil, &silence)
	return silence.Status.State, err
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

func (c *Client) call(ctx context.Context, method, path string, body []byte, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return errors.New("its address cannot be used")
	}
	request.Header.Set("Content-Type", "application/json")
	if c.authorization != "" {
		request.Header.Set("Authorization", c.authorization)
	}
	response, err := c.http.Do(request)
	if err != nil {
		var quoted *url.Error
		if errors.As(err, &quoted) {
			err = quoted.Err
		}
		return fmt.Errorf("reaching Alertmanager: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch {
	case err != nil:
		return fmt.Errorf("reading Alertmanager's answer: %w", err)
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("%w: HTTP %d: %.200s", ErrRefused, response.StatusCode, strings.TrimSpace(string(answer)))
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("reading Alertmanager's answer: %w", err)
	}
	return nil
}
