package journal

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

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
// made anew for each record, they would cost more than what they do. The encoder takes
// its memory, more than a megabyte for each that may be at work, at the first call.
var (
	encoder = must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithLowerEncoderMem(true), zstd.WithEncoderConcurrency(min(4, runtime.GOMAXPROCS(0)))))
	decoder = must(zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true)))
)

// In tests the first call comes before anything else: the encoder makes a channel in
// it, which would belong to the bubble (testing/synctest) that happens to call first.
func init() {
	if testing.Testing() {
		encoder.EncodeAll([]byte("{}"), nil)
	}
}

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
