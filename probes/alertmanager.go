package probes

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// alertmanager is the target of Inputs of what an Alertmanager holds.
const alertmanager = "alertmanager"

// askAlertmanager gets alerts and silences in one answer: {"alerts": …, "silences": …}, each as the API gives it.
func askAlertmanager(client *http.Client, base string) ask {
	base, header := Credentials(base)
	return func(ctx context.Context) (answer, error) {
		parts := map[string]json.RawMessage{}
		for _, part := range []string{"alerts", "silences"} {
			got, err := get(ctx, client, base+"/api/v2/"+part, header)
			if err != nil || got.status != http.StatusOK {
				return got, err
			}
			if !json.Valid([]byte(got.body)) {
				return got, fmt.Errorf("%w: /api/v2/%s is no JSON", errNotAlertmanager, part)
			}
			parts[part] = json.RawMessage(got.body)
		}
		body, err := json.Marshal(parts)
		return answer{status: http.StatusOK, body: string(body)}, err
	}
}

// errNotAlertmanager: what answers is something else.
var errNotAlertmanager = errors.New("this is no answer of an Alertmanager")

// heldBody is what askAlertmanager gives, as far as captop shows it.
type heldBody struct {
	Alerts []struct {
		Labels    map[string]string `json:"labels"`
		StartsAt  time.Time         `json:"startsAt"`
		Receivers []struct {
			Name string `json:"name"`
		} `json:"receivers"`
		Status struct {
			State      string   `json:"state"`
			SilencedBy []string `json:"silencedBy"`
		} `json:"status"`
	} `json:"alerts"`
	Silences []struct {
		ID        string    `json:"id"`
		Matchers  []Matcher `json:"matchers"`
		StartsAt  time.Time `json:"startsAt"`
		EndsAt    time.Time `json:"endsAt"`
		CreatedBy string    `json:"createdBy"`
		Comment   string    `json:"comment"`
		Status    struct {
			State string `json:"state"`
		} `json:"status"`
	} `json:"silences"`
}

// takeAlertmanager takes an answer over. What was known before stays, with its age, where there is none.
func (s *State) takeAlertmanager(in Input) {
	if s.held == nil {
		return // a recording may hold more than is replayed
	}
	now := *s.held
	contact, problem := in.Fault, in.Error
	var body heldBody
	switch {
	case contact != Up:
	case in.Status == http.StatusUnauthorized || in.Status == http.StatusForbidden:
		contact, problem = Denied, fmt.Sprintf("HTTP %d", in.Status)
	case in.Status != http.StatusOK:
		contact, problem = Nonsense, fmt.Sprintf("HTTP %d", in.Status)
	default:
		if err := json.Unmarshal([]byte(in.Body), &body); err != nil {
			contact, problem = Nonsense, fmt.Sprintf("%v: %v", errNotAlertmanager, err)
		}
	}
	reached(&now.Reach, "Alertmanager", contact, in, problem, s.note)
	if contact == Up {
		now.At = in.At
		now.Alerts, now.Silences = body.alerts(), body.silences()
	}
	s.held = &now
}

func (b heldBody) alerts() []HeldAlert {
	all := []HeldAlert{}
	for _, a := range b.Alerts {
		held := HeldAlert{Labels: a.Labels, State: a.Status.State, StartsAt: a.StartsAt, SilencedBy: a.Status.SilencedBy}
		for _, receiver := range a.Receivers {
			held.Receivers = append(held.Receivers, receiver.Name)
		}
		all = append(all, held)
	}
	slices.SortFunc(all, func(a, b HeldAlert) int { return a.StartsAt.Compare(b.StartsAt) })
	return all
}

func (b heldBody) silences() []Silence {
	all := []Silence{}
	for _, s := range b.Silences {
		if s.Status.State != "expired" {
			all = append(all, Silence{ID: s.ID, Matchers: s.Matchers, StartsAt: s.StartsAt, EndsAt: s.EndsAt, CreatedBy: s.CreatedBy,
				Comment: s.Comment, State: s.Status.State})
		}
	}
	slices.SortFunc(all, func(a, b Silence) int { return cmp.Or(a.EndsAt.Compare(b.EndsAt), cmp.Compare(a.ID, b.ID)) })
	return all
}

// alertmanagerFindings says where pages may not go out.
func alertmanagerFindings(s *Snapshot) []finding {
	held := s.Alertmanager
	if held == nil || held.Reach.Contact == Up && Read(0, held.At).Freshness(s.At, s.Poll) != FreshnessUnknown {
		return nil
	}
	if held.Reach.Contact == NotAsked {
		return nil
	}
	return []finding{{situation: "alertmanager_" + held.Reach.Contact.String(), severity: Warning, since: held.Reach.Since,
		sentence: fmt.Sprintf("Alertmanager at %s does not answer captop as it should: pages may not go out.", held.URL),
		next:     "See whether it runs. " + held.Reach.Error}}
}
