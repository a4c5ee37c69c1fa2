package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/tidy"
)

// twoDays is a tidy file with gaps, an empty column's cell and a flag.
func twoDays() string {
	var b strings.Builder
	b.WriteString("timestamp,cpu_utilization,request_count,response_time_p95,is_sale_active\n")
	at := time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
	for i := range 400 {
		if i%50 == 7 {
			continue
		}
		cpu := fmt.Sprintf("%g", 20+float64(i%31)/3)
		if i%40 == 3 {
			cpu = ""
		}
		fmt.Fprintf(&b, "%s,%s,%d,%g,%d\n", at.Add(time.Duration(i)*5*time.Minute).Format(time.RFC3339), cpu, i, 0.1+float64(i)/1e4, i/200)
	}
	return b.String()
}

func TestWhatIsImportedIsExportedAgain(t *testing.T) {
	dir := t.TempDir()
	in, lake := filepath.Join(dir, "in.csv"), "file://"+filepath.Join(dir, "lake")
	write(t, in, []byte(twoDays()))
	columns := []string{"-column", "cpu_utilization=cpu_utilization", "-column", "request_count=request_count",
		"-column", "response_time:p95=response_time_p95", "-column", "is_sale_active=is_sale_active"}
	dry := invoke(t, "forescale", append([]string{"import", in, "-group", "web", "-store", lake, "-dry-run"}, columns...)...)
	dry.said(t, 0, "cpu_utilization", "p95", "392 rows of 1 groups; 0 bad rows", "2026-03-28 12:00 UTC")
	if _, err := os.Stat(filepath.Join(dir, "lake")); err == nil {
		t.Error("a dry run made a lake")
	}
	invoke(t, "forescale", append([]string{"import", in, "-group", "web", "-store", lake}, columns...)...).said(t, 0, "1558 values stored")
	invoke(t, "forescale", append([]string{"import", in, "-group", "web", "-store", lake}, columns...)...).said(t, 0, " 0 values stored")
	original, err := tidy.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := tidy.Write(&want, original); err != nil {
		t.Fatal(err)
	}
	long := func(lake string) string {
		path := filepath.Join(t.TempDir(), "long.csv")
		invoke(t, "forescale", "export", "-store", lake, "-out", path, "-layout", "long").said(t, 0, "1558 values of 1 groups")
		return read(t, path)
	}
	for _, format := range []string{"csv", "csv.gz", "parquet"} {
		out, copied := filepath.Join(dir, "web."+format), "file://"+filepath.Join(dir, "lake-"+format)
		invoke(t, "forescale", "export", "web", "-store", lake, "-out", out).said(t, 0, "1558 values of 1 groups")
		if format != "parquet" { // as backtest and the trainer read it
			back, err := tidy.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range original.Names {
				if a, b := fmt.Sprint(original.Columns[name]), fmt.Sprint(back.Columns[name]); a != b {
					t.Errorf("%s: column %s became another", format, name)
				}
			}
			if len(back.Names) != len(original.Names) || len(back.Times) != len(original.Times) {
				t.Errorf("%s: columns %v, %d rows", format, back.Names, len(back.Times))
			}
		}
		invoke(t, "forescale", append([]string{"import", out, "-group", "web", "-store", copied}, columns...)...).said(t, 0, "1558 values stored")
		if long(copied) != long(lake) {
			t.Errorf("a lake that went through %s is another", format)
		}
	}
	invoke(t, "forescale", "export", "-store", lake, "-out", dir+"/all/", "-format", "csv", "-metric", "cpu_utilization", "-from", "2026-03-29").said(t, 0, "all/web.csv: ")
	if got := read(t, dir+"/all/web.csv"); !strings.HasPrefix(got, "timestamp,cpu_utilization\n2026-03-29T00:00:00Z,") {
		t.Errorf("got %.80s", got)
	}
	invoke(t, "forescale", "export", "-store", lake, "-out", dir+"/all.parquet", "-layout", "long").said(t, 0, "1558 values")
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestAForeignFileIsImportedByItsColumns(t *testing.T) {
	dir := t.TempDir()
	in, lake := filepath.Join(dir, "in.csv.gz"), "file://"+filepath.Join(dir, "lake")
	var text strings.Builder
	text.WriteString("when,service,ms\n")
	for i := range 24 { // the clocks of Berlin go back at 01:00 UTC
		at := time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * 5 * time.Minute)
		berlin, _ := time.LoadLocation("Europe/Berlin")
		fmt.Fprintf(&text, "%s,%s,%d\n", at.In(berlin).Format("02.01.2006 15:04"), []string{"web", "api/v1"}[i%2], 100+i)
	}
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	_, _ = zip.Write([]byte(text.String()))
	_ = zip.Close()
	write(t, in, zipped.Bytes())
	args := []string{"import", in, "-store", lake, "-step", "10m", "-group-column", "service", "-time-column", "when", "-time-format", "02.01.2006 15:04", "-zone", "Europe/Berlin", "-column", "response_time=ms", "-scale", "response_time=0.001"}
	invoke(t, "forescale", args...).expect(t, 1, in+":2: column 1 (when): \"25.10.2026 02:00\" was twice in Europe/Berlin", "24 of 24 rows are bad, and nothing of the file is stored", "-allow-bad 24", "and 4 more bad rows")
	write(t, in, []byte("when,service,ms\n25.10.2026 03:00,web,100\n25.10.2026 03:10,web,200\n25.10.2026 03:20,web,soon\n25.10.2026 03:30,api/v1,300\n"))
	invoke(t, "forescale", args...).expect(t, 1, in+":4: column 3 (ms): \"soon\" is not a number", "1 of 4 rows are bad")
	invoke(t, "forescale", append(args, "-allow-bad", "1")...).said(t, 0, "4 rows of 2 groups; 1 bad rows left out", "3 values stored")
	invoke(t, "forescale", "export", "-store", lake, "-out", dir+"/out.csv").expect(t, 2, "a wide file holds one group, and these are 2")
	invoke(t, "forescale", "export", "-store", lake, "-out", dir+"/out/").said(t, 0, "web.csv.gz", "api%2Fv1.csv.gz")
	invoke(t, "forescale", "export", "-store", lake, "-out", dir+"/out.csv", "-layout", "long").said(t, 0, "3 values of 2 groups")
	if want := "timestamp,group,metric,stat,value\n2026-10-25T02:30:00Z,api/v1,response_time,avg,0.3\n2026-10-25T02:00:00Z,web,response_time,avg,0.1\n2026-10-25T02:10:00Z,web,response_time,avg,0.2\n"; read(t, dir+"/out.csv") != want {
		t.Errorf("got %s", read(t, dir+"/out.csv"))
	}
}

