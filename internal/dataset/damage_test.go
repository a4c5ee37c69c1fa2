package dataset_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
)

func corrupt(t *testing.T, s blob.Store, key string, data []byte) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, data, blob.Condition{}); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedPartIsNamedAndHidesNoOther(t *testing.T) {
	for name, damage := range map[string]func(b []byte) []byte{
		"cut short":                   func(b []byte) []byte { return b[:len(b)/2] },
		"cut by one byte":             func(b []byte) []byte { return b[:len(b)-1] },
		"empty":                       func(b []byte) []byte { return nil },
		"text":                        func(b []byte) []byte { return []byte("timestamp,cpu_utilization\n") },
		"two magic words":             func(b []byte) []byte { return []byte("PAR1\x00\x00\x00\x00PAR1") },
		"zeros inside":                func(b []byte) []byte { return append(append(bytes.Clone(b[:40]), make([]byte, 60)...), b[100:]...) },
		"a huge footer":               func(b []byte) []byte { return append(bytes.Clone(b[:len(b)-8]), "\xff\xff\xff\xffPAR1"...) },
		"another part under this key": func([]byte) []byte { return other(t) },
		"a stranger's Parquet":        func([]byte) []byte { return stranger(t) },
	} {
		t.Run(name, func(t *testing.T) {
			store := blob.NewMemory()
			d := dataset.New(store)
			appendTo(t, d, "w", at(1), at(2), sample("g", 0, 1), sample("g", 1, 1))
			victim := keys(t, store)[0]
			appendTo(t, d, "w", at(3), at(4), sample("g", 3, 3))
			o, err := store.Get(t.Context(), victim)
			if err != nil {
				t.Fatal(err)
			}
			corrupt(t, store, victim, damage(o.Data))
			got, err := dataset.New(store).Scan(t.Context(), dataset.Query{})
			wantSamples(t, got, sample("g", 3, 3))
			var c *dataset.CorruptError
			if !errors.As(err, &c) || c.Key != victim || !strings.Contains(err.Error(), victim) || !dataset.OnlyCorrupt(err) {
				t.Errorf("scan: %v; want the key", err)
			}
			groups, err := dataset.New(store).Groups(t.Context(), time.Time{}, time.Time{})
			if !slices.Equal(groups, []string{"g"}) || !dataset.OnlyCorrupt(err) {
				t.Errorf("groups: %q, %v", groups, err)
			}
		})
	}
}

// other returns a sound part with other rows.
func other(t *testing.T) []byte {
	store := blob.NewMemory()
	appendTo(t, dataset.New(store), "w", at(1), at(2), sample("g", 0, 99))
	o, err := store.Get(t.Context(), keys(t, store)[0])
	if err != nil {
		t.Fatal(err)
	}
	return o.Data
}

// stranger returns a sound Parquet file with another schema.
func stranger(t *testing.T) []byte {
	var buf bytes.Buffer
	if err := parquet.Write(&buf, []struct{ Name *string }{{nil}}); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestAnyParquetReaderCanReadAPart(t *testing.T) {
	store := blob.NewMemory()
	appendTo(t, dataset.New(store), "w", at(1), at(2), sample("g", 0, 1.5), sample("h", 1, -2))
	o, err := store.Get(t.Context(), keys(t, store)[0])
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(o.Data), int64(len(o.Data)))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"group", "metric", "stat", "time", "value", "ingested_at"} {
		if got := f.Schema().Columns()[i][0]; got != want {
			t.Errorf("column %d is %s, want %s", i, got, want)
		}
	}
	if v, ok := f.Lookup("forescale.schema"); !ok || v != "1" {
		t.Errorf("schema version %q, %v", v, ok)
	}
	rows := make([]struct {
		Group      string    `parquet:"group"`
		Time       time.Time `parquet:"time,timestamp(microsecond)"`
		Value      float64   `parquet:"value"`
		IngestedAt time.Time `parquet:"ingested_at,timestamp(microsecond)"`
	}, 2)
	r := parquet.NewReader(f)
	for i := range rows {
		if err := r.Read(&rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	if rows[1].Group != "h" || !rows[1].Time.Equal(at(1)) || rows[1].Value != -2 || !rows[1].IngestedAt.Equal(at(2)) {
		t.Errorf("read %+v", rows)
	}
}
