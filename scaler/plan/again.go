package plan

import (
	"encoding/json"
	"fmt"

	"github.com/forescale/forescale/api"
)

// Again returns the decision that this program reaches from a record: the
// configuration of the group, as TickRecord.Configs keeps it, and the recorded
// decision with all that it rested on. It ends before the fleet-wide brake, and
// without an outcome. The error says what of the record cannot be read.
func Again(config json.RawMessage, d api.Decision) (api.Decision, error) {
	in := Input{Forecast: d.Forecast, Control: d.Control, Tick: d.Tick}
	if err := json.Unmarshal(config, &in.Group); err != nil {
		return api.Decision{}, fmt.Errorf("group %s: configuration: %w", d.Group, err)
	}
	in.Group.Name = d.Group
	if len(d.Before) > 0 {
		if err := json.Unmarshal(d.Before, &in.State); err != nil {
			return api.Decision{}, fmt.Errorf("group %s: state before: %w", d.Group, err)
		}
	}
	in.Observation = Observation{CapacityError: d.CapacityError, Slot: d.ObservedAt, Values: d.Observed, Offered: d.Offered, Unit: d.Unit, Flags: d.Flags}
	if d.Capacity.Known() {
		c := d.Capacity
		in.Observation.Capacity = &c
	}
	again, _ := Decide(in)
	again.Config, again.Before, again.Model, again.ModelVersion = d.Config, d.Before, d.Model, d.ModelVersion
	again.Shadow = d.Shadow // which this decision does not rest on
	return again, nil
}
