package dataset

import (
	"encoding/binary"
	"errors"
)

// errThrift: the bytes are not a structure of the kind that a part contains.
var errThrift = errors.New("malformed metadata")

// thriftLen returns the length of the Thrift compact-protocol structure at the
// start of b.
//
// It exists because the decoder of parquet-go allocates as many elements as a
// list claims to have before it looks for them: four corrupt bytes can ask for
// more memory than the machine has, which no recover survives. What passes here
// holds at least one byte for each element claimed. Maps and lists of booleans
// are refused; Parquet's footers and page headers have none.
//
// Source: Thrift, doc/specs/thrift-compact-protocol.md.
func thriftLen(b []byte) (int, error) { return thriftLenWithin(b, len(b)) }

// thriftLenWithin is thriftLen for structures whose lists have no more than
// elements elements in all. A list's element of one byte becomes a struct of
// hundreds, so that large footers need a bound that is tighter than their length.
func thriftLenWithin(b []byte, elements int) (int, error) {
	w := thriftWalker{b: b, elements: elements}
	if err := w.structure(0); err != nil {
		return 0, err
	}
	return w.pos, nil
}

type thriftWalker struct {
	b        []byte
	pos      int
	elements int // that lists may still have
}

const thriftMaxDepth = 16

// The types of the compact protocol.
const (
	thriftStop   = 0
	thriftTrue   = 1
	thriftFalse  = 2
	thriftI8     = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftStruct = 12
)

func (w *thriftWalker) structure(depth int) error {
	if depth > thriftMaxDepth {
		return errThrift
	}
	for {
		head, err := w.byte()
		if err != nil {
			return err
		}
		kind := head & 0x0f
		if kind == thriftStop {
			return nil
		}
		if head>>4 == 0 { // the field's number follows instead of a difference
			if _, err := w.varint(); err != nil {
				return err
			}
		}
		if kind == thriftTrue || kind == thriftFalse {
			continue // the value is in the type
		}
		if err := w.value(kind, depth); err != nil {
			return err
		}
	}
}

func (w *thriftWalker) value(kind byte, depth int) error {
	switch kind {
	case thriftI8:
		return w.skip(1)
	case thriftI16, thriftI32, thriftI64:
		_, err := w.varint()
		return err
	case thriftDouble:
		return w.skip(8)
	case thriftBinary:
		n, err := w.varint()
		if err != nil {
			return err
		}
		return w.skip(n)
	case thriftList:
		return w.list(depth + 1)
	case thriftStruct:
		return w.structure(depth + 1)
	}
	return errThrift
}

func (w *thriftWalker) list(depth int) error {
	if depth > thriftMaxDepth {
		return errThrift
	}
	head, err := w.byte()
	if err != nil {
		return err
	}
	n := uint64(head >> 4)
	if n == 15 {
		if n, err = w.varint(); err != nil {
			return err
		}
	}
	if n > uint64(len(w.b)-w.pos) || n > uint64(w.elements) {
		return errThrift
	}
	w.elements -= int(n)
	for range n {
		if err := w.value(head&0x0f, depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *thriftWalker) byte() (byte, error) {
	if w.pos >= len(w.b) {
		return 0, errThrift
	}
	w.pos++
	return w.b[w.pos-1], nil
}

func (w *thriftWalker) varint() (uint64, error) {
	v, n := binary.Uvarint(w.b[w.pos:])
	if n <= 0 {
		return 0, errThrift
	}
	w.pos += n
	return v, nil
}

func (w *thriftWalker) skip(n uint64) error {
	if n > uint64(len(w.b)-w.pos) {
		return errThrift
	}
	w.pos += int(n)
	return nil
}
