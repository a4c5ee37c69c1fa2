package ort

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// The reasons for which Check refuses a model; test with errors.Is.
var (
	// ErrCorrupt: the bytes are not an ONNX model.
	ErrCorrupt = errors.New("not a valid ONNX model")
	// ErrExternalData: weights are kept in other files, which are never read.
	ErrExternalData = errors.New("the model keeps weights outside of its own file (external data), which is not allowed; export it as one self-contained file")
	// ErrCustomOperator: the model needs operators that no standard domain has.
	ErrCustomOperator = errors.New("the model uses operators of a custom domain, which is not allowed")
)

// MaxModelBytes bounds the size of a model file. Protocol buffers end at 2 GiB.
const MaxModelBytes = 1 << 30

// Limits of the walk through a model, far above what real models have.
const (
	maxDepth    = 100        // protobuf's own default limit of nesting
	maxMessages = 16_000_000 // nodes, attributes and tensors
)

// standardDomains are the operator domains that ONNX Runtime implements itself.
var standardDomains = map[string]bool{"": true, "ai.onnx": true, "ai.onnx.ml": true, "com.microsoft": true}

// kind is a message type of onnx.proto that can hold tensors or nodes.
type kind uint8

const (
	model kind = iota
	graph
	node
	attribute
	tensorProto
	sparseTensor
	function
	trainingInfo
	opset
)

// children gives, for a kind, the fields that hold further messages of interest.
// The numbers are those of onnx.proto (IR version 10).
var children = [...]map[protowire.Number]kind{
	model:        {7: graph, 8: opset, 20: trainingInfo, 25: function},
	graph:        {1: node, 5: tensorProto, 15: sparseTensor},
	node:         {5: attribute},
	attribute:    {5: tensorProto, 6: graph, 10: tensorProto, 11: graph, 22: sparseTensor, 23: sparseTensor},
	tensorProto:  {},
	sparseTensor: {1: tensorProto, 2: tensorProto},
	function:     {7: node, 9: opset, 11: attribute},
	trainingInfo: {1: graph, 2: graph},
	opset:        {},
}

// domainField gives the field that holds an operator domain.
var domainField = map[kind]protowire.Number{node: 7, opset: 1, function: 10}

// The fields of TensorProto that point outside of the file.
const (
	fieldExternalData protowire.Number = 13
	fieldDataLocation protowire.Number = 14
)

// part is a message that waits to be looked at.
type part struct {
	kind  kind
	depth int
	bytes []byte
}

// Check returns ErrCorrupt, ErrExternalData or ErrCustomOperator, with the
// place, unless the bytes are a self-contained ONNX model as far as its message
// structure tells. It keeps its own stack, so that nesting cannot exhaust the
// goroutine's, and reads nothing but the bytes.
func Check(data []byte) error {
	if len(data) == 0 {
		return fmt.Errorf("%w: the file is empty", ErrCorrupt)
	}
	if len(data) > MaxModelBytes {
		return fmt.Errorf("%w: larger than %d bytes", ErrCorrupt, MaxModelBytes)
	}
	// ONNX Runtime would take these for its own format, which this walk cannot judge.
	if len(data) >= 8 && string(data[4:8]) == "ORTM" {
		return fmt.Errorf("%w: it is in ONNX Runtime's own format (.ort); export it as .onnx", ErrCorrupt)
	}
	w := walk{used: map[string]bool{}, defined: map[string]bool{}}
	w.stack = append(w.stack, part{model, 0, data})
	for count := 0; len(w.stack) > 0; count++ {
		if count > maxMessages {
			return fmt.Errorf("%w: more than %d parts", ErrCorrupt, maxMessages)
		}
		p := w.stack[len(w.stack)-1]
		w.stack = w.stack[:len(w.stack)-1]
		if err := w.visit(p); err != nil {
			return err
		}
	}
	if !w.graph {
		return fmt.Errorf("%w: it has no graph", ErrCorrupt)
	}
	// A domain whose functions the model itself defines needs nothing from outside.
	for domain := range w.used {
		if !standardDomains[domain] && !w.defined[domain] {
			return fmt.Errorf("%w: %.80q", ErrCustomOperator, domain)
		}
	}
	return nil
}

type walk struct {
	stack         []part
	used, defined map[string]bool // operator domains
	graph         bool
}

// visit reads the fields of one message and puts the messages in it on the stack.
func (w *walk) visit(p part) error {
	if p.depth > maxDepth {
		return fmt.Errorf("%w: nested deeper than %d", ErrCorrupt, maxDepth)
	}
	w.graph = w.graph || p.kind == graph
	domainAt, hasDomain := domainField[p.kind]
	domain := "" // an absent domain is the default one
	for b := p.bytes; len(b) > 0; {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %v", ErrCorrupt, protowire.ParseError(n))
		}
		b = b[n:]
		size := protowire.ConsumeFieldValue(num, typ, b)
		if size < 0 {
			return fmt.Errorf("%w: field %d: %v", ErrCorrupt, num, protowire.ParseError(size))
		}
		value := b[:size]
		b = b[size:]
		if p.kind == tensorProto {
			if err := checkTensorField(num, typ, value); err != nil {
				return err
			}
		}
		if typ != protowire.BytesType {
			continue
		}
		content, _ := protowire.ConsumeBytes(value)
		if hasDomain && num == domainAt {
			domain = string(content)
		}
		if child, ok := children[p.kind][num]; ok {
			w.stack = append(w.stack, part{child, p.depth + 1, content})
		}
	}
	switch p.kind {
	case node, opset:
		w.used[domain] = true
	case function:
		w.defined[domain] = true
	}
	return nil
}

// checkTensorField refuses whatever makes a tensor's data come from elsewhere: a
// file, or an address in memory, which ONNX Runtime also writes as external data.
func checkTensorField(num protowire.Number, typ protowire.Type, value []byte) error {
	switch num {
	case fieldExternalData:
		return ErrExternalData
	case fieldDataLocation:
		if v, n := protowire.ConsumeVarint(value); typ != protowire.VarintType || n < 0 || v != 0 {
			return ErrExternalData
		}
	}
	return nil
}
