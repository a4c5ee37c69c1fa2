package tidy

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

var nan = math.NaN()

// same compares series with NaN equal to NaN.
func same(a, b api.Series) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) })
}

func read(t *testing.T, text string) *Table {
	t.Helper()
	table, err := Read(strings.NewReader(text), "in.csv", DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t
}

func zipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.Bytes()
}

func TestTimestamps(t *testing.T) {
	for text, want := range map[string]string{
		"2026-01-31T12:05:00Z":       "2026-01-31T12:05:00Z",
		"2026-01-31T12:05:00.25Z":    "2026-01-31T12:05:00.25Z",
		"2026-01-31T12:05:00+01:00":  "2026-01-31T11:05:00Z",
		"2026-01-31 12:05:00+01:00":  "2026-01-31T11:05:00Z",
		"2026-01-31 12:05:00":        "2026-01-31T12:05:00Z",
		"2026-01-31 12:05:00.753741": "2026-01-31T12:05:00.753741Z",
		"2026-01-31T12:05:00":        "2026-01-31T12:05:00Z",
		"2026-01-31 12:05":           "2026-01-31T12:05:00Z",
		"2026-01-31T12:05":           "2026-01-31T12:05:00Z",
		"2026-01-31":                 "2026-01-31T00:00:00Z",
		"1769861100":                 "2026-01-31T12:05:00Z",
		"1769861100.5":               "2026-01-31T12:05:00.5Z",
		" 2026-01-31T12:05:00Z ":     "2026-01-31T12:05:00Z",
		`"2026-01-31T12:05:00Z"`:     "2026-01-31T12:05:00Z",
	} {
		t.Run(text, func(t *testing.T) {
			table := read(t, "timestamp,x\n"+text+",1\n")
			if !table.Times[0].Equal(at(want)) || table.Times[0].Location() != time.UTC {
				t.Errorf("got %v, want %v", table.Times[0], want)
			}
		})
	}
}

func TestCells(t *testing.T) {
	table := read(t, "\ufefftimestamp , a,\"b,c\",is_x,y_label\r\n"+
		"2026-01-01T00:00:00Z,,NaN,1,7\r\n"+
		"\r\n"+
		"2026-01-01T00:05:00Z, 1.5e3 ,nan,null,8\r\n"+
		"2026-01-01T00:10:00Z,-0.25,NULL,0,\"9\"")
	if !slices.Equal(table.Names, []string{"a", "b,c", "is_x", "y_label"}) {
		t.Fatalf("names %q", table.Names)
	}
	for name, want := range map[string]api.Series{"a": {nan, 1500, -0.25}, "b,c": {nan, nan, nan}, "is_x": {1, nan, 0}, "y_label": {7, 8, 9}} {
		if !same(table.Columns[name], want) {
			t.Errorf("%s: got %v, want %v", name, table.Columns[name], want)
		}
	}
	if !slices.Equal(table.Inputs(), []string{"a", "b,c"}) || !slices.Equal(table.Flags(), []string{"is_x"}) {
		t.Errorf("inputs %q, flags %q", table.Inputs(), table.Flags())
	}
	if len(table.Notes) != 0 {
		t.Errorf("a plain table has no notes: %q", table.Notes)
	}
}

func TestALabelIsNeverAnInput(t *testing.T) {
	table := read(t, "timestamp,a,is_anomaly_label\n2026-01-01T00:00:00Z,1,1\n2026-01-01T00:05:00Z,1,1\n")
	g, err := table.Grid("web")
	if err != nil {
		t.Fatal(err)
	}
	samples, _, err := table.Samples("web")
	if len(table.Flags()) != 0 || !slices.Equal(table.Inputs(), []string{"a"}) || len(g.Columns) != 1 ||
		len(table.Events()) != 0 || len(samples) != 2 || err != nil {
		t.Errorf("flags %q, inputs %q, grid %v, events %v, samples %v", table.Flags(), table.Inputs(), g.Columns, table.Events(), samples)
	}
}

// rows returns a file of n rows of one column.
func rows(n int) string {
	var b strings.Builder
	b.WriteString("timestamp,cpu\n")
	for i := range n {
		b.WriteString(at("2026-01-01T00:00:00Z").Add(time.Duration(i)*5*time.Minute).Format(time.RFC3339) + ",1\n")
	}
	return b.String()
}

