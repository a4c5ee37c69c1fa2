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
	outputs, err := s.room(b)
	if err != nil {
		return nil, err
	}
	defer func() { destroy(outputs) }()
	inputs := make([]onnxruntime.Value, 0, len(b.Inputs))
	defer func() { destroy(inputs) }()
	for i, t := range b.Inputs {
		v, err := toValue(t)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", s.inputs[i].Name, err)
		}
		inputs = append(inputs, v)
	}
	if err := s.run(ctx, inputs, outputs); err != nil {
		return nil, err
	}
	answer := make([]tensor.Tensor, len(outputs))
	for i, v := range outputs {
		t, err := fromValue(v, s.outputs[i].Type)
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
