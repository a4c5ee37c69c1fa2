package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The versions that a model file declares.
const (
	irVersion      = 8
	opsetVersion   = 17
	opsetVersionML = 3 // of domainML
	producer       = "forescale"

	domainML = "ai.onnx.ml" // the default domain is ""
)

// Element types of onnx.TensorProto and attribute types of onnx.AttributeProto.
const (
	typeFloat = 1
	typeInt64 = 7

	attrInt     = 2
	attrString  = 3
	attrFloats  = 6
	attrInts    = 7
	attrStrings = 8
)

// Field numbers of onnx.proto3, by message.
const (
	modelIR, modelProducer, modelGraph, modelOpset, modelMetadata = 1, 2, 7, 8, 14
	opsetDomain, opsetNumber                                      = 1, 2
	entryKey, entryValue                                          = 1, 2
	graphNode, graphName, graphInitializer                        = 1, 2, 5
	graphInput, graphOutput, graphValueInfo                       = 11, 12, 13
	nodeInput, nodeOutput, nodeName, nodeOp, nodeAttr, nodeDomain = 1, 2, 3, 4, 5, 7
	attrNameField, attrI, attrS                                   = 1, 3, 4
	attrFloatsField, attrIntsField, attrStringsField, attrType    = 7, 8, 9, 20
	tensorDims, tensorType, tensorName, tensorRaw                 = 1, 2, 8, 9
	valueName, valueType                                          = 1, 2
	typeTensor, tensorElem, tensorShape                           = 1, 1, 2
	shapeDim, dimValue, dimParam                                  = 1, 1, 2
)

// message appends the fields of one protobuf message.
type message []byte

func (m *message) bytes(field protowire.Number, v []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), v)
}

func (m *message) text(field protowire.Number, v string) { m.bytes(field, []byte(v)) }

func (m *message) int(field protowire.Number, v int64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), uint64(v))
}

// errTruncated is what every malformed length or tag amounts to.
var errTruncated = errors.New("the file is cut short or not an ONNX model")

// fieldValue is one field of a message as it was read. Exactly one of the two
// values is meant, by the wire type.
type fieldValue struct {
	number protowire.Number
	wire   protowire.Type
	int    int64
	bytes  []byte
}

// fields calls f for each field of a message. Only varints and
// length-delimited fields occur in what we write; others are errors.
func fields(b []byte, f func(fieldValue) error) error {
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errTruncated
		}
		b = b[n:]
		v := fieldValue{number: number, wire: wire}
		switch wire {
		case protowire.VarintType:
			var u uint64
			if u, n = protowire.ConsumeVarint(b); n < 0 {
				return errTruncated
			}
			v.int = int64(u)
		case protowire.BytesType:
			if v.bytes, n = protowire.ConsumeBytes(b); n < 0 {
				return errTruncated
			}
		default:
			return fmt.Errorf("field %d has wire type %d, which our models do not use", number, wire)
		}
		b = b[n:]
		if err := f(v); err != nil {
			return err
		}
	}
	return nil
}

// unknown is the error for a field that our models do not have.
func (v fieldValue) unknown(message string) error {
	return fmt.Errorf("%s: field %d (wire type %d) is not one that our models have", message, v.number, v.wire)
}

// ints reads a repeated integer field, packed or not, onto list.
func (v fieldValue) ints(list []int64) ([]int64, error) {
	if v.wire == protowire.VarintType {
		return append(list, v.int), nil
	}
	for b := v.bytes; len(b) > 0; {
		u, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return nil, errTruncated
		}
		list, b = append(list, int64(u)), b[n:]
	}
	return list, nil
}

func packInts(v []int64) []byte {
	var b []byte
	for _, x := range v {
		b = protowire.AppendVarint(b, uint64(x))
	}
	return b
}

// packFloats is both the raw data of a float tensor and a packed repeated float:
// little-endian IEEE 754.
func packFloats(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

func unpackFloats(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}