func TestErrorsNameThePlaceAndTheFix(t *testing.T) {
	small := Limits{Bytes: 1 << 16, Line: 1 << 10, Cells: 1000}
	const head, row = "timestamp,cpu,net\n", "2026-01-01T00:00:00Z,1,2\n"
	tests := []struct {
		name string
		text string
		want string // the whole error
	}{
		{"an empty file", "", "in.csv: the file is empty; its first line must name the columns, timestamp among them"},
		{"blank lines only", "\n\n \n", "in.csv: the file is empty; its first line must name the columns, timestamp among them"},
		{"a header only", head, "in.csv:1: the file has a header and no rows; add a row per slot"},
		{"no timestamp column", "time,cpu\n" + row, "in.csv:1: no column is called timestamp; the columns are time, cpu; rename the column that holds the times, and separate columns by commas"},
		{"no text at all", "\x1b[2Jtime,cpu\n" + row, `in.csv:1: no column is called timestamp; the columns are "\x1b[2Jtime, cpu"; rename the column that holds the times, and separate columns by commas`},
		{"another separator", "timestamp;cpu\n", "in.csv:1: no column is called timestamp; the columns are timestamp;cpu; rename the column that holds the times, and separate columns by commas"},
		{"nothing beside timestamp", "timestamp\n2026-01-01T00:00:00Z\n", "in.csv:1: there is no column beside timestamp; add a column per metric"},
		{"a column without a name", "timestamp,cpu,\n", "in.csv:1: column 3: the column has no name; name it or remove it"},
		{"two columns of one name", "timestamp,cpu,cpu\n", `in.csv:1: column 3: column 2 is called "cpu" too; rename one of them`},
		{"two timestamps", "timestamp,timestamp\n", `in.csv:1: column 2: column 1 is called "timestamp" too; rename one of them`},
		{"text where a number belongs", head + row + "2026-01-01T00:05:00Z,abc,2\n", `in.csv:3: column 2 (cpu): "abc" is not a number; write a decimal number with a point, or leave the cell empty`},
		{"a hexadecimal number", head + "2026-01-01T00:05:00Z,0x10,2\n", `in.csv:2: column 2 (cpu): "0x10" is not a number; write a decimal number with a point, or leave the cell empty`},
		{"infinity", head + "2026-01-01T00:05:00Z,1,-Inf\n", `in.csv:2: column 3 (net): "-Inf" is not finite; leave the cell empty if the value is missing`},
		{"a number too large for a float", head + "2026-01-01T00:05:00Z,1,1e999\n", `in.csv:2: column 3 (net): "1e999" is not finite; leave the cell empty if the value is missing`},
		{"a bad time", head + "31.1.2026,1,2\n", `in.csv:2: column 1 (timestamp): "31.1.2026" is not a time; write RFC 3339, for example 2026-01-31T12:05:00Z, or Unix seconds`},
		{"a time that does not exist", head + "2026-02-30T00:00:00Z,1,2\n", `in.csv:2: column 1 (timestamp): "2026-02-30T00:00:00Z" is not a time; write RFC 3339, for example 2026-01-31T12:05:00Z, or Unix seconds`},
		{"no time", head + ",1,2\n", `in.csv:2: column 1 (timestamp): "" is not a time; write RFC 3339, for example 2026-01-31T12:05:00Z, or Unix seconds`},
		{"milliseconds", head + "1769861100000,1,2\n", `in.csv:2: column 1 (timestamp): "1769861100000" is not a time in Unix seconds; write RFC 3339, for example 2026-01-31T12:05:00Z, or seconds since 1970`},
		{"a day without dashes", head + "20260131,1,2\n", `in.csv:2: column 1 (timestamp): "20260131" is not a time in Unix seconds; write RFC 3339, for example 2026-01-31T12:05:00Z, or seconds since 1970`},
		{"the wrong millennium", head + "0026-01-31T00:00:00Z,1,2\n", `in.csv:2: column 1 (timestamp): "0026-01-31T00:00:00Z" is outside the years 1900 to 2150; correct the time`},
		{"a row with too many fields", head + row + "2026-01-01T00:05:00Z,1,2,3\n", "in.csv:3: the row has 4 fields, the header 3; leave a missing value as an empty field between its commas"},
		{"a row with too few", head + "2026-01-01T00:05:00Z,1\n", "in.csv:2: the row has 2 fields, the header 3; leave a missing value as an empty field between its commas"},
		{"a quote that never ends", head + "2026-01-01T00:05:00Z,\"1,2\n" + row, "in.csv:2: column 2: the quotes do not match; remove them, no value here needs quotes"},
		{"two rows of one time that differ", head + row + "2026-01-01T00:05:00Z,1,2\n" + "2026-01-01T01:00:00+01:00,1,3\n", "in.csv:4: column 3 (net): line 2 has the same time 2026-01-01T00:00:00Z and another value (2, here 3); remove the row that is wrong"},
		{"a duplicate that lost a value", head + row + "2026-01-01T00:00:00Z,1,\n", "in.csv:3: column 3 (net): line 2 has the same time 2026-01-01T00:00:00Z and another value (2, here ); remove the row that is wrong"},
		{"a line too long", head + row + strings.Repeat("x", 2000), "in.csv:3: the line is longer than 1024 bytes; is this a CSV file?"},
		{"a header too long", strings.Repeat("x", 2000), "in.csv:1: the line is longer than 1024 bytes; is this a CSV file?"},
		{"too many values", rows(501), "in.csv:502: the file has more than 1000 values; split it"},
		{"too many lines", head + row + strings.Repeat("\n", 1<<12), "in.csv:1001: the file has 1000 lines or more; split it"},
		{"too much text", head + row + strings.Repeat(strings.Repeat(" ", 99)+"\n", 1<<10), "in.csv:657: the text is longer than 65536 bytes; split the file"},
		{"a name too long", "timestamp," + strings.Repeat("x", 256) + "\n", `in.csv:1: column 2: the name "` + strings.Repeat("x", 40) + `"… is longer than 255 bytes; shorten it`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for form, content := range map[string][]byte{"plain": []byte(tt.text), "gzip": zipped(tt.text)} {
				_, err := Read(bytes.NewReader(content), "in.csv", small)
				var e *Error
				if !errors.As(err, &e) || e.Error() != tt.want {
					t.Errorf("%s:\ngot  %v\nwant %s", form, err, tt.want)
				}
			}
		})
	}
}

