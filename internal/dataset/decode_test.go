package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

func goodPart(tb testing.TB, rows int) []byte {
	samples := make([]api.Sample, rows)
	for i := range samples {
		samples[i] = api.Sample{
			Group: fmt.Sprint("group", i%7), Metric: "cpu_utilization", Stat: api.StatAvg,
			Time: time.Unix(int64(300*i), 0), Value: float64(i) / 3,
		}
	}
	b, err := encodePart(sortRows(samples), 1_700_000_000_000_000)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestAPartOfAnySizeSurvivesEncodingAndDecoding(t *testing.T) {
	for _, n := range []int{1, 2, 4095, 4096, 4097, 200_000} {
		p, err := decodePart(goodPart(t, n), nil)
		if err != nil {
			t.Fatalf("%d rows: %v", n, err)
		}
		if len(p.rows) != n || p.min != 0 || p.max != int64(n-1)*300e6 || len(p.series) != min(n, 7) {
			t.Errorf("%d rows: decoded %d rows, %d series, %d..%d", n, len(p.rows), len(p.series), p.min, p.max)
		}
	}
}

// What is written is stricter (api.CheckName): one name must not hide the rows of others.
func TestAPartWithAnOddNameIsRead(t *testing.T) {
	at := time.Unix(0, 0).UTC()
	for _, name := range []string{"Z\xfcrich", "a\nb", "\x1b[2J"} {
		b, err := encodePart([]api.Sample{{Group: name, Metric: name, Stat: api.StatAvg, Time: at, Value: 1}, {Group: "\xffweb", Metric: "m", Stat: api.StatAvg, Time: at, Value: 2}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := decodePart(b, nil); err != nil || len(p.rows) != 2 || p.series[0].group != name {
			t.Errorf("%q: %v, %v", name, p, err)
		}
	}
}

func TestEveryCutAndEveryFlippedBitIsAnErrorOrHarmless(t *testing.T) {
	good := goodPart(t, 20)
	p, err := decodePart(good, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := p.hash()
	for n := range good {
		if _, err := decodePart(good[:n], nil); err == nil {
			t.Errorf("the first %d of %d bytes decode", n, len(good))
		}
	}
	undetected := 0
	for i := range 8 * len(good) {
		b := bytes.Clone(good)
		b[i/8] ^= 1 << (i % 8)
		p, err := decodePart(b, nil)
		if err != nil {
			continue
		}
		if p.hash() != want {
			undetected++ // the hash in the key tells; see TestADamagedPart…
		}
	}
	if undetected > 0 {
		t.Errorf("%d flipped bits changed rows without an error", undetected)
	}
}

func TestAClaimOfManyRowsTakesNoMemory(t *testing.T) {
	// A list of a hundred million row groups, in eight bytes.
	footer := []byte{0x49, 0xfc}
	footer = binary.AppendUvarint(footer, 100_000_000)
	footer = append(footer, 0)
	b := append([]byte("PAR1"), footer...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(footer)))
	b = append(b, "PAR1"...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := decodePart(b, nil); err == nil {
		t.Error("it decodes")
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("the refusal took %d bytes", n)
	}
}

func FuzzDecodePart(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("PAR1\x00\x00\x00\x00PAR1"))
	f.Add(goodPart(f, 1))
	f.Add(goodPart(f, 50))
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p, err := decodePart(b, nil)
		runtime.ReadMemStats(&after)
		// The most that is justified: snappy's ratio for the pages, and a kilobyte
		// of metadata for each byte of a footer.
		if n, most := after.TotalAlloc-before.TotalAlloc, uint64(8<<20+3000*len(b)); n > most {
			t.Fatalf("%d bytes of input took %d bytes of memory, more than %d", len(b), n, most)
		}
		if err != nil {
			return
		}
		for _, r := range p.rows {
			if r.time < p.min || r.time > p.max || int(r.series) >= len(p.series) {
				t.Fatalf("row %+v outside of the part", r)
			}
		}
		p.hash()
		for _, like := range [][]series{p.series, {{"group0", "cpu_utilization", api.StatAvg}, {"x", "y", "z"}, {"group3", "cpu_utilization", api.StatAvg}}} {
			if again, err := decodePart(b, like); err != nil || !reflect.DeepEqual(again, p) {
				t.Fatalf("beside %v it decodes differently: %v", like, err)
			}
		}
	})
}

// Any Parquet writer may have put the rows in another order than ours does.
func TestNamesInAnyOrderAreToldApart(t *testing.T) {
	name := func(i int) string { return fmt.Sprint("group", i) }
	for _, order := range [][]int{{0, 0, 1, 2, 2}, {2, 1, 0}, {0, 1, 0, 1, 2, 0}, {5, 5, 1, 9, 5, 1}} {
		for _, like := range [][]series{nil, {{name(0), "m", "avg"}, {name(1), "m", "avg"}, {name(5), "m", "avg"}}, {{name(9), "m", "avg"}, {name(1), "m", "avg"}}} {
			var columns [3][]byte
			for _, i := range order {
				for c, text := range []string{name(i), "m", "avg"} {
					columns[c] = append(binary.LittleEndian.AppendUint32(columns[c], uint32(len(text))), text...)
				}
			}
			r := nameReader{columns: columns, part: &part{}, like: like}
			for row, i := range order {
				at, err := r.next()
				if err != nil || r.part.series[at] != (series{name(i), "m", api.StatAvg}) {
					t.Fatalf("order %v, row %d: %v, %v", order, row, at, err)
				}
			}
			seen := map[series]bool{}
			for _, s := range r.part.series {
				seen[s] = true
			}
			if !r.done() || len(seen) != len(r.part.series) {
				t.Errorf("order %v: series %v", order, r.part.series)
			}
		}
	}
}

func FuzzThriftLen(f *testing.F) {
	f.Add([]byte{0x15, 0x02, 0x19, 0x1c, 0x00, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := thriftLen(b)
		if err == nil && (n < 1 || n > len(b)) {
			t.Fatalf("length %d of %d bytes", n, len(b))
		}
	})
}
