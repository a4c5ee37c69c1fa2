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
// The package watches nothing. Who wants a changed file to count loads it again
// and compares Hash.
package calendar
