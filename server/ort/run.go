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
	opts, err := onnxruntime.NewRunOptions()
	if err != nil {
		return fmt.Errorf("run options: %w", err)
	}
	defer opts.Destroy()
	return s.execute(ctx, inputs, outputs, opts)
}

// execute runs the session with the given options, which are for this run alone, and
// stops it when ctx ends.
func (s *Session) execute(ctx context.Context, inputs, outputs []onnxruntime.Value, opts *onnxruntime.RunOptions) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = opts.Terminate() // fails only on options that are not initialised
	})
	err := s.session.RunWithOptions(inputs, outputs, opts)
	if !stop() {
		<-ended // it must not touch the options once they are destroyed or used again
		_ = opts.UnsetTerminate()
		if err != nil {
			return context.Cause(ctx)
		}
	}
	return err
}
