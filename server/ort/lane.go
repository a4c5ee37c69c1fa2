package ort

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	onnxruntime "github.com/yalue/onnxruntime_go"

	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/tensor"
)

var _ batch.Coalescer = (*Session)(nil)

// Bounds of a run of rows that share it.
const (
	maxRows      = 64      // nothing is gained beyond, and a run must not take long
	maxRoomBytes = 4 << 20 // of the inputs and outputs of one run together
)

// MaxRows implements batch.Coalescer: the cap that Load has found by measuring.
func (s *Session) MaxRows() int { return s.cap }

// Lane implements batch.Coalescer. The session lives until Free.
func (s *Session) Lane() (batch.Lane, error) {
	if !s.Retain() {
		return nil, ErrClosed
	}
	r, err := s.rooms.get()
	if err != nil {
		s.Release()
		return nil, err
	}
	return &lane{s, r}, nil
}

// lane is a room in the hands of one run.
type lane struct {
	session *Session
	room    *laneRoom
}

// Inputs implements batch.Lane.
func (l *lane) Inputs() []tensor.Tensor { return l.room.inputs }

// Run implements batch.Lane.
func (l *lane) Run(ctx context.Context, rows int) ([]tensor.Tensor, error) {
	v, err := l.room.first(rows)
	if err != nil {
		return nil, err
	}
	if err := l.session.execute(ctx, v.inputs, v.outputs, l.room.options); err != nil {
		return nil, err
	}
	return v.answer, nil
}

// Free implements batch.Lane.
func (l *lane) Free() {
	l.session.rooms.put(l.room)
	l.session.Release()
}

// laneRoom is the memory of one run at a time: a buffer for each input and output of
// a model, and what ONNX Runtime needs to see the first n rows of them, for each n that
// was run. It belongs to no session: whatever models read and answer rows of the same
// types and shapes use the same rooms.
type laneRoom struct {
	inputs, outputs []tensor.Tensor // maxRows rows each, or fewer
	prefixes        []*prefix       // at n-1 that of n rows; nil: not made yet
	options         *onnxruntime.RunOptions
}

// prefix is the first rows of a room.
type prefix struct {
	inputs, outputs []onnxruntime.Value
	answer          []tensor.Tensor // over outputs
}

func newLaneRoom(inputs, outputs []tensor.Info, rows int) (*laneRoom, error) {
	options, err := onnxruntime.NewRunOptions()
	if err != nil {
		return nil, fmt.Errorf("run options: %w", err)
	}
	r := &laneRoom{prefixes: make([]*prefix, rows), options: options}
	for _, info := range inputs {
		r.inputs = append(r.inputs, zeros(info, rows))
	}
	for _, info := range outputs {
		r.outputs = append(r.outputs, zeros(info, rows))
	}
	return r, nil
}

// zeros returns a tensor of rows such as info describes them.
func zeros(info tensor.Info, rows int) tensor.Tensor {
	shape := append([]int64{1}, info.Shape[1:]...)
	one := tensor.Tensor{Shape: shape, Data: laneTypes[info.Type](tensor.Elements(shape))}
	return tensor.LikeRows(one, rows)
}

// laneTypes make the data of the element types that rooms hold: those of which ONNX
// Runtime can read and write the memory of a Go slice.
var laneTypes = map[tensor.Type]func(n int) any{
	tensor.Float32: slice[float32], tensor.Float64: slice[float64],
	tensor.Int8: slice[int8], tensor.Int16: slice[int16], tensor.Int32: slice[int32], tensor.Int64: slice[int64],
	tensor.Uint8: slice[uint8], tensor.Uint16: slice[uint16], tensor.Uint32: slice[uint32], tensor.Uint64: slice[uint64],
	tensor.Bool: slice[bool],
}

func slice[T any](n int) any { return make([]T, n) }