func TestBrokenGzip(t *testing.T) {
	text := rows(5000)
	whole := zipped(text)
	flipped := slices.Clone(whole)
	flipped[len(flipped)-8] ^= 1 // the checksum
	for _, tt := range []struct {
		name, file string
		content    []byte
		want       string
	}{
		{"cut short", "in.csv.gz", whole[:len(whole)/2], "the gzip data ends early"},
		{"cut inside its header", "in.csv.gz", whole[:5], "the gzip header is broken"},
		{"a wrong checksum", "in.csv.gz", flipped, "the gzip data is corrupt"},
		{"a name that lies", "in.csv.gz", []byte(text), "not gzip"},
		{"an empty file", "in.csv.gz", nil, "the file is empty"},
		{"a bomb of one endless line", "in.csv.gz", zipped(strings.Repeat("0", 1<<24)), "the line is longer than"},
		{"a bomb of blank lines", "in.csv.gz", zipped("timestamp,x\n" + strings.Repeat("\n", 1<<23+1)), "the file has 8388608 lines or more"},
		{"a bomb of spaces", "in.csv.gz", zipped("timestamp,x\n" + strings.Repeat(strings.Repeat(" ", 1<<10)+"\n", 1<<12)), "the text is longer than 4194304 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limits := DefaultLimits()
			limits.Bytes = 4 << 20
			if strings.Contains(tt.want, "lines") {
				limits.Bytes = 1 << 30
			}
			_, err := Read(bytes.NewReader(tt.content), tt.file, limits)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "in.csv.gz:") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string][]byte{"a.csv": []byte(rows(3)), "a.csv.gz": zipped(rows(3)), "really-gzip.csv": zipped(rows(3))} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		table, err := ReadFile(path)
		if err != nil || len(table.Times) != 3 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadFile(filepath.Join(dir, "absent.csv")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := ReadFile(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory: got %v", err)
	}
}

func TestMendedInputIsNoted(t *testing.T) {
	tests := []struct {
		name  string
		text  string
		times int
		note  string
	}{
		{"unsorted rows are sorted", "timestamp,x\n2026-01-01T00:05:00Z,2\n2026-01-01T00:10:00Z,3\n2026-01-01T00:00:00Z,1\n", 3,
			"rows are not in the order of time, first at line 4; they were sorted"},
		{"rows that repeat another are dropped", "timestamp,x\n2026-01-01T00:00:00Z,1\n2026-01-01T00:05:00Z,\n2026-01-01T00:05:00Z,NaN\n2026-01-01T00:10:00Z,3\n2026-01-01T00:00:00Z,1\n", 3,
			"2 rows repeat the row of the same time and were dropped"},
		{"a single row has no step", "timestamp,x\n2026-01-01T00:05:00Z,2\n", 1, "fewer than two rows, so the step cannot be told"},
		{"a gap of a day stays a gap", "timestamp,x\n2026-01-01T00:00:00Z,2\n2026-01-01T00:05:00Z,2\n2026-01-02T00:05:00Z,2\n2026-01-02T00:10:00Z,2\n", 4,
			"1 gaps without rows, the longest of 24h0m0s after 2026-01-01T00:05:00Z; they stay missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table := read(t, tt.text)
			if len(table.Times) != tt.times || !slices.IsSortedFunc(table.Times, time.Time.Compare) {
				t.Errorf("times %v", table.Times)
			}
			if !slices.Contains(table.Notes, tt.note) {
				t.Errorf("got notes %q, want %q", table.Notes, tt.note)
			}
			if tt.times == 3 && !(table.Columns["x"][0] == 1 && table.Columns["x"][2] == 3) {
				t.Errorf("values do not follow their times: %v", table.Columns["x"])
			}
		})
	}
}

