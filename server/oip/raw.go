package oip

import (
	"encoding/binary"
	"math"
	"strings"

	"github.com/forescale/forescale/server/tensor"
)

// sizes are the bytes of an element in binary form. Those of BYTES vary.
var sizes = map[tensor.Type]int{
	tensor.Float16: 2, tensor.BFloat16: 2, tensor.Float32: 4, tensor.Float64: 8,
	tensor.Int8: 1, tensor.Int16: 2, tensor.Int32: 4, tensor.Int64: 8,
	tensor.Uint8: 1, tensor.Uint16: 2, tensor.Uint32: 4, tensor.Uint64: 8, tensor.Bool: 1,
}

// fromRaw reads n elements in binary form: little-endian, row-major, without
// padding; BOOL as one byte; an element of BYTES as its length in four bytes and then
// itself. It copies, so that raw may be used again. The error is without a field.
func fromRaw(raw []byte, t tensor.Type, shape []int64, n int) (tensor.Tensor, *Error) {
	if t == tensor.String {
		data, err := rawTexts(raw, n)
		return tensor.Tensor{Shape: shape, Data: data}, err
	}
	if size := sizes[t]; len(raw)/size != n || len(raw)%size != 0 {
		return tensor.Tensor{}, fault("", "has %d bytes, must have %d: %d elements of %s", len(raw), n*size, n, Datatype(t))
	}
	made := tensor.Tensor{Shape: shape}
	little := binary.LittleEndian
	switch t {
	case tensor.Float16:
		made.Data = each(raw, 2, func(b []byte) tensor.Half { return tensor.Half(little.Uint16(b)) })
	case tensor.BFloat16:
		made.Data = each(raw, 2, func(b []byte) tensor.Brain { return tensor.Brain(little.Uint16(b)) })
	case tensor.Float32:
		made.Data = each(raw, 4, func(b []byte) float32 { return math.Float32frombits(little.Uint32(b)) })
	case tensor.Float64:
		made.Data = each(raw, 8, func(b []byte) float64 { return math.Float64frombits(little.Uint64(b)) })
	case tensor.Int8:
		made.Data = each(raw, 1, func(b []byte) int8 { return int8(b[0]) })
	case tensor.Int16:
		made.Data = each(raw, 2, func(b []byte) int16 { return int16(little.Uint16(b)) })
	case tensor.Int32:
		made.Data = each(raw, 4, func(b []byte) int32 { return int32(little.Uint32(b)) })
	case tensor.Int64:
		made.Data = each(raw, 8, func(b []byte) int64 { return int64(little.Uint64(b)) })
	case tensor.Uint8:
		made.Data = each(raw, 1, func(b []byte) uint8 { return b[0] })
	case tensor.Uint16:
		made.Data = each(raw, 2, little.Uint16)
	case tensor.Uint32:
		made.Data = each(raw, 4, little.Uint32)
	case tensor.Uint64:
		made.Data = each(raw, 8, little.Uint64)
	case tensor.Bool:
		for i, b := range raw {
			if b > 1 {
				return made, fault("", "element %d is the byte %d, a BOOL is 0 or 1", i, b)
			}
		}
		made.Data = each(raw, 1, func(b []byte) bool { return b[0] == 1 })
	}
	return made, nil
}

func each[T any](raw []byte, size int, element func([]byte) T) []T {
	data := make([]T, len(raw)/size)
	for i := range data {
		data[i] = element(raw[i*size : (i+1)*size])
	}
	return data
}

func rawTexts(raw []byte, n int) ([]string, *Error) {
	if len(raw)/4 < n { // each has a length at least
		return nil, fault("", "has %d bytes, too few for %d elements of BYTES with their lengths", len(raw), n)
	}
	data := make([]string, n)
	rest := raw
	for i := range data {
		if len(rest) < 4 {
			return nil, fault("", "ends before the length of element %d", i)
		}
		size := binary.LittleEndian.Uint32(rest)
		if rest = rest[4:]; uint64(size) > uint64(len(rest)) {
			return nil, fault("", "ends inside of element %d, whose length is said to be %d", i, size)
		}
		data[i] = string(rest[:size])
		if err := checkText(i, data[i]); err != nil {
			return nil, err
		}
		rest = rest[size:]
	}
	if len(rest) > 0 {
		return nil, fault("", "has %d bytes left after its %d elements", len(rest), n)
	}
	return data, nil
}

// checkText refuses what ONNX Runtime's interface for C would cut short.
func checkText(i int, text string) *Error {
	if at := strings.IndexByte(text, 0); at >= 0 {
		return fault("", "element %d holds a byte 0 (at %d), which cannot be passed on to the model", i, at)
	}
	return nil
}

// appendRaw appends a tensor in binary form.
func appendRaw(b []byte, t tensor.Tensor) []byte {
	little := binary.LittleEndian
	switch data := t.Data.(type) {
	case []tensor.Half:
		return join(b, data, func(b []byte, v tensor.Half) []byte { return little.AppendUint16(b, uint16(v)) })
	case []tensor.Brain:
		return join(b, data, func(b []byte, v tensor.Brain) []byte { return little.AppendUint16(b, uint16(v)) })
	case []float32:
		return join(b, data, func(b []byte, v float32) []byte { return little.AppendUint32(b, math.Float32bits(v)) })
	case []float64:
		return join(b, data, func(b []byte, v float64) []byte { return little.AppendUint64(b, math.Float64bits(v)) })
	case []int8:
		return join(b, data, func(b []byte, v int8) []byte { return append(b, byte(v)) })
	case []int16:
		return join(b, data, func(b []byte, v int16) []byte { return little.AppendUint16(b, uint16(v)) })
	case []int32:
		return join(b, data, func(b []byte, v int32) []byte { return little.AppendUint32(b, uint32(v)) })
	case []int64:
		return join(b, data, func(b []byte, v int64) []byte { return little.AppendUint64(b, uint64(v)) })
	case []uint8:
		return append(b, data...)
	case []uint16:
		return join(b, data, little.AppendUint16)
	case []uint32:
		return join(b, data, little.AppendUint32)
	case []uint64:
		return join(b, data, little.AppendUint64)
	case []bool:
		return join(b, data, func(b []byte, v bool) []byte {
			if v {
				return append(b, 1)
			}
			return append(b, 0)
		})
	case []string:
		return join(b, data, func(b []byte, v string) []byte { return append(little.AppendUint32(b, uint32(len(v))), v...) })
	}
	return b
}

func join[T any](b []byte, data []T, one func([]byte, T) []byte) []byte {
	for _, v := range data {
		b = one(b, v)
	}
	return b
}
