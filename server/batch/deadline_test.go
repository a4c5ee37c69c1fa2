package batch_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/tensor"
)

// quiet is an observer of nothing.
type quiet struct{}

func (quiet) Turn(context.Context, time.Duration) {}
func (quiet) Ran(batch.Report)                    {}

// deafRunner goes on after its context has ended, as one long operator of ONNX Runtime does.
type deafRunner struct{}

func (deafRunner) Run(context.Context, batch.Batch) ([]tensor.Tensor, error) {
	time.Sleep(time.Minute)
	return nil, nil
}

func TestACallerWaitsNoLongerThanItsDeadlineForARunThatNothingStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := batch.NewGate(1, 16, time.Now, quiet{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		started := time.Now()
		_, err := g.Run(ctx, deafRunner{}, batch.Batch{Inputs: []tensor.Tensor{tensor.New([]float32{1}, 1)}})
		if took := time.Since(started); !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
			t.Errorf("answered after %s with %v", took, err)
		}
		time.Sleep(time.Minute) // the run ends
	})
}
