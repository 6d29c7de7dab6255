package alertmanager

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"captop/deploy/alertmanager/alertmanagertest"
)

// alertState pushes an alert and gives the state that Alertmanager shows for it.
func alertState(t *testing.T, base string) string {
	t.Helper()
	alert := `[{"labels": {"alertname": "TargetDown", "job": "app_cp"}}]`
	response, err := http.Post(base+"/api/v2/alerts", "application/json", strings.NewReader(alert))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	var held []struct {
		Status struct{ State string }
	}
	c, err := New(base, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); len(held) == 0 || held[0].Status.State == "unprocessed"; time.Sleep(20 * time.Millisecond) {
		if err := c.call(t.Context(), http.MethodGet, "alerts", nil, &held); err != nil || time.Now().After(deadline) {
			t.Fatalf("%v, %+v", err, held)
		}
	}
	return held[0].Status.State
}

func TestSilenceAndExpire(t *testing.T) {
	base := alertmanagertest.Start(t)
	c, err := New(base+"/", http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	if state := alertState(t, base); state != "active" {
		t.Fatalf("before: %s", state)
	}
	now := time.Now()
	id, err := c.Silence(t.Context(), Silence{Matchers: []Matcher{{Name: "alertname", Value: "TargetDown", IsEqual: true}},
		StartsAt: now, EndsAt: now.Add(time.Hour), CreatedBy: "ann", Comment: "rolling out"})
	if err != nil || id == "" {
		t.Fatalf("%q, %v", id, err)
	}
	await := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); alertState(t, base) != want; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the alert is never %s", want)
			}
		}
	}
	await("suppressed")
	if err := c.Expire(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	await("active")
}

func TestRefusals(t *testing.T) {
	base := alertmanagertest.Start(t)
	c, err := New(base, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for what, silence := range map[string]Silence{
		"no matchers": {StartsAt: now, EndsAt: now.Add(time.Hour), CreatedBy: "a", Comment: "c"},
		"in the past": {Matchers: []Matcher{{Name: "a", Value: "b", IsEqual: true}}, StartsAt: now.Add(-2 * time.Hour), EndsAt: now.Add(-time.Hour), CreatedBy: "a", Comment: "c"},
	} {
		if _, err := c.Silence(t.Context(), silence); !errors.Is(err, ErrRefused) || !strings.Contains(fmt.Sprint(err), "HTTP 4") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := c.Expire(t.Context(), "00000000-0000-0000-0000-000000000000"); !errors.Is(err, ErrRefused) {
		t.Errorf("a silence that is not there: %v", err)
	}
	if _, err := New("localhost:9093", nil); err == nil {
		t.Error("an address without a scheme is taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Expire(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
