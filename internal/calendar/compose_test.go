package calendar

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

// Dates of holidays are from the published tables of the countries, not from the
// library.
func TestHolidays(t *testing.T) {
	for _, tt := range []struct{ name, ask, from, to, want string }{
		{"Bavaria in spring 2026", `"country": "DE", "region": "BY"`, "2026-04-01", "2026-06-10",
			"0402T2200/0403T2200 0405T2200/0406T2200 0430T2200/0501T2200 0513T2200/0514T2200 0524T2200/0525T2200 0603T2200/0604T2200"},
		{"which all of Germany does not share", `"country": "DE"`, "2026-06-01", "2026-10-10", "1002T2200/1003T2200"},
		{"Saxony has a day of its own", `"country": "DE", "region": "SN"`, "2026-11-10", "2026-12-01", "1117T2300/1118T2300"},
		{"a day observed on another one is two", `"country": "US", "zone": "America/New_York"`, "2026-07-01", "2026-07-10", "0703T0400/0704T0400 0704T0400/0705T0400"},
		{"New Year observed in the year before", `"country": "US", "zone": "America/New_York"`, "2021-12-31", "2022-01-01", "1231T0500/0101T0500"},
		{"in another zone than the country's", `"country": "DE", "zone": "UTC"`, "2026-12-24", "2026-12-27", "1225T0000/1226T0000 1226T0000/1227T0000"},
		{"a hundred years on", `"country": "FR"`, "2126-07-14", "2126-07-15", "0713T2200/0714T2200"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := spansOf(t, parse(t, `{"holidays": [{`+tt.ask+`}]}`), tt.from, tt.to); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
	c := parse(t, `{"holidays": [{"country": "DE", "region": "BY", "flag": "is_day_off", "lead": "1d", "tail": "6h"}]}`)
	eve := time.Date(2026, 12, 24, 12, 0, 0, 0, time.UTC)
	if c.Flag("is_day_off_lead", eve) != 1 || c.Flag("is_day_off", eve) != 0 || c.Flag("is_day_off", eve.AddDate(0, 0, 1)) != 1 || c.Flag("is_day_off_tail", eve.AddDate(0, 0, 2).Add(15*time.Hour)) != 1 {
		t.Errorf("lead, day and tail of Christmas are wrong; flags %v", c.Flags())
	}
}

// Every country of the table must be there as it says, zone and regions included.
func TestEveryCountryHasHolidays(t *testing.T) {
	for code, country := range countries {
		regions := []string{""}
		for region := range country.regions {
			regions = append(regions, region)
		}
		for _, region := range regions {
			h := Holidays{Country: code, Region: region, Zone: "UTC", Flags: map[string]float64{"is_x": 1}}
			if country.zone != "" {
				h.Zone = ""
			}
			if region == "" && country.days == nil {
				continue
			}
			if faults := h.compile(); faults != nil {
				t.Errorf("%s %s: %v", code, region, faults)
			} else if n := len(h.between(utc(t, "2026-01-01"), utc(t, "2027-01-01"))); n < 5 || n > 40 {
				t.Errorf("%s %s: %d holidays in a year", code, region, n)
			}
		}
	}
}

const office = `{"events": [{"name": "office hours", "start": "2026-01-05T09:00", "end": "2026-01-05T17:00", "zone": "Europe/Berlin",
  "repeat": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "except": ["2026-03-31T09:00"], "also": ["2026-03-28T09:00:00+01:00"],
  "flags": ["is_open"], "lead": "30m", "tail": "1h"},
  {"name": "inventory", "start": "2026-03-29", "end": "2026-03-30", "zone": "Europe/Berlin", "flags": {"is_closed": 2}}]}`

func TestEventsInJSONRecurInTheirZone(t *testing.T) {
	c := parse(t, office)
	want := "0327T0800/0327T1600 0328T0800/0328T1600 0328T2300/0329T2200 0330T0700/0330T1500 0401T0700/0401T1500"
	if got := spansOf(t, c, "2026-03-27", "2026-04-02"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := fmt.Sprint(c.Flags()); got != "[is_closed is_open is_open_lead is_open_tail]" {
		t.Errorf("flags %s", got)
	}
	written, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if back := parse(t, string(written)); back.Hash() != c.Hash() {
		t.Errorf("it reads back as another calendar:\n%s", written)
	}
	for from, to := range map[string]string{"30m": "31m", "09:00\", \"end": "09:01\", \"end", "Europe/Berlin\",\n": "Europe/Paris\",\n", "TH,FR": "TH", "2026-03-31T09": "2026-03-24T09"} {
		if other := strings.Replace(office, from, to, 1); other == office || parse(t, other).Hash() == c.Hash() {
			t.Errorf("%s for %s: same hash", to, from)
		}
	}
}

// The year's cache is filled by whoever asks first.
func TestACalendarMayBeAskedByMany(t *testing.T) {
	c := parse(t, office)
	want := parse(t, office)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 400 {
				at := time.Date(2020+i%30, 3, 27, i%24, 0, 0, 0, time.UTC)
				if got := c.Flag("is_open", at); got != 0 && got != 1 {
					t.Errorf("%s: %v", at, got)
				}
			}
		})
	}
	wg.Wait()
	for i := range 24 * 40 {
		at := day.Add(time.Duration(i) * time.Hour)
		if c.Flag("is_open", at) != want.Flag("is_open", at) {
			t.Fatalf("it depends on who asked before: %s", at)
		}
	}
}

func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "calendar.json")
}

