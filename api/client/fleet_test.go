package client

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/forescale/forescale/api"
)

func TestTheFleetIsReadAndAProblemPassedOn(t *testing.T) {
	status, body := http.StatusOK, `{"now":"2026-03-02T12:00:00Z","step_seconds":300,"warnings":[],"groups":[{"group":"web","attention":300,"state":"stale","reason":"x","next_event":null,"spark":[1,null]}]}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != api.RouteFleet || r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("%s %s with %q", r.Method, r.URL, r.Header.Get("Authorization"))
		}
		if status != http.StatusOK {
			w.Header().Set("Content-Type", api.ProblemType)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	defer server.Close()
	c, err := New(server.URL, WithAttempts(1), WithToken(func() (string, error) { return "secret", nil }))
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := c.Fleet(t.Context())
	if err != nil || len(fleet.Groups) != 1 || fleet.Groups[0].State != api.StateStale || fleet.StepSeconds != 300 {
		t.Errorf("%+v, %v", fleet, err)
	}
	status, body = http.StatusForbidden, `{"title":"Forbidden","detail":"needs the right read"}`
	var p *api.Problem
	if _, err = c.Fleet(t.Context()); !errors.As(err, &p) || p.Status != http.StatusForbidden {
		t.Errorf("%v", err)
	}
	status, body = http.StatusOK, `{"now":`
	if _, err = c.Fleet(t.Context()); err == nil {
		t.Error("half an answer is an answer")
	}
}
