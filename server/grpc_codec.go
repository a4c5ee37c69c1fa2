package server

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxParts bounds the messages within a message. An empty one takes two bytes on
// the wire and a hundred in memory, so that the bound of a message's size is none of
// the memory that it needs.
const maxParts = 8192

// boundedCodec is gRPC's own codec, which refuses messages of too many parts before
// it makes anything of them.
type boundedCodec struct {
	encoding.CodecV2
	refused func() // is called for each message that is none; nobody else learns of it
}

func newBoundedCodec(refused func()) boundedCodec {
	return boundedCodec{encoding.GetCodecV2(protocodec.Name), refused}
}

// Unmarshal implements encoding.CodecV2.
func (c boundedCodec) Unmarshal(data mem.BufferSlice, v any) error {
	err := c.unmarshal(data, v)
	if err != nil {
		c.refused()
	}
	return err
}

func (c boundedCodec) unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	raw := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer raw.Free()
	left := maxParts
	if countParts(m.ProtoReflect().Descriptor(), raw.ReadOnlyData(), &left); left < 0 {
		return fmt.Errorf("the message has more than %d parts", maxParts)
	}
	return proto.Unmarshal(raw.ReadOnlyData(), m)
}

// countParts takes the messages within a message from left, and ends when none is
// left or the bytes are damaged, which whoever decodes them will find. It goes no
// deeper than the description of the message does.
func countParts(d protoreflect.MessageDescriptor, raw []byte, left *int) {
	for len(raw) > 0 && *left >= 0 {
		num, typ, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return
		}
		size := protowire.ConsumeFieldValue(num, typ, raw[n:])
		if size < 0 {
			return
		}
		if field := d.Fields().ByNumber(num); typ == protowire.BytesType && field != nil && field.Message() != nil {
			*left--
			content, _ := protowire.ConsumeBytes(raw[n : n+size])
			countParts(field.Message(), content, left)
		}
		raw = raw[n+size:]
	}
}
