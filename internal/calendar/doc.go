// Package calendar knows what is planned: sales, holidays and other events whose
// time is known before they come, as flags that models read.
//
// # Form
//
// A calendar is a JSON file:
//
//	{"is_campaign": 1,
//	 "events": [{"name": "sale", "start": "2026-07-01T00:00:00Z", "end": "2026-07-04T00:00:00Z",
//	             "flags": {"is_sale_active": 1}, "lead": "24h", "tail": "6h"},
//	            {"name": "office", "start": "2026-01-05T09:00", "end": "2026-01-05T17:00", "zone": "Europe/Berlin",
//	             "repeat": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "except": ["2026-05-01T09:00"], "flag": "is_open"}],
//	 "holidays": [{"country": "DE", "region": "BY", "flag": "is_holiday"}],
//	 "files": ["sales.json", {"file": "team.ics", "zone": "Europe/Berlin", "flag": "is_release"}]}
//
// or an ICS file (RFC 5545). All parts may be absent, so that {"is_sale_active": 1}
// is a calendar. docs/calendar.md describes all of it.
//
// A flag at the top holds always, until the file changes; a flag of an event
// holds from its start up to, not including, its end, and [LeadSuffix] says what
// comes before and after. Values are finite numbers; true, and a list of names,
// mean 1. Where several hold, the greatest value wins. A flag that does not hold
// is 0. Names of flags begin with is_, so that a misspelt key cannot pass for one:
// every other key is an error.
//
// # Instants
//
// A flag can be asked for at any instant, past or future, and a slot of a grid has
// the flags that hold at its start: at any step, in any time zone, on days of 23
// and 25 hours too, since local times are placed on the line of time when they are
// read, or, for what recurs, when a year is first asked for. An event that begins
// and ends between two slots' starts is seen by no slot: where slots are hours, let
// events begin and end on the hour. Asking costs a search in the sorted boundaries
// of the flag's events, some tens of nanoseconds, so that training may ask for every
// slot of every window.
//
// # What comes from outside
//
// Files are bounded in size and number, rules in how often they happen, and a rule
// without an end is followed only over the years asked for. All faults are named at
// once. No file is fetched from anywhere.
//
// [Live] loads a changed file again; a [Calendar] never changes.
package calendar
