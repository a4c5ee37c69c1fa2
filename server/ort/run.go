package ort

import (
	"context"
	"fmt"

	onnxruntime "github.com/yalue/onnxruntime_go"

	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/tensor"
)

var _ batch.Runner = (*Session)(nil)

// Run implements batch.Runner. When ctx ends, a run in progress is told to stop
// between two of its operators. After Close, and with nobody holding the session,
// it returns ErrClosed.
func (s *Session) Run(ctx context.Context, b batch.Batch) ([]tensor.Tensor, error) {
	if !s.Retain() {
		return nil, ErrClosed
	}
	defer s.Release()
	if len(b.Inputs) != len(s.inputs) {
		return nil, fmt.Errorf("the model has %d inputs, not %d", len(s.inputs), len(b.Inputs))
	}
	inputs := make([]onnxruntime.Value, 0, len(b.Inputs))
	defer func() { destroy(inputs) }()
	for i, t := range b.Inputs {
		v, err := toValue(t)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", s.inputs[i].Name, err)
		}
		inputs = append(inputs, v)
	}
	outputs := make([]onnxruntime.Value, len(s.outputs))
	defer func() { destroy(outputs) }()
	if err := s.run(ctx, inputs, outputs); err != nil {
		return nil, err
	}
	answer := make([]tensor.Tensor, len(outputs))
	for i, v := range outputs {
		t, err := fromValue(v)
		if err != nil {
			return nil, fmt.Errorf("output %s: %w", s.outputs[i].Name, err)
		}
		answer[i] = t
	}
	return answer, nil
}

// run runs the session and stops it when ctx ends.
func (s *Session) run(ctx context.Context, inputs, outputs []onnxruntime.Value) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	opts, err := onnxruntime.NewRunOptions()
	if err != nil {
		return fmt.Errorf("run options: %w", err)
	}
	defer opts.Destroy()
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = opts.Terminate() // fails only on options that are not initialised
	})
	err = s.session.RunWithOptions(inputs, outputs, opts)
	if !stop() {
		<-stopped // Terminate must not touch the options once they are destroyed
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// toValue makes a view of a tensor's data. The data stays where it is.
func toValue(t tensor.Tensor) (onnxruntime.Value, error) {
	switch data := t.Data.(type) {
	case []float32:
		return onnxruntime.NewTensor(onnxruntime.Shape(t.Shape), data)
	case []float64:
		return onnxruntime.NewTensor(onnxruntime.Shape(t.Shape), data)
	case []int32:
		return onnxruntime.NewTensor(onnxruntime.Shape(t.Shape), data)
	case []int64:
		return onnxruntime.NewTensor(onnxruntime.Shape(t.Shape), data)
	}
	return nil, fmt.Errorf("elements of type %T cannot be fed", t.Data)
}

func fromValue(v onnxruntime.Value) (tensor.Tensor, error) {
	shape := []int64(v.GetShape())
	switch v := v.(type) {
	case *onnxruntime.Tensor[float32]:
		return tensor.Tensor{Shape: shape, Data: v.GetData()}, nil
	case *onnxruntime.Tensor[float64]:
		return tensor.Tensor{Shape: shape, Data: v.GetData()}, nil
	case *onnxruntime.Tensor[int32]:
		return tensor.Tensor{Shape: shape, Data: v.GetData()}, nil
	case *onnxruntime.Tensor[int64]:
		return tensor.Tensor{Shape: shape, Data: v.GetData()}, nil
	}
	return tensor.Tensor{}, fmt.Errorf("values of type %T cannot be read", v)
}

func destroy(values []onnxruntime.Value) {
	for _, v := range values {
		if v != nil {
			_ = v.Destroy() // fails only for a value destroyed before
		}
	}
}
