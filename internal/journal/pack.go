package journal

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// maxUnpacked bounds what a compressed object may unfold to, in bytes: some
// hundred thousand decisions. Somebody else may have written it.
const maxUnpacked = 1 << 29

// zstdMagic begins every zstd frame, and no JSON.
//
// Source: RFC 8878, section 3.1.1, Magic_Number 0xFD2FB528, little-endian.
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// Both are used by EncodeAll and DecodeAll alone, which may be called at the same
// time. Both bound their workers by the number of processors.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault))
		if err != nil {
			panic("journal: " + err.Error()) // the options are constants
		}
		return e
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderConcurrency(0))
		if err != nil {
			panic("journal: " + err.Error())
		}
		return d
	})
)

// Pack returns JSON in its stored form. The same bytes give the same bytes, so
// that storing them again is the same object again.
func Pack(plain []byte) []byte { return encoder().EncodeAll(plain, nil) }

// Unpack returns what Pack was given. What Pack has not made is returned as it is.
func Unpack(stored []byte) ([]byte, error) {
	if !bytes.HasPrefix(stored, zstdMagic) {
		return stored, nil
	}
	plain, err := decoder().DecodeAll(stored, nil)
	if err != nil {
		return nil, fmt.Errorf("compressed content: %w", err)
	}
	return plain, nil
}
