package api

import (
	"encoding/json"
	"time"
)

// PredictRequest is the body of POST /predict. Exactly one of Windows and
// Instances is set: Windows for models of this project, Instances for any model
// with a single input.
type PredictRequest struct {
	// Model names the model. Empty: the model that serves each window's group.
	Model   string   `json:"model,omitempty"`
	Windows []Window `json:"windows,omitempty"`
	// Instances is a nested array of numbers whose first axis is the batch.
	Instances json.RawMessage `json:"instances,omitempty"`
}

// PredictResponse answers a request with Windows: one Forecast per window, in
// the order of the request. Model and Version are empty when the windows were
// not all answered by the same version; each Forecast names its own.
type PredictResponse struct {
	Model     string     `json:"model"`
	Version   int        `json:"version"`
	Forecasts []Forecast `json:"forecasts"`
}

// InstancesResponse answers a request with Instances; Predictions has the shape
// of the model's first output.
type InstancesResponse struct {
	Predictions json.RawMessage `json:"predictions"`
}

// Forecast is what a model expects of one group. Either Error is set, or Point
// has one value per step ahead: Point[k-1] speaks of the slot that starts
// k-1 steps after IssuedAt.
type Forecast struct {
	Group       string    `json:"group"`
	IssuedAt    time.Time `json:"issued_at,omitzero"` // the window's End
	StepSeconds int       `json:"step_seconds,omitempty"`
	Model       string    `json:"model,omitempty"`   // which model answered
	Version     int       `json:"version,omitempty"` // and which version of it
	Point       []float64 `json:"point,omitempty"`   // [horizon], in the target's unit
	// Quantiles lists the levels, ascending, in (0, 1); Values is [horizon][len(Quantiles)]
	// and does not decrease along its second axis. Both are empty for a point model.
	Quantiles []float64   `json:"quantiles,omitempty"`
	Values    [][]float64 `json:"values,omitempty"`
	// Peaks[k-1] holds the quantiles, at the same levels, of the greatest value of
	// steps 1 .. k. It is [horizon][len(Quantiles)] and does not decrease along
	// either axis; empty for a model that does not forecast it.
	Peaks [][]float64 `json:"peaks,omitempty"`
	Error *Problem    `json:"error,omitempty"`
}

// Problem is an error body as RFC 9457 (application/problem+json) defines it,
// with the offending field added.
type Problem struct {
	Type     string `json:"type,omitempty"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"`
	Field    string `json:"field,omitempty"` // path of the field at fault, for example windows[2].series.demand
}

// Error returns the title and, where present, the detail and the field.
func (p *Problem) Error() string {
	s := p.Title
	if p.Detail != "" {
		s += ": " + p.Detail
	}
	if p.Field != "" {
		s += " (" + p.Field + ")"
	}
	return s
}
