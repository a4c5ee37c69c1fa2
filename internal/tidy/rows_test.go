package tidy

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

func berlin(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestTimesOfRowsAreReadAsTheFormatSays(t *testing.T) {
	zone := berlin(t)
	for _, tt := range []struct {
		name, text string
		format     Format
		want       string // a time, or part of the fault
	}{
		{"a time with its zone needs no other", "2026-07-01T12:00:00+05:00", Format{Zone: zone}, "2026-07-01T07:00:00Z"},
		{"a time in UTC", "2026-07-01T12:00:00Z", Format{Zone: zone}, "2026-07-01T12:00:00Z"},
		{"a time without a zone has the given one", "2026-07-01 12:00:00", Format{Zone: zone}, "2026-07-01T10:00:00Z"},
		{"in winter too", "2026-01-01 12:00", Format{Zone: zone}, "2026-01-01T11:00:00Z"},
		{"a date is its midnight there", "2026-07-01", Format{Zone: zone}, "2026-06-30T22:00:00Z"},
		{"without one it is UTC", "2026-07-01 12:00:00", Format{}, "2026-07-01T12:00:00Z"},
		{"seconds since 1970", "1782907200", Format{TimeFormat: "unix", Zone: zone}, "2026-07-01T12:00:00Z"},
		{"milliseconds since 1970", "1782907200250", Format{TimeFormat: "unix_ms"}, "2026-07-01T12:00:00.25Z"},
		{"seconds that nobody announced", "1782907200", Format{Zone: zone}, "2026-07-01T12:00:00Z"},
		{"a layout", "01.07.2026 12:00", Format{TimeFormat: "02.01.2006 15:04", Zone: zone}, "2026-07-01T10:00:00Z"},
		{"a layout with an offset", "01.07.2026 12:00 +0000", Format{TimeFormat: "02.01.2006 15:04 -0700", Zone: zone}, "2026-07-01T12:00:00Z"},
		{"another layout", "2026-07-01", Format{TimeFormat: "02.01.2006"}, "is not written like 02.01.2006"},
		{"a time that came twice", "2026-10-25 02:30:00", Format{Zone: zone}, "was twice in Europe/Berlin: clocks went back; write the time with its offset, or in UTC, or say -repeated"},
		{"of which the earlier is meant", "2026-10-25 02:30:00", Format{Zone: zone, Repeated: RepeatedEarlier}, "2026-10-25T00:30:00Z"},
		{"of which the later is meant", "2026-10-25 02:30:00", Format{Zone: zone, Repeated: RepeatedLater}, "2026-10-25T01:30:00Z"},
		{"that says itself which", "2026-10-25T02:30:00+01:00", Format{Zone: zone}, "2026-10-25T01:30:00Z"},
		{"a time that came once on that day", "2026-10-25 03:00:00", Format{Zone: zone}, "2026-10-25T02:00:00Z"},
		{"a time that never was", "2026-03-29 02:30:00", Format{Zone: zone, Repeated: RepeatedLater}, "never was in Europe/Berlin"},
		{"another century", "0026-07-01 12:00:00", Format{Zone: zone}, "outside the years"},
		{"no time", "soon", Format{Zone: zone}, "is not a time"},
		{"no number", "soon", Format{TimeFormat: "unix"}, "is not a Unix time"},
		{"a number without end", "1e300", Format{TimeFormat: "unix_ms"}, "is not a Unix time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rows, err := ReadCSVRows(strings.NewReader("timestamp,x\n"+tt.text+",1\n"), "in.csv", tt.format, DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			if len(rows.Faults) > 0 {
				if got := rows.Faults[0].Error(); !strings.HasPrefix(got, "in.csv:2: column 1 (timestamp): ") || !strings.Contains(got, tt.want) {
					t.Errorf("got %s, want %s", got, tt.want)
				}
				return
			}
			if got := rows.Groups[""].Times[0].Format(time.RFC3339Nano); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestRowsAreSortedByGroupAndTheBadOnesNamed(t *testing.T) {
	text := "when,service,cpu,note,mem\n" +
		"2026-07-01T00:05:00Z,web,2,x,20\n" +
		"2026-07-01T00:00:00Z,web,1,\"two\nlines\",10\n" +
		"2026-07-01T00:00:00Z,api,7,,\n" +
		"2026-07-01T00:05:00Z,api,many,,\n" + // line 6
		"2026-07-01T00:05:00Z,api,8\n" +
		"2026-07-01T00:05:00Z,,8,,\n" +
		"2026-07-01T00:05:00Z,web,2,again,20\n" +
		"2026-07-01T00:05:00Z,web,3,,20\n" + // line 10
		"then,web,3,,20\n" +
		"2026-07-01T00:10:00Z,web,NaN,,30\n"
	rows, err := ReadCSVRows(strings.NewReader(text), "in.csv", Format{Time: "when", Group: "service", Columns: []string{"mem", "cpu"}}, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if rows.Lines != 10 || rows.Bad != 5 || rows.Same != 1 || len(rows.Groups) != 2 {
		t.Errorf("%d rows, %d bad, %d repeated, %d groups", rows.Lines, rows.Bad, rows.Same, len(rows.Groups))
	}
	web := rows.Groups["web"]
	if !same(web.Columns["cpu"], []float64{1, 2, nan}) || !same(web.Columns["mem"], []float64{10, 20, 30}) || !slices.Equal(web.Names, []string{"mem", "cpu"}) || !same(rows.Groups["api"].Columns["mem"], []float64{nan}) {
		t.Errorf("web %v, api %v", web, rows.Groups["api"])
	}
	var told []string
	for _, fault := range rows.Faults {
		told = append(told, fault.Error())
	}
	for _, want := range []string{"in.csv:6: column 3 (cpu): \"many\" is not a number", "in.csv:7: the row has 3 fields, the header 5", "in.csv:8: column 2 (service): the group's name",
		"in.csv:11: column 1 (when): \"then\" is not a time", "in.csv:10: line 2 has the same time 2026-07-01T00:05:00Z and another cpu (2, here 3)"} {
		if !strings.Contains(strings.Join(told, "\n"), want) {
			t.Errorf("%s is not in\n%s", want, strings.Join(told, "\n"))
		}
	}
}

func TestFilesThatCannotBeReadAsAWhole(t *testing.T) {
	for name, tt := range map[string]struct {
		text   string
		format Format
		want   string
	}{
		"nothing":                  {"", Format{}, "the file is empty"},
		"a header alone":           {"timestamp,x\n", Format{}, "has no rows"},
		"no column of times":       {"when,x\n1,2\n", Format{}, `there is no column "timestamp" for the times; there are when, x; name it with -time-column`},
		"no column of groups":      {"timestamp,x\n1,2\n", Format{Group: "g"}, `there is no column "g" for the groups`},
		"no such column":           {"timestamp,x\n1,2\n", Format{Columns: []string{"y"}}, `there is no column "y" for a metric`},
		"two columns of one name":  {"timestamp,x,x\n1,2,3\n", Format{}, `there are two columns "x"`},
		"times alone":              {"timestamp\n1\n", Format{}, "no column beside the times"},
		"gzip that breaks off":     {string(zipped(rows(5000))[:3000]), Format{}, "the gzip data ends early"},
		"more values than allowed": {rows(600), Format{}, "more than 500 values"},
		"more text than allowed":   {"timestamp,x\n" + strings.Repeat("\n", 1<<17), Format{}, "the text is too long"},
	} {
		t.Run(name, func(t *testing.T) {
			limits := Limits{Bytes: 1 << 16, Line: 1 << 12, Cells: 500}
			if strings.Contains(tt.want, "gzip") {
				limits = DefaultLimits()
			}
			_, err := ReadCSVRows(strings.NewReader(tt.text), "in.csv", tt.format, limits)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "in.csv") {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.parquet")
	if err := os.WriteFile(broken, []byte("PAR1 this is none PAR1"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, broken, filepath.Join(dir, "absent.csv")} {
		if _, err := ReadRowsFile(path, Format{}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// foreign is a Parquet file as another program may write it.
type foreign struct {
	When  time.Time `parquet:"when,timestamp(millisecond)"`
	Group string    `parquet:"group"`
	Count int32     `parquet:"count"`
	Big   int64     `parquet:"big"`
	CPU   *float64  `parquet:"cpu,optional"`
	Sale  bool      `parquet:"is_sale"`
	Share float32   `parquet:"share"`
}

func parquetFile(t testing.TB) []byte {
	t.Helper()
	at := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	cpu := 12.5
	var b bytes.Buffer
	if err := parquet.Write(&b, []foreign{{at.Add(5 * time.Minute), "web", 3, 1 << 40, nil, true, 0.5}, {at, "web", 2, -1, &cpu, false, 0.25}}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestParquetFilesOfOthersAreRead(t *testing.T) {
	raw := parquetFile(t)
	r, err := ReadParquetRows(bytes.NewReader(raw), int64(len(raw)), "in.parquet", Format{Time: "when", Group: "group"}, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	web := r.Groups["web"]
	if web == nil || r.Bad != 0 || !web.Times[0].Equal(time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)) {
		t.Fatalf("got %+v", r)
	}
	for name, want := range map[string][]float64{"count": {2, 3}, "big": {-1, 1 << 40}, "cpu": {12.5, nan}, "is_sale": {0, 1}, "share": {0.25, 0.5}} {
		if !same(web.Columns[name], want) {
			t.Errorf("%s: got %v, want %v", name, web.Columns[name], want)
		}
	}
	if _, err := ReadParquetRows(bytes.NewReader(raw), int64(len(raw)), "in.parquet", Format{Time: "when"}, Limits{Bytes: 100, Cells: 100}); err == nil {
		t.Error("a file larger than allowed was read")
	}
}

// A decimal is stored without its point: read as an integer it is a hundredfold.
func TestDecimalsOfParquetFilesKeepTheirPoint(t *testing.T) {
	file := func(t testing.TB, last []byte) []byte {
		t.Helper()
		schema := parquet.NewSchema("decimals", parquet.Group{
			"bytes": parquet.Decimal(2, 38, parquet.ByteArrayType), "fixed": parquet.Decimal(3, 38, parquet.FixedLenByteArrayType(16)),
			"int32": parquet.Decimal(2, 9, parquet.Int32Type), "int64": parquet.Decimal(4, 18, parquet.Int64Type),
			"when": parquet.Timestamp(parquet.Millisecond),
		})
		fixed := bytes.Repeat([]byte{0xff}, 16) // -1
		var b bytes.Buffer
		w := parquet.NewWriter(&b, schema)
		_, err := w.WriteRows([]parquet.Row{{parquet.ByteArrayValue(last).Level(0, 0, 0), parquet.FixedLenByteArrayValue(fixed).Level(0, 0, 1),
			parquet.Int32Value(1250).Level(0, 0, 2), parquet.Int64Value(-12345678901).Level(0, 0, 3), parquet.Int64Value(1782907200000).Level(0, 0, 4)}})
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	raw := file(t, []byte{0x04, 0xe2})
	r, err := ReadParquetRows(bytes.NewReader(raw), int64(len(raw)), "in.parquet", Format{Time: "when"}, DefaultLimits())
	if err != nil || r.Bad != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	for name, want := range map[string]float64{"bytes": 12.5, "fixed": -0.001, "int32": 12.5, "int64": -1234567.8901} {
		if got := r.Groups[""].Columns[name]; !same(got, []float64{want}) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	for _, odd := range [][]byte{{}, bytes.Repeat([]byte("1"), 33)} {
		raw := file(t, odd)
		if r, err := ReadParquetRows(bytes.NewReader(raw), int64(len(raw)), "in.parquet", Format{Time: "when", Columns: []string{"bytes"}}, DefaultLimits()); err != nil || r.Bad != 1 {
			t.Errorf("%d bytes: %+v, %v", len(odd), r, err)
		}
	}
}

// FuzzRows looks for a file of either format that makes reading panic, or that
// loses rows without counting them.
func FuzzRows(f *testing.F) {
	f.Add([]byte("timestamp,x\n2026-10-25 02:30:00,1\n2026-07-01,\"2\n"), "")
	f.Add([]byte("when,g,x\n1782907200,a,1\n1782907200,a,1\nx\n"), "unix")
	f.Add(zipped(rows(3)), "2006-01-02")
	f.Add(parquetFile(f), "parquet")
	f.Fuzz(func(t *testing.T, data []byte, layout string) {
		limits := Limits{Bytes: 1 << 16, Line: 1 << 12, Cells: 1 << 12}
		var r *Rows
		var err error
		if layout == "parquet" {
			r, err = ReadParquetRows(bytes.NewReader(data), int64(len(data)), "in", Format{Time: "when", Zone: berlin(t)}, limits)
		} else {
			r, err = ReadCSVRows(bytes.NewReader(data), "in", Format{TimeFormat: layout, Zone: berlin(t)}, limits)
		}
		if err != nil {
			return
		}
		kept := 0
		for _, table := range r.Groups {
			kept += len(table.Times)
			if !slices.IsSortedFunc(table.Times, time.Time.Compare) {
				t.Fatalf("times %v", table.Times)
			}
		}
		if kept+r.Bad+r.Same != r.Lines {
			t.Fatalf("%d rows read: %d kept, %d bad, %d repeated", r.Lines, kept, r.Bad, r.Same)
		}
	})
}