func TestWriteReadsBackTheSame(t *testing.T) {
	table := &Table{
		Times:   []time.Time{at("2026-01-01T00:00:00.5Z"), at("2026-01-01T00:05:00Z"), at("2026-01-01T01:05:00Z")},
		Names:   []string{"b", `odd "name", quoted`, "is_x"},
		Columns: map[string]api.Series{"b": {0.1, nan, -1e-300}, `odd "name", quoted`: {nan, 1e300, 3}, "is_x": {0, 1, nan}},
	}
	var b bytes.Buffer
	if err := Write(&b, table); err != nil {
		t.Fatal(err)
	}
	back := read(t, b.String())
	if !slices.EqualFunc(back.Times, table.Times, time.Time.Equal) || !slices.Equal(back.Names, table.Names) {
		t.Errorf("got %v, %q", back.Times, back.Names)
	}
	for name, column := range table.Columns {
		if !same(back.Columns[name], column) {
			t.Errorf("%s: got %v, want %v", name, back.Columns[name], column)
		}
	}
	table.Columns["b"][1] = math.Inf(1)
	if err := Write(io.Discard, table); err == nil {
		t.Error("infinity was written")
	}
	table.Columns["b"] = api.Series{1}
	if err := Write(io.Discard, table); err == nil {
		t.Error("a short column was written")
	}
}

// FuzzRead looks for input that makes reading panic, or that reads but cannot be
// written and read again with the same content.
func FuzzRead(f *testing.F) {
	f.Add([]byte(rows(3)))
	f.Add(zipped(rows(3)))
	f.Add([]byte("timestamp,a,is_b,c_label\n1769861100,1,0,\"x\n1769861400.25,,1,\n"))
	f.Add([]byte("timestamp,a\n2026-01-01T00:00:03Z,1\n2026-01-01T00:04:59Z,2\n2026-01-01T00:10:01Z,2\n2026-01-01T00:10:02Z,2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := Read(bytes.NewReader(data), "in.csv", Limits{Bytes: 1 << 16, Line: 1 << 12, Cells: 1 << 12})
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := Write(&b, table); err != nil {
			t.Fatal(err)
		}
		back, err := Read(&b, "out.csv", DefaultLimits())
		if err != nil {
			t.Fatalf("%v\n%s", err, b.String())
		}
		if !slices.EqualFunc(back.Times, table.Times, time.Time.Equal) || !slices.Equal(back.Names, table.Names) {
			t.Fatalf("%v became %v, %q %q", table.Times, back.Times, table.Names, back.Names)
		}
		if step, err := table.Step(); err != nil || table.Times[len(table.Times)-1].Sub(table.Times[0])/step > 1<<20 {
			return // a grid that would be right, and large
		}
		g, err := table.Grid("x")
		if err != nil {
			t.Fatal(err)
		}
		if last := table.Times[len(table.Times)-1]; g.Len() == 0 || g.Start.Sub(table.Times[0]) > g.Step || last.Sub(g.End()) > g.Step {
			t.Fatalf("rows from %v to %v, grid from %v to %v", table.Times[0], last, g.Start, g.End())
		}
		table.Events()
	})
}