func TestWrongImportsAndExportsAreRefusedWithAllFaults(t *testing.T) {
	dir := t.TempDir()
	in, lake := filepath.Join(dir, "in.csv"), "file://"+filepath.Join(dir, "lake")
	write(t, in, []byte("timestamp,x\n2026-03-04T00:00:00Z,1\n2026-03-04T01:00:00Z,1\n2026-03-04T02:00:00Z,1\n"))
	invoke(t, "forescale", "import", in, "-step", "7m", "-zone", "Mars", "-repeated", "never", "-allow-bad", "-1", "-time-format", "epoch", "-scale", "x=2").
		expect(t, 2, "-store URL or -config", "-group NAME or -group-column", "-step: 7m", `-zone: "Mars"`, `-repeated: "never"`, "-allow-bad: -1", `-time-format: "epoch"`, "-scale x: there is no -column")
	invoke(t, "forescale", "import", in, "-group", "a", "-store", lake).expect(t, 1, in, "the rows are 1h0m0s apart, and slots are 5m0s")
	invoke(t, "forescale", "import", "-group", "a", "-store", lake).expect(t, 2, "which files?")
	invoke(t, "forescale", "import", in, "-group", "a", "-store", lake, "-column", "x:p50=x").expect(t, 2, `"p50" is no statistic`)
	invoke(t, "forescale", "import", in, "-group", "a", "-store", lake, "-scale", "x=0").expect(t, 2, "a factor other than 0")
	invoke(t, "forescale", "import", in, "-group", "a", "-store", lake, "-step", "1h").said(t, 0, "3 values stored")
	invoke(t, "forescale", "export", "-store", lake, "-from", "soon", "-to", "2026-01-01", "-layout", "flat", "-format", "xls").expect(t, 2, `-from: "soon"`, "-layout", "-format", "-out is missing")
	invoke(t, "forescale", "export", "-store", lake, "-out", "a.txt").expect(t, 2, "ends neither in .csv")
	invoke(t, "forescale", "export", "-store", lake, "-out", dir+"/a.csv", "b").expect(t, 1, `there is no group "b"; there is a`)
	invoke(t, "forescale", "export", "-store", lake, "-out", dir+"/a.csv", "-metric", "y").expect(t, 1, "nothing to write")
	if _, err := os.Stat(dir + "/a.csv"); err == nil {
		t.Error("a file of nothing was left")
	}
}

