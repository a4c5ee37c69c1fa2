package calendar

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// vevent is an iCalendar file of events, each given by its lines.
func vevent(events ...string) string {
	var b strings.Builder
	b.WriteString("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\n")
	for _, e := range events {
		if strings.HasPrefix(e, "BEGIN:") {
			b.WriteString(strings.ReplaceAll(strings.TrimSpace(e), "\n", "\r\n") + "\r\n")
			continue
		}
		b.WriteString("BEGIN:VEVENT\r\n" + strings.ReplaceAll(strings.TrimSpace(e), "\n", "\r\n") + "\r\nEND:VEVENT\r\n")
	}
	b.WriteString("END:VCALENDAR\r\n")
	return b.String()
}

func parseEvents(t *testing.T, events ...string) *Calendar {
	t.Helper()
	c, err := ParseICS([]byte(vevent(events...)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// spansOf writes the occurrences between two times as lines START/END in UTC.
func spansOf(t *testing.T, c *Calendar, from, to string) string {
	t.Helper()
	var out []string
	for _, e := range c.Events(utc(t, from), utc(t, to)) {
		out = append(out, e.Start.Format("0102T1504")+"/"+e.End.Format("0102T1504"))
	}
	return strings.Join(out, " ")
}

func utc(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02", text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// outlook is a zone as a well-known program writes it: by a name of its own, with
// rules from 1601 on.
const outlook = `BEGIN:VTIMEZONE
TZID:W. Europe Standard Time
BEGIN:STANDARD
DTSTART:16010101T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE`

func TestEventsOfAnICSFileTakePlaceWhenItSays(t *testing.T) {
	nine := "DTSTART;TZID=Europe/Berlin:20260327T090000\nDTEND;TZID=Europe/Berlin:20260327T170000\n"
	for _, tt := range []struct {
		name     string
		events   []string
		from, to string
		want     string
	}{
		{"a single event in UTC", []string{"DTSTART:20260701T090000Z\nDTEND:20260701T170000Z"}, "2026-07-01", "2026-07-02", "0701T0900/0701T1700"},
		{"a daily event keeps its local hours when clocks go forward", []string{nine + "RRULE:FREQ=DAILY"}, "2026-03-27", "2026-03-31",
			"0327T0800/0327T1600 0328T0800/0328T1600 0329T0700/0329T1500 0330T0700/0330T1500"},
		{"and when they go back", []string{nine + "RRULE:FREQ=DAILY"}, "2026-10-24", "2026-10-26", "1024T0700/1024T1500 1025T0800/1025T1600"},
		{"the same in a zone that only the file knows", []string{outlook,
			"DTSTART;TZID=W. Europe Standard Time:20260327T090000\nDTEND;TZID=W. Europe Standard Time:20260327T170000\nRRULE:FREQ=DAILY"},
			"2026-03-28", "2026-03-30", "0328T0800/0328T1600 0329T0700/0329T1500"},
		{"a zone behind a path is the IANA one", []string{"DTSTART;TZID=/example.org/20240101/Europe/Berlin:20260701T090000\nDURATION:PT1H"},
			"2026-07-01", "2026-07-02", "0701T0700/0701T0800"},
		{"a whole day has 23 hours when clocks go forward", []string{"DTSTART;TZID=Europe/Berlin;VALUE=DATE:20260328\nRRULE:FREQ=DAILY;COUNT=3"},
			"2026-03-01", "2026-04-01", "0327T2300/0328T2300 0328T2300/0329T2200 0329T2200/0330T2200"},
		{"a night has its exact length whatever the clocks do", []string{"DTSTART;TZID=Europe/Berlin:20260328T220000\nDTEND;TZID=Europe/Berlin:20260329T060000"},
			"2026-03-28", "2026-03-30", "0328T2100/0329T0400"},
		{"a time that clocks skip counts with the offset before", []string{"DTSTART;TZID=Europe/Berlin:20260329T023000\nDURATION:PT15M"},
			"2026-03-29", "2026-03-30", "0329T0130/0329T0145"},
		{"a time that clocks show twice is the first", []string{"DTSTART;TZID=Europe/Berlin:20261025T023000\nDURATION:PT15M"},
			"2026-10-25", "2026-10-26", "1025T0030/1025T0045"},
		{"exceptions do not take place", []string{nine + "RRULE:FREQ=DAILY;COUNT=4\nEXDATE;TZID=Europe/Berlin:20260328T090000,20260329T090000"},
			"2026-03-01", "2026-05-01", "0327T0800/0327T1600 0330T0700/0330T1500"},
		{"extra dates do, and only once", []string{nine + "RRULE:FREQ=DAILY;COUNT=2\nRDATE;TZID=Europe/Berlin:20260328T090000,20260401T120000"},
			"2026-03-01", "2026-05-01", "0327T0800/0327T1600 0328T0800/0328T1600 0401T1000/0401T1800"},
		{"extra dates need no rule", []string{nine + "RDATE;TZID=Europe/Berlin:20260401T120000"}, "2026-03-01", "2026-05-01", "0327T0800/0327T1600 0401T1000/0401T1800"},
		{"a start off its own rule counts too", []string{nine + "RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=2"}, "2026-03-01", "2026-05-01",
			"0327T0800/0327T1600 0330T0700/0330T1500 0406T0700/0406T1500"},
		{"one occurrence is moved", []string{"UID:a\n" + nine + "RRULE:FREQ=DAILY;COUNT=3",
			"UID:a\nRECURRENCE-ID;TZID=Europe/Berlin:20260328T090000\nDTSTART;TZID=Europe/Berlin:20260328T130000\nDURATION:PT1H"},
			"2026-03-01", "2026-05-01", "0327T0800/0327T1600 0328T1200/0328T1300 0329T0700/0329T1500"},
		{"one occurrence is cancelled", []string{"UID:a\n" + nine + "RRULE:FREQ=DAILY;COUNT=2",
			"UID:a\nRECURRENCE-ID:20260328T080000Z\nSTATUS:CANCELLED\nDTSTART;TZID=Europe/Berlin:20260328T090000\nDURATION:PT1H"},
			"2026-03-01", "2026-05-01", "0327T0800/0327T1600"},
		{"a cancelled series does not take place", []string{nine + "RRULE:FREQ=DAILY\nSTATUS:CANCELLED"}, "2026-03-01", "2026-05-01", ""},
		{"of two revisions the later stands", []string{"UID:a\nSEQUENCE:2\nDTSTART:20260701T100000Z\nDURATION:PT1H", "UID:a\nSEQUENCE:1\nDTSTART:20260701T090000Z\nDURATION:PT1H"},
			"2026-07-01", "2026-07-02", "0701T1000/0701T1100"},
		{"until is an instant", []string{nine + "RRULE:FREQ=DAILY;UNTIL=20260329T070000Z"}, "2026-03-28", "2026-05-01", "0328T0800/0328T1600 0329T0700/0329T1500"},
		{"until a date means all of it", []string{nine + "RRULE:FREQ=DAILY;UNTIL=20260328"}, "2026-03-28", "2026-05-01", "0328T0800/0328T1600"},
		{"the last Friday of November, decades on", []string{"DTSTART;TZID=Europe/Berlin:20001124T000000\nDURATION:P1D\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=-1FR"},
			"2090-01-01", "2091-01-01", "1123T2300/1124T2300"},
		{"the 31st of those months that have one", []string{"DTSTART;TZID=UTC;VALUE=DATE:20250131\nRRULE:FREQ=MONTHLY"}, "2150-01-01", "2150-07-01",
			"0131T0000/0201T0000 0331T0000/0401T0000 0531T0000/0601T0000"},
		{"every third week keeps its count over years", []string{"DTSTART;TZID=UTC;VALUE=DATE:20260105\nRRULE:FREQ=WEEKLY;INTERVAL=3"}, "2026-02-10", "2026-03-20",
			"0216T0000/0217T0000 0309T0000/0310T0000"},
		{"the 29th of February", []string{"DTSTART;TZID=UTC;VALUE=DATE:20240229\nRRULE:FREQ=YEARLY"}, "2025-01-01", "2029-01-01", "0229T0000/0301T0000"},
		{"an event over New Year is seen from both years", []string{"DTSTART:20251231T220000Z\nDURATION:PT4H\nRRULE:FREQ=YEARLY"}, "2027-01-01", "2027-01-02", "1231T2200/0101T0200"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := spansOf(t, parseEvents(t, tt.events...), tt.from, tt.to); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Moving a rule's start near to what is asked for must not change what it says.
func TestARuleSaysTheSameFromNearAndFromFar(t *testing.T) {
	for _, rule := range []string{
		"FREQ=DAILY", "FREQ=DAILY;INTERVAL=7", "FREQ=DAILY;BYMONTH=2,6;BYHOUR=3,9", "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SA;WKST=SU", "FREQ=WEEKLY;INTERVAL=5",
		"FREQ=MONTHLY;BYDAY=-1FR", "FREQ=MONTHLY;INTERVAL=7", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "FREQ=YEARLY", "FREQ=YEARLY;INTERVAL=3;BYMONTH=11;BYDAY=4TH",
		"FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "FREQ=YEARLY;BYYEARDAY=-1,100", "FREQ=YEARLY;BYMONTH=1,5",
	} {
		r := &recurring{rule: rule, zone: time.UTC, start: time.Date(1999, 1, 31, 8, 30, 0, 0, time.UTC), length: time.Hour}
		if err := r.compile(); err != nil {
			t.Fatal(err)
		}
		far := r.option
		far.Count = 9999 // near leaves a rule with a count alone
		all, err := follow(far, r.start.AddDate(0, 0, -1), 9999)
		if err != nil {
			t.Fatal(err)
		}
		for _, from := range []time.Time{time.Date(2003, 2, 28, 0, 0, 0, 0, time.UTC), time.Date(2011, 12, 31, 23, 0, 0, 0, time.UTC)} {
			var want []wall
			for _, at := range all {
				if at.After(from) && len(want) < 12 {
					want = append(want, at)
				}
			}
			if got, err := follow(r.option, from, len(want)); err != nil || fmt.Sprint(got) != fmt.Sprint(want) || len(want) == 0 {
				t.Errorf("%s from %s: %v\ngot  %v\nwant %v", rule, from, err, got, want)
			}
		}
	}
}

func TestAllFaultsOfAnICSFileAreNamedWithTheirLines(t *testing.T) {
	_, err := ParseICS([]byte(vevent(
		"SUMMARY:no start",
		"SUMMARY:no length\nDTSTART:20260701T090000Z",
		"SUMMARY:sound\nDTSTART:20260701T090000Z\nDURATION:PT1H",
		"SUMMARY:zone\nDTSTART;TZID=Middle/Earth:20260701T090000\nDURATION:PT1H",
		"SUMMARY:floating\nDTSTART:20260701T090000\nDURATION:PT1H",
		"SUMMARY:hourly\nDTSTART:20260701T090000Z\nDURATION:PT1H\nRRULE:FREQ=HOURLY",
		"SUMMARY:never\nDTSTART:20260701T090000Z\nDURATION:PT1H\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
		"SUMMARY:two\nDTSTART:20260701T090000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY\nRRULE:FREQ=WEEKLY",
		"SUMMARY:flags\nX-FORESCALE-FLAGS:sale\nDTSTART:20260701T090000Z\nDURATION:PT1H",
		"SUMMARY:backwards\nDTSTART:20260701T090000Z\nDTEND:20260701T080000Z",
		"SUMMARY:mixed\nDTSTART:20260701T090000Z\nDTEND;TZID=UTC;VALUE=DATE:20260702",
		"SUMMARY:local\nDTSTART;TZID=Local:20260701T090000\nDURATION:PT1H",
		"UID:u\nSUMMARY:twice\nDTSTART:20260701T090000Z\nDURATION:PT1H", "UID:u\nSUMMARY:twice\nDTSTART:20260701T090000Z\nDURATION:PT1H",
	)))
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{
		`line 4: event "no start": DTSTART: is missing`,
		`line 7: event "no length": DTSTART: the event has no DTEND and no DURATION`,
		`line 16: event "zone": DTSTART: the time zone "Middle/Earth" is not known`,
		`event "floating": DTSTART: "20260701T090000" says no time zone`,
		`event "hourly": repeat: "FREQ=HOURLY": more often than daily is not supported`,
		`event "never": repeat: "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30" never happens`,
		`event "two": RRULE: an event may have one`,
		`event "flags": X-FORESCALE-FLAGS: unknown key "sale"`,
		`event "backwards": DTSTART: the event does not end after it starts`,
		`event "mixed": DTSTART: of DTSTART and DTEND one is a date`,
		`event "local": DTSTART: the time zone "Local" is not known`,
		`event "twice": UID: line `,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "sound") {
		t.Errorf("a sound event is at fault:\n%v", err)
	}
}

func TestHostileICSFilesAreRefused(t *testing.T) {
	event := "DTSTART:20260701T090000Z\nDURATION:PT1H\n"
	for name, text := range map[string]string{
		"nothing":                         "",
		"something else":                  "hello",
		"a file cut short":                vevent(event)[:60],
		"components without a bottom":     strings.Repeat("BEGIN:X\r\n", 100_000),
		"a count without bounds":          vevent(event + "RRULE:FREQ=DAILY;COUNT=2000000000"),
		"an interval without bounds":      vevent(event + "RRULE:FREQ=DAILY;INTERVAL=2000000000"),
		"a million times a day":           vevent(event + "RRULE:FREQ=DAILY;BYHOUR=" + strings.Repeat("1,", 999) + "2"),
		"a rule that smuggles a start":    vevent(event + "RRULE:FREQ=DAILY;DTSTART=00010101T000000Z"),
		"a weekday that no month has":     vevent(event + "RRULE:FREQ=MONTHLY;BYDAY=53MO"),
		"a series from the Middle Ages":   vevent("DTSTART:08000101T000000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY"),
		"an event that lasts for decades": vevent("DTSTART:20000101T000000Z\nDTEND:20300101T000000Z\nRRULE:FREQ=DAILY"),
		"too many events":                 vevent(strings.Repeat("BEGIN:VEVENT\nEND:VEVENT\n", maxICSEvents+1)),
		"too many that recur":             vevent(strings.Split(strings.Repeat(event+"RRULE:FREQ=DAILY|", maxYearly/366+1), "|")[:maxYearly/366+1]...),
		"a parameter that never ends":     "BEGIN:VCALENDAR\r\nX;A=b\r\nEND:VCALENDAR\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseICS([]byte(text)); err == nil {
				t.Error("taken")
			}
		})
	}
}

func TestTheFlagsOfAnICSEvent(t *testing.T) {
	at := "DTSTART:20260701T090000Z\nDURATION:PT1H\n"
	for name, tt := range map[string]struct{ lines, want string }{
		"are is_event_active by default":    {at, "is_event_active"},
		"are those among its categories":    {at + "CATEGORIES:shop,is_sale_active,is_rush", "is_rush is_sale_active"},
		"or what it says itself":            {at + "CATEGORIES:is_rush\nX-FORESCALE-FLAGS:is_big=2.5,is_sale_active", "is_big is_sale_active"},
		"and those of its lead and tail":    {at + "X-FORESCALE-LEAD:P1D\nX-FORESCALE-TAIL:90m", "is_event_active is_event_active_lead is_event_active_tail"},
		"whatever is folded over two lines": {at + "X-FORESCALE-FLAGS:is_sale\n _active", "is_sale_active"},
	} {
		c := parseEvents(t, tt.lines)
		if got := strings.Join(c.Flags(), " "); got != tt.want {
			t.Errorf("the flags %s: got %s, want %s", name, got, tt.want)
		}
	}
	c := parseEvents(t, at+"X-FORESCALE-FLAGS:is_big=2.5\nX-FORESCALE-LEAD:P1D\nX-FORESCALE-TAIL:90m\nRRULE:FREQ=MONTHLY")
	start := time.Date(2027, 1, 1, 9, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		flag string
		at   time.Duration
		want float64
	}{
		{"is_big_lead", -24*time.Hour - 1, 0}, {"is_big_lead", -24 * time.Hour, 2.5}, {"is_big_lead", -1, 2.5}, {"is_big_lead", 0, 0},
		{"is_big", -1, 0}, {"is_big", 0, 2.5}, {"is_big", time.Hour - 1, 2.5}, {"is_big", time.Hour, 0},
		{"is_big_tail", time.Hour - 1, 0}, {"is_big_tail", time.Hour, 2.5}, {"is_big_tail", 150*time.Minute - 1, 2.5}, {"is_big_tail", 150 * time.Minute, 0},
	} {
		if got := c.Flag(tt.flag, start.Add(tt.at)); got != tt.want {
			t.Errorf("%s at %s: got %v, want %v", tt.flag, tt.at, got, tt.want)
		}
	}
}

// FuzzParseICS looks for a file that makes reading or asking panic or take long,
// or whose fixed form reads back as another calendar.
func FuzzParseICS(f *testing.F) {
	f.Add([]byte(vevent(outlook, "UID:a\nDTSTART;TZID=W. Europe Standard Time:20260327T090000\nDURATION:PT8H\nRRULE:FREQ=DAILY\nEXDATE:20260328T080000Z")))
	f.Add([]byte(vevent("UID:a\nDTSTART;TZID=Europe/Berlin:20260327T090000\nDTEND;TZID=Europe/Berlin:20260327T170000\nRRULE:FREQ=YEARLY;BYWEEKNO=1,53;BYDAY=MO\nRDATE:20260401T000000Z",
		"UID:a\nRECURRENCE-ID:20260328T080000Z\nDTSTART;VALUE=DATE;TZID=UTC:20260328")))
	f.Add([]byte(vevent("DTSTART:20260701T090000Z\nDURATION:PT1H\nX-FORESCALE-FLAGS:is_x=2\nX-FORESCALE-LEAD:P1D\nRRULE:FREQ=MONTHLY;BYDAY=-1FR;BYSETPOS=1")))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<14 {
			return
		}
		c, err := ParseICS(data)
		if err != nil {
			return
		}
		for _, name := range c.Flags() {
			c.Flag(name, day)
			c.Flag(name, day.AddDate(100, 0, 0))
		}
		written, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(written)
		if err != nil {
			if strings.Contains(string(written), "#") { // a zone that only the file defines
				return
			}
			t.Fatalf("%v\n%s", err, written)
		}
		if back.Hash() != c.Hash() {
			again, _ := json.Marshal(back)
			t.Fatalf("%s reads back as %s", written, again)
		}
	})
}
