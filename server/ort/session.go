package ort

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	onnxruntime "github.com/yalue/onnxruntime_go"

	"github.com/forescale/forescale/server/tensor"
)

// ErrClosed is returned by a run that begins after Close.
var ErrClosed = errors.New("the model's session is closed")

// Options configures a session.
type Options struct {
	// Threads is how many threads one run may use; 0 means 1. Throughput is
	// best with one thread a run and as many concurrent runs as processors.
	Threads int
}

// Session is a loaded model. Any number of goroutines may Run it at once. It
// lives until Close has been called and the last holder (Retain) and run are
// gone.
type Session struct {
	inputs, outputs []tensor.Info
	metadata        map[string]string
	session         *onnxruntime.DynamicAdvancedSession
	rooms           *laneRooms // nil: rows of different requests cannot share a run
	cap             int        // the most rows that should; 0 likewise
	bytes           int64

	// refs counts the owner (until Close), the holders and the runs. At zero the
	// session is destroyed, and refs stays zero.
	refs   atomic.Int64
	closed atomic.Bool
}

// Load checks the model (see Check), creates a session for it, and runs it with every
// number of rows that a run may have, so that the first requests find it warm; of the
// numbers it chooses the most by measuring (MaxRows). Open must have succeeded before.
// The error says why the model is refused.
func Load(model []byte, opts Options) (*Session, error) {
	if err := Check(model); err != nil {
		return nil, err
	}
	g := readGraph(model)
	s := &Session{bytes: holds(len(model), g.nodes)}
	if err := s.describe(model, g); err != nil {
		return nil, err
	}
	so, err := sessionOptions(opts, g)
	if err != nil {
		return nil, fmt.Errorf("onnx runtime options: %w", err)
	}
	defer so.Destroy()
	if s.session, err = onnxruntime.NewDynamicAdvancedSessionWithONNXData(model, names(s.inputs), names(s.outputs), so); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if s.metadata, err = metadata(s.session); err != nil {
		s.session.Destroy()
		return nil, fmt.Errorf("%w: metadata: %w", ErrCorrupt, err)
	}
	s.refs.Store(1)
	if rooms, ok := roomsFor(s.inputs, s.outputs); ok {
		s.rooms = rooms
		s.cap = s.calibrate(structure(model), opts)
	}
	trim()
	return s, nil
}

// describe finds the names, types and shapes of the inputs and outputs: in the model
// file, where that says all. Otherwise the library works them out, by way of a session
// of its own, because it wants their names before it makes a lasting one.
func (s *Session) describe(model []byte, g described) error {
	if ins, outs, ok := g.infos(); ok {
		s.inputs, s.outputs = ins, outs
		return nil
	}
	return s.ask(model, g)
}

// ask has the library work out the inputs and outputs.
func (s *Session) ask(model []byte, g described) error {
	ins, outs, err := onnxruntime.GetInputOutputInfoWithONNXData(model)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if len(ins) == 0 || len(outs) == 0 {
		return fmt.Errorf("%w: it has %d inputs and %d outputs and needs at least one of each", ErrCorrupt, len(ins), len(outs))
	}
	if s.inputs, err = infos("input", ins); err != nil {
		return err
	}
	if s.outputs, err = infos("output", outs); err != nil {
		return err
	}
	g.addAxes(s.inputs)
	g.addAxes(s.outputs)
	return nil
}

func infos(role string, from []onnxruntime.InputOutputInfo) ([]tensor.Info, error) {
	out := make([]tensor.Info, len(from))
	for i, info := range from {
		if info.OrtValueType != onnxruntime.ONNXTypeTensor {
			return nil, fmt.Errorf("%s %q of the model is not a tensor", role, info.Name)
		}
		out[i] = tensor.Info{Name: info.Name, Type: typeName(info.DataType), Shape: slices.Clone(info.Dimensions)}
	}
	return out, nil
}

func names(infos []tensor.Info) []string {
	out := make([]string, len(infos))
	for i, info := range infos {
		out[i] = info.Name
	}
	return out
}

func typeName(t onnxruntime.TensorElementDataType) tensor.Type {
	if name, ok := elementTypes[t]; ok {
		return name
	}
	return tensor.Type(t.String())
}

// sessionOptions asks for a session that stays small and leaves idle processors
// alone: no memory arena and no memory patterns (both grow with each new batch
// size and gain nothing for small models), no spinning threads, no messages.
//
// Of the graph optimisations the last level, which lays out anew what convolutions
// read, is left out for a graph without any: it takes a fifth of the time to make a
// session, and changes nothing.
func sessionOptions(opts Options, g described) (*onnxruntime.SessionOptions, error) {
	so, err := onnxruntime.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	level := onnxruntime.GraphOptimizationLevel(onnxruntime.GraphOptimizationLevelEnableExtended)
	if g.convolves {
		level = onnxruntime.GraphOptimizationLevelEnableAll
	}
	err = errors.Join(
		so.SetGraphOptimizationLevel(level),
		so.SetIntraOpNumThreads(max(1, opts.Threads)),
		so.SetInterOpNumThreads(1),
		so.SetCpuMemArena(false),
		so.SetMemPattern(false),
		so.SetLogSeverityLevel(onnxruntime.LoggingLevelFatal),
		so.AddSessionConfigEntry("session.load_model_format", "ONNX"),
		so.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
	)
	if err != nil {
		so.Destroy()
		return nil, err
	}
	return so, nil
}

func metadata(session *onnxruntime.DynamicAdvancedSession) (map[string]string, error) {
	m, err := session.GetModelMetadata()
	if err != nil {
		return nil, err
	}
	defer m.Destroy()
	keys, err := m.GetCustomMetadataMapKeys()
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(keys))
	for _, key := range keys {
		value, _, err := m.LookupCustomMetadataMap(key)
		if err != nil {
			return nil, err
		}
		out[key] = value
	}
	return out, nil
}

// Inputs describes the model's inputs in the order of Batch.Inputs.
func (s *Session) Inputs() []tensor.Info { return s.inputs }

// Outputs describes the model's outputs in the order of Run's answer.
func (s *Session) Outputs() []tensor.Info { return s.outputs }

// Bytes returns about how much memory the session holds.
func (s *Session) Bytes() int64 { return s.bytes }

// holds estimates the memory of a session. The weights are held once as the file spells
// them and once as the kernels want them; and there is what the library keeps of each
// operator, which was measured on models of 40 to 600 of them.
func holds(fileSize, nodes int) int64 {
	const fixed, node = 256 << 10, 5600
	return fixed + 2*int64(fileSize) + node*int64(nodes)
}

// Metadata returns the model's own key-value properties.
func (s *Session) Metadata() map[string]string { return s.metadata }

// Retain keeps the session alive until Release. It returns false when the
// session is destroyed already.
func (s *Session) Retain() bool {
	for {
		n := s.refs.Load()
		if n == 0 {
			return false
		}
		if s.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release ends what a successful Retain began.
func (s *Session) Release() {
	switch n := s.refs.Add(-1); {
	case n == 0:
		s.session.Destroy()
		if s.rooms != nil {
			s.rooms.leave()
		}
		trim()
	case n < 0:
		panic("ort: Release without Retain")
	}
}

// Close gives up the owner's hold. Holders may go on running; the last one out
// destroys the session. A second Close does nothing.
func (s *Session) Close() {
	if s.closed.CompareAndSwap(false, true) {
		s.Release()
	}
}
