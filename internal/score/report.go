package score

import (
	"encoding/json"
	"io"

	"github.com/forescale/forescale/models"
)

// Split is the number of slots in each part of a history, in the order of time.
type Split struct {
	Train      int `json:"train"`
	Validation int `json:"validation"`
	Test       int `json:"test"`
}

// NewSplit divides n slots at floor(0.70 n) and floor(0.80 n).
func NewSplit(n int) Split {
	n70, n80 := n*7/10, n*8/10 // whole numbers: 0.7 is no binary fraction
	return Split{Train: n70, Validation: n80 - n70, Test: n - n80}
}

// ValidationStart returns the index of the first slot of the validation part.
func (s Split) ValidationStart() int { return s.Train }

// TestStart returns the index of the first slot of the test part.
func (s Split) TestStart() int { return s.Train + s.Validation }

// Names of the parts.
const (
	Train      = "train"
	Validation = "validation"
	Test       = "test"
)

// Part returns the name of the part that slot i belongs to.
func (s Split) Part(i int) string {
	switch {
	case i < s.ValidationStart():
		return Train
	case i < s.TestStart():
		return Validation
	}
	return Test
}

// Report is the content of report.json: how good a trained model is on the test
// part, which fitted and chose nothing.
type Report struct {
	Target      string                `json:"target"`
	StepSeconds int                   `json:"step_seconds"`
	Split       Split                 `json:"split"` // in slots
	Horizons    []models.HorizonScore `json:"horizons"`
	// Members are the forecasters that the model combines, scored on the same
	// slots; none for a model that combines nothing.
	Members     []Member `json:"members,omitempty"`
	Training    Training `json:"training"`
	Seed        uint64   `json:"seed"`
	ModelSHA256 string   `json:"model_sha256"` // of model.onnx, lower-case hex
}

// Member is one of the forecasters that a model combines.
type Member struct {
	Name string `json:"name"`
	// Weights has the member's share in the combination, by horizon: between 0 and
	// 1, and 1 in sum over the members. 0: it was left out there.
	Weights []float64 `json:"weights"`
	// Horizons are its own scores, without baselines, as Report.Horizons.
	Horizons []models.HorizonScore `json:"horizons"`
}

// Training says what training took.
type Training struct {
	Epochs           int     `json:"epochs"`
	Seconds          float64 `json:"seconds"` // wall clock
	SamplesPerSecond float64 `json:"samples_per_second"`
}

// Write writes the report as indented JSON.
func (r Report) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
