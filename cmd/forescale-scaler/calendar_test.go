package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/models"
)

// A model whose flag the calendar has lost is found by -check, and costs its groups
// their forecasts, not the scaler its start.
func TestCheckNamesTheModelWhoseFlagIsGone(t *testing.T) {
	s := arrange(t)
	registry, err := blob.Open(t.Context(), s.dir+"/models")
	if err != nil {
		t.Fatal(err)
	}
	spec := models.Spec{Target: api.SeriesDemand, StepSeconds: 300, Lookback: 6, Horizon: 3, Series: []string{api.SeriesDemand}, Future: []string{"is_sale_active"}}
	if _, err := models.NewRegistry(registry).Put(t.Context(), models.Manifest{Name: "web", Groups: []string{"web"}, Spec: spec, CalendarHash: "before"}, []byte("model")); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	plans := filepath.Join(s.dir, "calendar.json")
	s.write(t, "calendar: "+plans+"\n"+string(config))
	for text, gone := range map[string]bool{`{"is_holiday": 0}`: true, `{"is_sale_active": 0}`: false} {
		if err := os.WriteFile(plans, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errOut := s.run("-check")
		named := strings.Contains(errOut, "group web: model web version ") && strings.Contains(errOut, `a flag "is_sale_active"`)
		if want := map[bool]int{true: cli.ExitUsage, false: cli.ExitOK}[gone]; code != want || named != gone {
			t.Errorf("-check with %s: exit code %d\n%s%s", text, code, out, errOut)
		}
	}
	if err := os.WriteFile(plans, []byte(`{"is_holiday": 0}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errOut := s.run("-once", "-at", tick.Format(time.RFC3339)); code != cli.ExitOK || !strings.Contains(out, `web: cpu 50.0 % demand 2.00, capacity stays 4 (live, reactive)`) || !strings.Contains(out, `model web version 1 knows a flag "is_sale_active"`) {
		t.Errorf("a tick: exit code %d\n%s%s", code, out, errOut)
	}
}
