package models

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// AnyGroup, in Manifest.Groups, stands for every group.
const AnyGroup = "*"

// Manifest says where a version of a model comes from, whom it serves and how
// good it was. It is written last, after the model file, and makes the version
// visible; it never changes afterwards.
type Manifest struct {
	Name         string    `json:"name"`
	Version      int       `json:"version"`
	Groups       []string  `json:"groups"` // the groups served, or AnyGroup
	Spec         Spec      `json:"spec"`
	Preset       string    `json:"preset,omitempty"`
	Seed         uint64    `json:"seed"`
	SHA256       string    `json:"sha256"`     // of model.onnx, lower-case hex
	SizeBytes    int64     `json:"size_bytes"` // of model.onnx
	CreatedAt    time.Time `json:"created_at"`
	TrainedFrom  time.Time `json:"trained_from"`  // start of the first slot used
	TrainedUntil time.Time `json:"trained_until"` // end of the last slot that fitted or chose anything
	// CalendarHash is the hash of the business calendar that the model was trained
	// with (calendar.Calendar.Hash), empty where there was none and the data's own
	// flags were read. Another hash later is no fault; a flag of Spec.Future that the
	// calendar no longer has is.
	CalendarHash string `json:"calendar_hash,omitempty"`
	// Scores are the errors on the untouched last part of the data, by horizon. Those
	// of a model that several groups share are pooled, as score.Pool does: its MAE and
	// RMSE are then in units of each group's mean.
	Scores []HorizonScore `json:"scores,omitempty"`
	// Calibration fits the quantiles of a model that several groups share to each of
	// them. It has, by group, one factor per step of the horizon: with p the point
	// forecast of step k, c the factor and q a quantile that the graph answers,
	//
	//	served q = p + c·(q - p)
	//
	// and the same for a peak, with p the greatest point forecast of steps 1 .. k. A
	// group that is not there has the factor 1.
	Calibration map[string][]float64 `json:"calibration,omitempty"`
	// Golden is a request with its answer, by which a server checks that it
	// computes what the trainer computed.
	Golden *Golden `json:"golden,omitempty"`
}

// HorizonScore compares a model with its baselines at one horizon.
type HorizonScore struct {
	Steps       int              `json:"steps"`
	Minutes     float64          `json:"minutes"`
	N           int              `json:"n"`            // slots scored
	MAPESkipped int              `json:"mape_skipped"` // slots left out of MAPE because the actual value is 0
	Model       Score            `json:"model"`
	Baselines   map[string]Score `json:"baselines,omitempty"` // persistence, seasonal_naive_day, …; by the names that internal/score gives
}

// Score holds the errors of one forecaster over n slots. Accuracy is 100 - MAPE.
// MASE divides by the one-step naive error of the training part. Skill is
// 1 - MAE/MAE of the persistence on the same slots: 0 is no better, 1 is perfect,
// below 0 is worse. Pinball and the coverages are set for quantile models only. A
// measure that is not defined, such as MAPE where every actual value is 0, is NaN
// here and null in JSON.
type Score struct {
	MAE        float64  `json:"mae"`
	RMSE       float64  `json:"rmse"`
	R2         float64  `json:"r2"`
	MAPE       float64  `json:"mape"`     // percent
	Accuracy   float64  `json:"accuracy"` // percent
	WAPE       float64  `json:"wape"`     // sum of |error| over sum of |actual|
	MASE       float64  `json:"mase"`
	Skill      float64  `json:"skill"` // over the persistence
	Pinball    *float64 `json:"pinball,omitempty"`
	Coverage80 *float64 `json:"coverage80,omitempty"` // share of actuals inside the 10-90 % interval
	Coverage90 *float64 `json:"coverage90,omitempty"`
}

// Golden is one encoded input row and what the trainer's own forward pass gave
// for it: the outputs of the graph, without Manifest.Calibration. An output that
// is nil is not checked.
type Golden struct {
	Series    []float32 `json:"series"`              // [Lookback*Channels]
	Context   []float32 `json:"context,omitempty"`   // [window.ContextLen]
	Forecast  []float32 `json:"forecast"`            // [Horizon]
	Quantiles []float32 `json:"quantiles,omitempty"` // [Horizon*len(Spec.Quantiles)], the level changing fastest
	Peaks     []float32 `json:"peaks,omitempty"`     // the same shape
}

// MaxCalibration bounds a factor of Manifest.Calibration: a greater one says that
// the model knows nothing of the group.
const MaxCalibration = 1e6

// checkCalibration returns an error that names the first group, by name, whose
// factors cannot be applied.
func (m Manifest) checkCalibration() error {
	if len(m.Calibration) > 0 && len(m.Spec.Quantiles) == 0 {
		return fmt.Errorf("calibration: the model has no quantiles to calibrate")
	}
	served := make(map[string]bool, len(m.Groups)) // there may be thousands
	for _, group := range m.Groups {
		served[group] = true
	}
	for _, group := range slices.Sorted(maps.Keys(m.Calibration)) {
		if group == "" || group == AnyGroup || !served[group] && !served[AnyGroup] {
			return fmt.Errorf("calibration[%.40q]: is no group that the model serves", group)
		}
		factors := m.Calibration[group]
		if len(factors) != m.Spec.Horizon {
			return fmt.Errorf("calibration[%.40q]: has %d factors for a horizon of %d steps", group, len(factors), m.Spec.Horizon)
		}
		for k, c := range factors {
			if !(c > 0 && c <= MaxCalibration) { // NaN is neither
				return fmt.Errorf("calibration[%.40q][%d]: is %v, must be above 0 and at most %g", group, k, c, float64(MaxCalibration))
			}
		}
	}
	return nil
}
