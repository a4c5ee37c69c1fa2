package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// magic begins every segment. Its last byte is the version of the format.
const magic = "fscspl\x00\x01"

const (
	headerLen = 8  // length and check
	nameLen   = 20 // digits of a segment's name: a uint64 always fits
	suffix    = ".log"

	// MaxRecord bounds one record, in bytes.
	MaxRecord = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errTorn says that the bytes do not begin with a whole record.
var errTorn = errors.New("the record is cut short or damaged")

// appendRecord appends the record with sequence number seq to buf.
func appendRecord(buf []byte, seq uint64, payload []byte) []byte {
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(payload)))
	buf = binary.LittleEndian.AppendUint32(buf, checksum(seq, payload))
	return append(buf, payload...)
}

func checksum(seq uint64, payload []byte) uint32 {
	var head [12]byte
	binary.LittleEndian.PutUint64(head[:8], seq)
	binary.LittleEndian.PutUint32(head[8:], uint32(len(payload)))
	return crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, payload)
}

// decodeRecord returns the payload of the record seq at the start of data, which
// it shares, and the length of the whole record. Anything else is errTorn.
func decodeRecord(data []byte, seq uint64) (payload []byte, size int, err error) {
	if len(data) < headerLen {
		return nil, 0, errTorn
	}
	n := binary.LittleEndian.Uint32(data)
	if n > MaxRecord || int(n) > len(data)-headerLen {
		return nil, 0, errTorn
	}
	payload = data[headerLen : headerLen+int(n)]
	if checksum(seq, payload) != binary.LittleEndian.Uint32(data[4:]) {
		return nil, 0, errTorn
	}
	return payload, headerLen + int(n), nil
}

// scanSegment returns where each whole record of a segment begins, and the offset
// behind the last one. A segment that is cut within its magic has none.
func scanSegment(data []byte, first uint64) (offsets []int64, end int64, err error) {
	if len(data) < len(magic) {
		return nil, 0, nil
	}
	if string(data[:len(magic)]) != magic {
		return nil, 0, fmt.Errorf("it does not begin as a segment of this version does")
	}
	end = int64(len(magic))
	for {
		_, n, err := decodeRecord(data[end:], first+uint64(len(offsets)))
		if err != nil {
			return offsets, end, nil
		}
		offsets = append(offsets, end)
		end += int64(n)
	}
}

func segmentName(first uint64) string { return fmt.Sprintf("%0*d%s", nameLen, first, suffix) }

// parseName returns the sequence number that a segment's name states.
func parseName(name string) (first uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != nameLen {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 10, 64)
	return first, err == nil
}