func TestCalendarsAreCheckedAndShown(t *testing.T) {
	dir := t.TempDir()
	sound, broken := filepath.Join(dir, "sound.json"), filepath.Join(dir, "broken.json")
	write(t, sound, []byte(`{"is_campaign": 2, "events": [
		{"name": "sale", "start": "2026-11-27", "end": "2026-11-28", "zone": "Europe/Berlin", "flag": "is_sale_active", "lead": "1d"},
		{"name": "blink", "start": "2026-11-27T10:01:00Z", "end": "2026-11-27T10:03:00Z", "flag": "is_flash"}], "holidays": [{"country": "DE"}]}`))
	write(t, broken, []byte("{\"x\": 1,\n \"events\": [{\"name\": 1}]}"))
	invoke(t, "forescale", "calendar", "check", sound).said(t, 0, sound+" is sound: it sets is_campaign, is_flash, is_holiday, is_sale_active, is_sale_active_lead")
	invoke(t, "forescale", "calendar", "check", broken, sound).expect(t, 1, broken+`: line 1, column 2: unknown key "x"`, "line 2, column 22: events[0].name must be a text")
	invoke(t, "forescale", "calendar", "check").expect(t, 2, "which calendar?")
	invoke(t, "forescale", "calendar", "chekc").expect(t, 2, "there is no command calendar")
	invoke(t, "forescale", "calendar", "show", sound, "-from", "2026-11-25", "-days", "7", "-zone", "Europe/Berlin").
		said(t, 0, "From Wed 2026-11-25 00:00 CET to Wed 2026-12-02", "Always: is_campaign=2", "Next: sale, Fri 2026-11-27 00:00 CET", "is_sale_active_lead  1      Thu 2026-11-26 00:00 CET  Fri 2026-11-27 00:00 CET  288", "NO SLOT SEES IT")
	var view calendarView
	shown := invoke(t, "forescale", "calendar", "show", sound, "-from", "2026-12-20", "-days", "10", "-o", "json")
	if err := json.Unmarshal([]byte(shown.stdout), &view); err != nil {
		t.Fatalf("%v\n%s", err, shown.stdout)
	}
	if len(view.Events) != 2 || len(view.Flags) != 2 || view.Flags[1].Flag != "is_holiday" || view.Flags[1].Slots != 576 || view.Next == nil || len(view.Hash) != 64 {
		t.Errorf("got %+v", view)
	}
	config := filepath.Join(dir, "forescale.yaml")
	write(t, config, []byte("calendar: "+sound+"\nstep: 1h\n"))
	invoke(t, "forescale", "calendar", "show", "-config", config, "-from", "2026-11-26T23:00:00Z", "-days", "1").said(t, 0, "SLOTS OF 1h0m0s")
	invoke(t, "forescale", "calendar", "show", sound, "-days", "0", "-o", "xml", "-zone", "Mars", "-from", "soon", "-step", "1s").expect(t, 2, "-days: 0", `-o: "xml"`, "-zone", "-from", "-step")
	invoke(t, "forescale", "calendar", "show", broken).expect(t, 1, broken)
	invoke(t, "forescale", "calendar", "show").expect(t, 2, "which calendar?")
}