// first returns the first rows of the room.
func (r *laneRoom) first(rows int) (*prefix, error) {
	if rows < 1 || rows > len(r.prefixes) {
		return nil, fmt.Errorf("%d rows in one run, must be 1 to %d", rows, len(r.prefixes))
	}
	if v := r.prefixes[rows-1]; v != nil {
		return v, nil
	}
	v := &prefix{}
	for _, t := range r.inputs {
		value, err := toValue(tensor.FirstRows(t, rows))
		if err != nil {
			v.destroy()
			return nil, err
		}
		v.inputs = append(v.inputs, value)
	}
	for _, t := range r.outputs {
		first := tensor.FirstRows(t, rows)
		value, err := toValue(first)
		if err != nil {
			v.destroy()
			return nil, err
		}
		v.outputs, v.answer = append(v.outputs, value), append(v.answer, first)
	}
	r.prefixes[rows-1] = v
	return v, nil
}

func (v *prefix) destroy() {
	destroy(v.inputs)
	destroy(v.outputs)
}

func (r *laneRoom) destroy() {
	for _, v := range r.prefixes {
		if v != nil {
			v.destroy()
		}
	}
	_ = r.options.Destroy() // fails only for options destroyed before
}

// laneRooms are the rooms of all sessions whose models read and answer rows of the
// same types and shapes. There are as many as runs of them went on at a time.
type laneRooms struct {
	kind            string
	inputs, outputs []tensor.Info
	rows            int // of each room

	sessions int         // that use them; guarded by shared
	free     []*laneRoom // guarded by shared
}

// shared holds the rooms in use by any session, by their kind.
var shared struct {
	sync.Mutex
	rooms map[string]*laneRooms
}

// errNoRooms: no memory can be set aside for the rows of a model.
var errNoRooms = errors.New("rows of this model cannot share a run")

// roomsFor returns the rooms for a model, which its session gives back with leave.
// Without any, rows of different requests cannot share a run.
func roomsFor(inputs, outputs []tensor.Info) (*laneRooms, bool) {
	if !tensor.Batched(inputs, outputs) {
		return nil, false
	}
	var kind strings.Builder
	bytes := 0
	for _, info := range slices.Concat(inputs, outputs) {
		row := tensor.Elements(info.Shape[1:])
		if laneTypes[info.Type] == nil || row <= 0 || row > maxRoomBytes {
			return nil, false
		}
		bytes += 8 * row // at most
		fmt.Fprintf(&kind, "%s%v;", info.Type, info.Shape)
	}
	fmt.Fprintf(&kind, "%d", len(inputs))
	rows := min(maxRows, maxRoomBytes/bytes)
	if rows < 2 {
		return nil, false
	}
	shared.Lock()
	defer shared.Unlock()
	rooms := shared.rooms[kind.String()]
	if rooms == nil {
		rooms = &laneRooms{kind: kind.String(), inputs: inputs, outputs: outputs, rows: rows}
		if shared.rooms == nil {
			shared.rooms = map[string]*laneRooms{}
		}
		shared.rooms[rooms.kind] = rooms
	}
	rooms.sessions++
	return rooms, true
}

// leave ends the use by a session. The last one out destroys the rooms; none is in use
// then, because a lane holds its session.
func (all *laneRooms) leave() {
	shared.Lock()
	defer shared.Unlock()
	if all.sessions--; all.sessions > 0 {
		return
	}
	delete(shared.rooms, all.kind)
	for _, r := range all.free {
		r.destroy()
	}
	all.free = nil
}

func (all *laneRooms) get() (*laneRoom, error) {
	if all == nil {
		return nil, errNoRooms
	}
	shared.Lock()
	defer shared.Unlock()
	if n := len(all.free); n > 0 {
		r := all.free[n-1]
		all.free = all.free[:n-1]
		return r, nil
	}
	return newLaneRoom(all.inputs, all.outputs, all.rows)
}

func (all *laneRooms) put(r *laneRoom) {
	shared.Lock()
	defer shared.Unlock()
	all.free = append(all.free, r)
}
