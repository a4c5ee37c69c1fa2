package dataset

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/forescale/forescale/api"
	"github.com/parquet-go/parquet-go"
)

// record is a row of a part as parquet-go writes it. The schema of a part
// follows from its tags; see also columns.
type record struct {
	Group      string  `parquet:"group,plain,snappy"`
	Metric     string  `parquet:"metric,plain,snappy"`
	Stat       string  `parquet:"stat,plain,snappy"`
	Time       int64   `parquet:"time,timestamp(microsecond),plain,snappy"` // start of the slot, UTC
	Value      float64 `parquet:"value,plain,snappy"`
	IngestedAt int64   `parquet:"ingested_at,timestamp(microsecond),plain,snappy"`
}

const (
	// schemaKey and schemaVersion mark a part in its key-value metadata. A reader
	// refuses versions that it does not know.
	schemaKey     = "forescale.schema"
	schemaVersion = "1"

	// A part that is written has at most this many rows, and about as many bytes
	// before compression: well below what a reader takes for honest.
	maxPartRows       = 1 << 20
	maxPartPlainBytes = maxPlainBytes / 4
)

// partsOf yields rows, in order, in pieces that each make a part.
func partsOf(rows []api.Sample) iter.Seq[[]api.Sample] {
	return func(yield func([]api.Sample) bool) {
		for len(rows) > 0 {
			n, size := 0, 0
			for n < len(rows) && n < maxPartRows && size < maxPartPlainBytes {
				// Plain encoding: a length of 4 bytes before each name, 8 bytes a number.
				size += 3*4 + len(rows[n].Group) + len(rows[n].Metric) + len(rows[n].Stat) + 3*8
				n++
			}
			if !yield(rows[:n:n]) {
				return
			}
			rows = rows[n:]
		}
	}
}

// encodePart returns rows, sorted as by sortRows, as a Parquet file. The same
// rows and time give the same bytes.
func encodePart(rows []api.Sample, ingestedMicros int64) ([]byte, error) {
	var buf bytes.Buffer
	w := parquet.NewGenericWriter[record](&buf,
		parquet.DataPageVersion(1),
		parquet.PageBufferSize(256<<10),
		parquet.CreatedBy("forescale", schemaVersion, "none"),
		parquet.KeyValueMetadata(schemaKey, schemaVersion),
	)
	batch := make([]record, 0, min(len(rows), 4096))
	for chunk := range slices.Chunk(rows, 4096) {
		batch = batch[:0]
		for _, s := range chunk {
			batch = append(batch, record{s.Group, s.Metric, string(s.Stat), s.Time.UnixMicro(), s.Value, ingestedMicros})
		}
		if _, err := w.Write(batch); err != nil {
			return nil, fmt.Errorf("encode part: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encode part: %w", err)
	}
	return buf.Bytes(), nil
}

// sortRows returns samples sorted by group, metric, stat and time, without
// repetitions: of two with the same identity, the later in the slice stays.
func sortRows(samples []api.Sample) []api.Sample {
	slices.SortStableFunc(samples, compareIdentity)
	out := samples[:0]
	for i, s := range samples {
		if i+1 < len(samples) && compareIdentity(s, samples[i+1]) == 0 {
			continue
		}
		out = append(out, s)
	}
	return out
}

func compareIdentity(a, b api.Sample) int {
	return cmp.Or(
		strings.Compare(a.Group, b.Group),
		strings.Compare(a.Metric, b.Metric),
		strings.Compare(string(a.Stat), string(b.Stat)),
		a.Time.Compare(b.Time),
	)
}

// rowHash is the SHA-256 of rows in their canonical form: for each, group,
// metric and stat preceded by their lengths, the time in microseconds and the
// bits of the value; integers are 64 bits, little-endian.
type rowHash struct {
	sum hash.Hash
	buf []byte
}

func newRowHash() *rowHash { return &rowHash{sum: sha256.New()} }

func (h *rowHash) add(s series, micros int64, value float64) {
	h.buf = h.buf[:0]
	for _, text := range []string{s.group, s.metric, string(s.stat)} {
		h.buf = binary.LittleEndian.AppendUint64(h.buf, uint64(len(text)))
		h.buf = append(h.buf, text...)
	}
	h.buf = binary.LittleEndian.AppendUint64(h.buf, uint64(micros))
	h.buf = binary.LittleEndian.AppendUint64(h.buf, math.Float64bits(value))
	h.sum.Write(h.buf)
}

func (h *rowHash) hex() string { return hex.EncodeToString(h.sum.Sum(nil)) }

// hashSamples returns the hash of rows that are about to be written.
func hashSamples(rows []api.Sample) string {
	h := newRowHash()
	for _, s := range rows {
		h.add(series{s.Group, s.Metric, s.Stat}, s.Time.UnixMicro(), s.Value)
	}
	return h.hex()
}

// hash returns the hash of rows that were read.
func (p *part) hash() string {
	h := newRowHash()
	for _, r := range p.rows {
		h.add(p.series[r.series], r.time, r.value)
	}
	return h.hex()
}
