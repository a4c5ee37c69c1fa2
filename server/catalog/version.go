package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/tensor"
)

// The names of the inputs and outputs of our own models, see models.Spec.
const (
	InputSeries     = "series"
	InputContext    = "context"
	OutputForecast  = "forecast"
	OutputQuantiles = "quantiles"
	OutputPeaks     = "peaks"
)

// Session is a loaded graph. ort.Session is one.
type Session interface {
	batch.Runner
	Inputs() []tensor.Info
	Outputs() []tensor.Info
	Metadata() map[string]string // the model's own key-value properties
	// Retain keeps the session alive until Release; false: it is gone already.
	Retain() bool
	Release()
	// Close gives up the owner's hold.
	Close()
}

// Version is one loaded version of a model, verified. It is immutable. Whoever
// got it from the catalog calls Release when done.
type Version struct {
	Manifest models.Manifest
	LoadedAt time.Time
	cost     int64 // estimate of the memory that it holds, in bytes
	session  Session
}

// Foreign reports whether the model is not one of ours: it has no Spec, so only
// tensors can be put to it, not windows.
func (v *Version) Foreign() bool { return v.Manifest.Spec.Target == "" }

// Session returns the graph. It is valid until Release.
func (v *Version) Session() Session { return v.session }

// Release ends the use of the version.
func (v *Version) Release() { v.session.Release() }

// fixedCost is what a session holds beside its weights, roughly.
const fixedCost = 256 << 10

// costOf returns roughly what a session of a model file holds. The weights are held
// once as the file spells them and once as the kernels want them.
func costOf(bytes int64) int64 { return 2*bytes + fixedCost }

// newVersion loads and verifies a model. The error says what does not hold.
func newVersion(ctx context.Context, load Load, m models.Manifest, model []byte, now time.Time) (*Version, error) {
	session, err := load(model)
	if err != nil {
		return nil, err
	}
	v := &Version{Manifest: m, LoadedAt: now, cost: costOf(int64(len(model))), session: session}
	if sized, ok := session.(interface{ Bytes() int64 }); ok { // it knows better
		v.cost = sized.Bytes()
	}
	verified := false
	defer func() { // after a panic too
		if !verified {
			session.Close()
		}
	}()
	if err := v.verify(ctx); err != nil {
		return nil, err
	}
	verified = true
	return v, nil
}

func (v *Version) verify(ctx context.Context) error {
	if v.Foreign() {
		// Nothing is known of what it should answer, and a row of zeros may not
		// even fit; the first request will tell.
		return nil
	}
	spec := v.Manifest.Spec
	if err := window.Check(spec); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if err := CheckGraph(spec, v.session.Inputs(), v.session.Outputs()); err != nil {
		return fmt.Errorf("graph does not fit its manifest: %w", err)
	}
	if err := checkMetadata(spec, v.session.Metadata()); err != nil {
		return err
	}
	return v.checkGolden(ctx)
}

// CheckGraph returns an error that names the first input or output of a graph
// that is not what the Spec promises.
func CheckGraph(spec models.Spec, inputs, outputs []tensor.Info) error {
	wantIn := []tensor.Info{{Name: InputSeries, Type: tensor.Float32, Shape: []int64{-1, int64(spec.Lookback), int64(spec.Channels())}}}
	if n := window.ContextLen(spec); n > 0 {
		wantIn = append(wantIn, tensor.Info{Name: InputContext, Type: tensor.Float32, Shape: []int64{-1, int64(n)}})
	}
	wantOut := []tensor.Info{{Name: OutputForecast, Type: tensor.Float32, Shape: []int64{-1, int64(spec.Horizon)}}}
	if q := len(spec.Quantiles); q > 0 {
		wantOut = append(wantOut, tensor.Info{Name: OutputQuantiles, Type: tensor.Float32, Shape: []int64{-1, int64(spec.Horizon), int64(q)}})
		if spec.Peaks {
			wantOut = append(wantOut, tensor.Info{Name: OutputPeaks, Type: tensor.Float32, Shape: []int64{-1, int64(spec.Horizon), int64(q)}})
		}
	}
	if err := checkInfos("input", wantIn, inputs); err != nil {
		return err
	}
	return checkInfos("output", wantOut, outputs)
}

func checkInfos(role string, want, have []tensor.Info) error {
	for _, w := range want {
		i := find(have, w.Name)
		switch {
		case i < 0:
			return fmt.Errorf("%s %s is missing", role, w)
		case have[i].Type != w.Type || !reflect.DeepEqual(have[i].Shape, w.Shape):
			return fmt.Errorf("%s is %s, must be %s", role, have[i], w)
		}
	}
	if len(have) != len(want) {
		return fmt.Errorf("%d %ss, must be %d", len(have), role, len(want))
	}
	return nil
}

func find(infos []tensor.Info, name string) int {
	for i, info := range infos {
		if info.Name == name {
			return i
		}
	}
	return -1
}

// checkMetadata compares the Spec inside the model file with the manifest's: two
// that differ mean that the two files do not belong together.
func checkMetadata(spec models.Spec, metadata map[string]string) error {
	text, ok := metadata[models.MetadataKey]
	if !ok {
		return fmt.Errorf("the model file has no %s in its metadata", models.MetadataKey)
	}
	var inside models.Spec
	if err := json.Unmarshal([]byte(text), &inside); err != nil {
		return fmt.Errorf("metadata %s: %w", models.MetadataKey, err)
	}
	a, errA := json.Marshal(inside)
	b, errB := json.Marshal(spec)
	if err := errors.Join(errA, errB); err != nil {
		return fmt.Errorf("metadata %s: %w", models.MetadataKey, err)
	}
	if string(a) != string(b) {
		return fmt.Errorf("the spec inside the model file differs from its manifest: %s against %s", a, b)
	}
	return nil
}
