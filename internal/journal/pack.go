package journal

import (
	"bytes"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// maxUnpacked bounds what a compressed object may unfold to, in bytes: some
// hundred thousand decisions. Somebody else may have written it.
const maxUnpacked = 1 << 29

// zstdMagic begins every zstd frame, and no JSON.
//
// Source: RFC 8878, section 3.1.1, Magic_Number 0xFD2FB528, little-endian.
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// Both serve EncodeAll and DecodeAll alone, which any number of goroutines may call;
// made anew for each record, they would cost more than what they do. They are made
// before anything else runs, because they hold channels, and a channel belongs to
// the test bubble (testing/synctest) in which it is made.
var (
	encoder = must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithLowerEncoderMem(true)))
	decoder = must(zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true)))
	_       = encoder.EncodeAll([]byte("{}"), nil) // its channel is made at the first call
)

func must[T any](made T, err error) T {
	if err != nil {
		panic("journal: " + err.Error()) // the options are constants
	}
	return made
}

// Pack returns JSON in its stored form. The same bytes give the same bytes, so
// that storing them again is the same object again.
func Pack(plain []byte) []byte { return encoder.EncodeAll(plain, nil) }

// Unpack returns what Pack was given. What Pack has not made is returned as it is.
func Unpack(stored []byte) ([]byte, error) {
	if !bytes.HasPrefix(stored, zstdMagic) {
		return stored, nil
	}
	plain, err := decoder.DecodeAll(stored, nil)
	if err != nil {
		return nil, fmt.Errorf("compressed content: %w", err)
	}
	return plain, nil
}
