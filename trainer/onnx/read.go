package onnx

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Bounds on what is read, far above what we write.
const (
	maxFile     = 256 << 20 // bytes
	maxElements = 64 << 20  // elements of one tensor, and of all that live at once
	maxComputed = 1 << 29   // elements that one run may compute
	maxRank     = 8
	maxValues   = 100_000 // nodes, constants, inputs and names in total
)

// unmarshal reads a model file of ours into a graph.
func unmarshal(b []byte) (*Graph, error) {
	if len(b) > maxFile {
		return nil, fmt.Errorf("the file has %d bytes, at most %d are read", len(b), maxFile)
	}
	g := &Graph{}
	var graphs int
	opsets := map[string]bool{}
	err := fields(b, func(v fieldValue) (err error) {
		switch v.number {
		case modelIR:
			if v.int != irVersion {
				err = fmt.Errorf("IR version %d, only %d is read", v.int, irVersion)
			}
		case modelProducer:
			if string(v.bytes) != producer {
				err = fmt.Errorf("produced by %.40q: only models of %s are read", v.bytes, producer)
			}
		case modelGraph:
			graphs++
			err = g.unmarshalGraph(v.bytes)
		case modelOpset:
			var domain string
			domain, err = unmarshalOpset(v.bytes)
			opsets[domain] = true
		case modelMetadata:
			var key, text string
			err = fields(v.bytes, func(v fieldValue) error {
				switch v.number {
				case entryKey:
					key = string(v.bytes)
				case entryValue:
					text = string(v.bytes)
				default:
					return v.unknown("metadata")
				}
				return nil
			})
			g.Metadata(key, text)
		default:
			err = v.unknown("model")
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case graphs != 1 || !opsets[""]:
		return nil, errTruncated
	}
	for i, n := range g.nodes {
		if domain := operators[n.op].domain; !opsets[domain] {
			return nil, fmt.Errorf("node %d (%.40s): domain %s is not declared", i, n.op, domain)
		}
	}
	return g, nil
}

// unmarshalOpset returns the domain of an operator set that our models use.
func unmarshalOpset(b []byte) (domain string, err error) {
	var version int64
	err = fields(b, func(v fieldValue) error {
		switch v.number {
		case opsetDomain:
			domain = string(v.bytes)
		case opsetNumber:
			version = v.int
		default:
			return v.unknown("operator set")
		}
		return nil
	})
	if err == nil && !(domain == "" && version == opsetVersion || domain == domainML && version == opsetVersionML) {
		err = fmt.Errorf("operator set: version %d of domain %.40q, only %d of the default domain and %d of %s are read",
			version, domain, opsetVersion, opsetVersionML, domainML)
	}
	return domain, err
}

func (g *Graph) unmarshalGraph(b []byte) error {
	values := 0
	return fields(b, func(v fieldValue) error {
		if values++; values > maxValues {
			return fmt.Errorf("graph: more than %d parts", maxValues)
		}
		switch v.number {
		case graphNode:
			n, err := unmarshalNode(v.bytes)
			if err != nil {
				return fmt.Errorf("node %d: %w", len(g.nodes), err)
			}
			g.nodes = append(g.nodes, n)
		case graphName:
			g.name = string(v.bytes)
		case graphInitializer:
			c, err := unmarshalConstant(v.bytes)
			if err != nil {
				return fmt.Errorf("constant %d: %w", len(g.constants), err)
			}
			g.constants = append(g.constants, c)
		case graphInput, graphOutput, graphValueInfo:
			val, err := unmarshalValue(v.bytes)
			if err != nil {
				return fmt.Errorf("value %.40q: %w", val.name, err)
			}
			switch v.number {
			case graphInput:
				g.inputs = append(g.inputs, val)
			case graphOutput:
				g.outputs = append(g.outputs, val)
			} // what else there is follows from the nodes
		default:
			return v.unknown("graph")
		}
		return nil
	})
}

func unmarshalNode(b []byte) (n node, err error) {
	var domain string
	err = fields(b, func(v fieldValue) error {
		switch v.number {
		case nodeInput:
			n.inputs = append(n.inputs, string(v.bytes))
		case nodeOutput:
			n.outputs = append(n.outputs, string(v.bytes))
		case nodeName: // the name of the first output
		case nodeOp:
			n.op = string(v.bytes)
		case nodeAttr:
			a, err := unmarshalAttr(v.bytes)
			if err != nil {
				return err
			}
			n.attrs = append(n.attrs, a)
		case nodeDomain:
			domain = string(v.bytes)
		default:
			return v.unknown("node")
		}
		return nil
	})
	if op, ok := operators[n.op]; err == nil && ok && domain != op.domain {
		err = fmt.Errorf("%s of domain %.40q", n.op, domain)
	}
	return n, err
}

func unmarshalAttr(b []byte) (a attr, err error) {
	err = fields(b, func(v fieldValue) (err error) {
		switch v.number {
		case attrNameField:
			a.name = string(v.bytes)
		case attrI:
			a.int = v.int
		case attrS:
			a.text = string(v.bytes)
		case attrIntsField:
			a.ints, err = v.ints(a.ints)
		case attrFloatsField:
			if v.wire != protowire.BytesType || len(v.bytes)%4 != 0 {
				return errTruncated
			}
			a.floats = append(a.floats, unpackFloats(v.bytes)...)
		case attrStringsField:
			a.texts = append(a.texts, intern(v.bytes))
		case attrType:
			a.kind = v.int
		default:
			err = v.unknown("attribute")
		}
		return err
	})
	return a, err
}

// intern returns the text of a list without a copy of its own when it is one of
// those that make up our lists.
func intern(b []byte) string {
	for _, known := range []string{modeBranch, modeLeaf} {
		if string(b) == known {
			return known
		}
	}
	return string(b)
}

func unmarshalConstant(b []byte) (c constant, err error) {
	var dims []int64
	var kind int64
	var raw []byte
	err = fields(b, func(v fieldValue) (err error) {
		switch v.number {
		case tensorDims:
			dims, err = v.ints(dims)
		case tensorType:
			kind = v.int
		case tensorName:
			c.name = string(v.bytes)
		case tensorRaw:
			raw = v.bytes
		default: // external data among them: a model is one file
			err = v.unknown("tensor")
		}
		return err
	})
	if err != nil {
		return c, err
	}
	n, err := elements(dims)
	if err != nil {
		return c, err
	}
	for _, d := range dims {
		c.dims = append(c.dims, int(d))
	}
	switch {
	case kind == typeFloat && len(raw) == 4*n:
		c.floats = unpackFloats(raw)
	case kind == typeInt64 && len(raw) == 8*n:
		for i := range n {
			c.ints = append(c.ints, int64(binary.LittleEndian.Uint64(raw[8*i:])))
		}
	default:
		return c, fmt.Errorf("tensor %.40q: %d bytes do not make %d values of type %d", c.name, len(raw), n, kind)
	}
	return c, nil
}

// elements returns the number of elements of a tensor of these dimensions.
func elements(dims []int64) (int, error) {
	if len(dims) > maxRank {
		return 0, fmt.Errorf("%d dimensions, at most %d are read", len(dims), maxRank)
	}
	n := int64(1)
	for _, d := range dims {
		if d < 0 || d > maxElements || n*d > maxElements {
			return 0, fmt.Errorf("dimensions %v are negative or too large", dims)
		}
		n *= d
	}
	return int(n), nil
}

func unmarshalValue(b []byte) (val value, err error) {
	err = fields(b, func(v fieldValue) error {
		switch v.number {
		case valueName:
			val.name = string(v.bytes)
		case valueType:
			return fields(v.bytes, func(v fieldValue) error {
				if v.number != typeTensor {
					return v.unknown("type")
				}
				return val.unmarshalTensorType(v.bytes)
			})
		default:
			return v.unknown("value")
		}
		return nil
	})
	return val, err
}

func (val *value) unmarshalTensorType(b []byte) error {
	return fields(b, func(v fieldValue) error {
		switch v.number {
		case tensorElem:
			if v.int != typeFloat {
				return fmt.Errorf("element type %d, only float32 is read", v.int)
			}
			return nil
		case tensorShape:
			return fields(v.bytes, func(v fieldValue) error {
				if v.number != shapeDim || len(val.dims) == maxRank {
					return v.unknown("shape")
				}
				val.dims = append(val.dims, DynamicBatch)
				return fields(v.bytes, func(v fieldValue) error {
					switch {
					case v.number == dimValue && v.int >= 0 && v.int <= maxElements:
						val.dims[len(val.dims)-1] = int(v.int)
					case v.number == dimParam:
					default:
						return v.unknown("dimension")
					}
					return nil
				})
			})
		}
		return v.unknown("tensor type")
	})
}
