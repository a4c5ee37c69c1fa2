// Package calendar knows what is planned: sales, holidays and other events whose
// time is known before they come, as flags that models read.
//
// A calendar is a JSON file of one or both of two forms:
//
//	{"is_sale_active": 1}
//
//	{"events": [
//	  {"name": "summer sale", "start": "2026-07-01T00:00:00Z", "end": "2026-07-04T00:00:00Z",
//	   "flags": {"is_sale_active": 1}},
//	  {"name": "bank holiday", "start": "2026-08-31T00:00:00+01:00", "end": "2026-09-01T00:00:00+01:00",
//	   "flags": ["is_holiday"]}
//	]}
//
// A flag at the top holds always, until the file changes; a flag of an event
// holds from its start up to, not including, its end. Values are finite numbers;
// true, and a list of names, mean 1. Where several hold, the greatest value wins.
// A flag that does not hold is 0. Names of flags begin with is_, so that a
// misspelt key cannot pass for one: every other key is an error.
//
// A flag can be asked for at any instant, past or future, and a slot of a grid has
// the flags that hold at its start: at any step, in any time zone, on days of 23
// and 25 hours too, since a calendar holds instants and never a local clock. So
// an event that begins and ends between two slots' starts is seen by no slot:
// where slots are hours, let events begin and end on the hour. Asking costs a
// search in the sorted boundaries of the flag's events, some tens of nanoseconds,
// so that training may ask for every slot of every window.
//
// The package watches nothing. Who wants a changed file to count loads it again
// and compares Hash.
package calendar