func TestACalendarOfSeveralFiles(t *testing.T) {
	path := files(t, map[string]string{
		"calendar.json": `{"is_busy": 1, "files": ["sales.json", {"file": "team.ics", "flag": "is_release", "zone": "Europe/Berlin", "lead": "2h"}],
			"holidays": [{"country": "AT"}]}`,
		"sales.json": `{"is_busy": 3, "is_quiet": 1, "events": [{"name": "sale", "start": "2026-07-01T00:00:00Z", "end": "2026-07-02T00:00:00Z", "flags": {"is_release": 5}}]}`,
		"team.ics":   vevent("SUMMARY:release\nDTSTART:20260701T120000\nDURATION:PT1H", "SUMMARY:sale\nDTSTART:20260705T120000\nDURATION:PT1H\nCATEGORIES:is_sale_active"),
	})
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 7, 1, 10, 0, 0, 0, time.UTC) // 12:00 in Berlin
	for flag, want := range map[string]float64{"is_busy": 3, "is_quiet": 1, "is_release": 5, "is_release_lead": 0, "is_holiday": 0, "is_sale_active": 0} {
		if got := c.Flag(flag, at); got != want {
			t.Errorf("%s: got %v, want %v", flag, got, want)
		}
	}
	if c.Flag("is_release_lead", at.Add(-time.Second)) != 1 || c.Flag("is_sale_active_lead", at.AddDate(0, 0, 4).Add(-time.Second)) != 1 || c.Flag("is_holiday", utc(t, "2026-12-25")) != 1 {
		t.Error("a lead or a holiday is missing")
	}
	written, _ := json.Marshal(c)
	if back := parse(t, string(written)); back.Hash() != c.Hash() {
		t.Errorf("as one file it is another calendar:\n%s", written)
	}
}

func TestAllFaultsOfAllFilesAreNamed(t *testing.T) {
	path := files(t, map[string]string{
		"calendar.json": `{"sale": 1,
 "events": [{"name": "a", "start": "tomorrow", "flag": "is_x"}, {"nam": 1}, 7, {"name": "b", "start": "2026-07-01T00:00", "end": "2026-07-02T00:00:00Z", "flag": "is_x"},
  {"name": "c", "start": "2026-07-01T00:00:00Z", "end": "2026-07-02T00:00:00Z", "flag": "x", "lead": "long", "zone": "Mars"},
  {"name": "d", "start": "2026-07-01T00:00:00Z", "end": "2026-07-02T00:00:00Z", "flag": "is_x", "lead": "-1h"},
  {"name": "e", "start": "2026-07-01T00:00:00Z", "end": "2026-07-02T00:00:00Z", "flag": "is_x", "repeat": "FREQ=NEVER"},
  {"name": "f", "start": "2026-07-01T00:00:00+02:00", "end": "2026-07-02T00:00:00Z", "flag": "is_x", "repeat": "FREQ=DAILY"}],
 "holidays": [{"country": "XX"}, {"country": "DE", "region": "XX"}, {"country": "US"}, {"country": "AU", "zone": "UTC"}, {"country": "FR", "region": "75"}, {"land": "DE"}],
 "files": ["absent.json", "nested.json", "broken.ics", {"fiel": "x"}, {}, {"file": "plain.json", "flag": "is_x"}]}`,
		"nested.json": `{"files": ["calendar.json"]}`,
		"plain.json":  `{"is_y": 1}`,
		"broken.ics":  vevent("SUMMARY:a"),
	})
	_, err := Load(path)
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{
		path + `: line 1, column 2: unknown key "sale"`, `line 2, column 36: events[0].start: "tomorrow" is not a time`, `line 2, column 66: events[1]: unknown key "nam"`,
		"events[2] must be an object in braces", `events[3].start: "2026-07-01T00:00" is not a time with a zone`,
		`events[4].flag: unknown key "x"`, `events[4].lead: "long" is no length of time`, `events[4].zone: "Mars" is no time zone`,
		"events[5].lead: -1h0m0s is not between", `events[6].repeat: "FREQ=NEVER"`, "events[7].zone: what recurs needs one",
		`holidays[0].country: "XX" is not known; known are AT, AU`, `holidays[1].region: "XX" is not known in DE; known are BB`, "holidays[2].zone: US has several time zones",
		"holidays[3].region: AU needs one; known are ACT", "holidays[4].region: the regions of FR are not known", `holidays[5]: unknown key "land"`,
		"files[0]: open ", "nested.json: files: a file that is named by another", `broken.ics: line 4: event "a": DTSTART: is missing`, `files[3]: unknown key "fiel"`, "files[4].file: is missing",
		"plain.json: zone, flags, lead and tail beside a file are for ICS",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in\n%v", want, err)
		}
	}
}

func TestNewTakesNoNameOfALabel(t *testing.T) {
	if _, err := New(nil, map[string]float64{"is_odd_label": 1}); err == nil || !strings.Contains(err.Error(), "labels") {
		t.Errorf("got %v", err)
	}
	if c, err := New([]api.Event{{Name: "a", Start: day, End: day.Add(1), Flags: map[string]float64{"is_x": 1}}}, nil); err != nil || c.Flag("is_x", day) != 1 {
		t.Errorf("got %v", err)
	}
}

// BenchmarkFlagOfAYear asks for flags that recur, in a year that is known already.
func BenchmarkFlagOfAYear(b *testing.B) {
	c, err := Parse([]byte(office))
	if err != nil {
		b.Fatal(err)
	}
	for i := range b.N {
		c.Flag("is_open", day.Add(time.Duration(i%100000)*time.Minute))
	}
}
