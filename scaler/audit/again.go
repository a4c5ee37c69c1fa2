package audit

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler/plan"
)

// decide reaches the decision that a record's inputs lead to, before the brake.
// config is the group's configuration without its name.
func decide(config json.RawMessage, d api.Decision) (api.Decision, error) {
	in := plan.Input{Forecast: d.Forecast, Control: d.Control, Tick: d.Tick}
	if err := json.Unmarshal(config, &in.Group); err != nil {
		return d, fmt.Errorf("configuration: %w", err)
	}
	if err := json.Unmarshal(d.Before, &in.State); err != nil {
		return d, fmt.Errorf("state: %w", err)
	}
	in.Group.Name = d.Group
	in.Observation = plan.Observation{CapacityError: d.CapacityError, Slot: d.ObservedAt, Values: d.Observed}
	if d.Capacity.Known() {
		in.Observation.Capacity = &d.Capacity
	}
	again, _ := plan.Decide(in)
	return again, nil
}

// applyBrake pulls the fleet-wide brake over decisions.
func applyBrake(float64, []api.Decision) (*api.Brake, error) {
	return nil, errors.New("this version cannot replay the fleet-wide brake")
}
