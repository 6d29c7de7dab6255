package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
)

// Rate allows Count requests per Window.
type Rate struct {
	Count  int
	Window time.Duration
}

var rateForm = regexp.MustCompile(`^(\d{1,9})\s*(?:per|/)\s*(second|minute|hour|day)s?$`)

// ParseRates reads rates such as "1000 per hour;100 per minute". "" gives none.
func ParseRates(text string) ([]Rate, error) {
	windows := map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour,
		"day": 24 * time.Hour}
	var rates []Rate
	for part := range strings.SplitSeq(text, ";") {
		part = strings.ToLower(strings.TrimSpace(part))
		if part == "" {
			continue
		}
		found := rateForm.FindStringSubmatch(part)
		if found == nil {
			return nil, fmt.Errorf("%q is no rate", part)
		}
		count, err := strconv.Atoi(found[1])
		if err != nil || count == 0 {
			return nil, fmt.Errorf("%q allows nothing", part)
		}
		rates = append(rates, Rate{count, windows[found[2]]})
	}
	return rates, nil
}

//go:embed limit.lua
var limitSource string

// Limiter keeps rates per caller, shared between instances through Redis. It uses the first of its stores that
// answers; while none does, everything is let through: a limit protects the service and must not be what stops it.
// That holds for CP too, whose promise is about values, not about load.
//
// It is the generic cell rate algorithm, as redis_rate has it. That one asks for one rate at a time, and a request
// refused by the second rate would still count against the first.
type Limiter struct {
	rates  []Rate
	stores []*SharedStore
	secret []byte
	script *redis.Script
	logger *slog.Logger
	blind  atomic.Bool // no store answers
}

// NewLimiter gives a limiter for rates. secret keeps callers' addresses out of Redis; instances share it.
func NewLimiter(rates []Rate, secret []byte, logger *slog.Logger, stores ...*SharedStore) *Limiter {
	return &Limiter{rates: rates, stores: stores, secret: derive(secret, "rate limit"),
		script: redis.NewScript(limitSource), logger: logger}
}

// wait counts a request of the caller, or says how long it must wait and counts nothing.
func (l *Limiter) wait(ctx context.Context, share string) time.Duration {
	mac := hmac.New(sha256.New, l.secret)
	mac.Write([]byte(share))
	who := base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
	keys, args := make([]string, 0, len(l.rates)), make([]any, 0, 2*len(l.rates))
	for _, rate := range l.rates {
		keys = append(keys, fmt.Sprintf("limit:{%s}:%d/%s", who, rate.Count, rate.Window))
		args = append(args, float64(rate.Window.Microseconds())/float64(rate.Count), rate.Window.Microseconds())
	}
	var last error
	for _, store := range l.stores {
		reply, err := store.run(ctx, func(ctx context.Context, client redis.UniversalClient) (any, error) {
			return l.script.Run(ctx, client, keys, args...).Int64()
		})
		if err != nil {
			last = err
			continue
		}
		if l.blind.Swap(false) {
			l.logger.Info("RATE_LIMITS_ON")
		}
		return time.Duration(reply.(int64)) * time.Microsecond
	}
	if !l.blind.Swap(true) {
		l.logger.Warn("RATE_LIMITS_OFF", "reason", "no store answers; requests are let through", "error", fmt.Sprint(last))
	}
	return 0
}

// limit refuses a call that is over a rate.
func (s *Server) limit(c *call, outcome service.Outcome) error {
	if s.options.Limiter == nil {
		return nil
	}
	wait := s.options.Limiter.wait(c.ctx, c.caller.share())
	if wait <= 0 {
		return nil
	}
	s.metrics.rateLimited.Inc()
	seconds := int(math.Ceil(wait.Seconds()))
	c.x.Response.Header.Set("Retry-After", strconv.Itoa(seconds))
	return &service.Error{Code: service.CodeRateLimited, Outcome: outcome,
		Message: fmt.Sprintf("too many requests; try again in %d s", seconds)}
}
