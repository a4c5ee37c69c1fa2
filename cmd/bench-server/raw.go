package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"time"

	onnxruntime "github.com/yalue/onnxruntime_go"
)

// rawSpeed is what ONNX Runtime does without a server around it, on one thread.
type rawSpeed struct {
	One   float64 // median time of a run of one row, us
	Best  float64 // least processor time a row at any batch size, us
	Batch int     // the smallest batch that comes within 2 % of it
}

// rawBatches are the batch sizes that are tried.
var rawBatches = []int{1, 2, 4, 8, 10, 12, 16, 24, 32, 64}

// The rows of the model that all rivals serve: input [batch, 24, 4], output [batch, 1].
const (
	steps   = 24
	inputs  = 4
	outputs = 1
)

// measureRaw prints a rawSpeed as JSON. It uses the binding alone, with its defaults but
// for the number of threads: nothing of our server.
func measureRaw(ctx context.Context, library, model string, length time.Duration, w io.Writer) (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	onnxruntime.SetSharedLibraryPath(library)
	if err := onnxruntime.InitializeEnvironment(onnxruntime.WithLogLevelFatal()); err != nil {
		return err
	}
	options, err := onnxruntime.NewSessionOptions()
	if err != nil {
		return err
	}
	defer options.Destroy()
	if err := errors.Join(options.SetIntraOpNumThreads(1), options.SetInterOpNumThreads(1)); err != nil {
		return err
	}
	file, err := os.ReadFile(model)
	if err != nil {
		return err
	}
	session, err := onnxruntime.NewDynamicAdvancedSessionWithONNXData(file, []string{"input"}, []string{"output"}, options)
	if err != nil {
		return err
	}
	defer session.Destroy()
	times := map[int][]float64{}
	each := length / time.Duration(len(rawBatches)) / 4
	for range 4 { // in turn, so that what else the machine does falls on all of them
		for _, n := range rawBatches {
			if err := rawRuns(ctx, session, n, each, times); err != nil {
				return err
			}
		}
	}
	speed := rawSpeed{One: median(times[1])}
	best := map[int]float64{}
	for n, t := range times {
		best[n] = median(t) / float64(n)
		if speed.Best == 0 || best[n] < speed.Best {
			speed.Best = best[n]
		}
	}
	for _, n := range slices.Backward(rawBatches) {
		if best[n] <= 1.02*speed.Best {
			speed.Batch = n
		}
	}
	return json.NewEncoder(w).Encode(speed)
}

// rawRuns runs batches of n rows for a while and notes the processor time of each, us.
func rawRuns(ctx context.Context, session *onnxruntime.DynamicAdvancedSession, n int, length time.Duration, times map[int][]float64) error {
	data := make([]float32, n*steps*inputs)
	for i := range data {
		data[i] = float32(i%7)/7 - 0.5
	}
	in, err := onnxruntime.NewTensor(onnxruntime.NewShape(int64(n), steps, inputs), data)
	if err != nil {
		return err
	}
	defer in.Destroy()
	out, err := onnxruntime.NewEmptyTensor[float32](onnxruntime.NewShape(int64(n), outputs))
	if err != nil {
		return err
	}
	defer out.Destroy()
	for began, i := time.Now(), 0; time.Since(began) < length || i < 10; i++ {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		used, err := threadTime()
		if err != nil {
			return err
		}
		if err := session.Run([]onnxruntime.Value{in}, []onnxruntime.Value{out}); err != nil {
			return fmt.Errorf("a batch of %d rows: %w", n, err)
		}
		after, err := threadTime()
		if err != nil {
			return err
		}
		if i > 2 { // warm by then
			times[n] = append(times[n], float64(after-used)/1e3)
		}
	}
	return nil
}
