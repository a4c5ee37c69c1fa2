package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestGrowthIsToldAndNoiseIsNot(t *testing.T) {
	series := func(resident func(i int) float64, goroutines, files func(i int) float64) []sample {
		var seen []sample
		for i := range 40 {
			seen = append(seen, sample{resident(i), goroutines(i), files(i)})
		}
		return seen
	}
	flat := func(i int) float64 { return 50 + float64(i%3) }
	memory := func(i int) float64 { return 60e6 + float64(i%5)*1e6 }
	for name, c := range map[string]struct {
		seen []sample
		want string // "": no fault
	}{
		"flat":                      {series(memory, flat, flat), ""},
		"a start that fills caches": {series(func(i int) float64 { return 60e6 - 40e6*float64(max(0, 10-i))/10 }, flat, flat), ""},
		"memory that grows":         {series(func(i int) float64 { return 60e6 + 1e6*float64(i) }, flat, flat), "resident memory"},
		"goroutines that stay":      {series(memory, func(i int) float64 { return 50 + 5*float64(i) }, flat), "goroutines"},
		"files that stay open":      {series(memory, flat, func(i int) float64 { return 50 + 5*float64(i) }), "open files"},
		"too few looks":             {make([]sample, 7), "only 7 looks"},
	} {
		if err := judge(c.seen, 8e6); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFaultsOfTheCommandLineAreToldAtOnce(t *testing.T) {
	s := &soak{server: "/nowhere", length: time.Second, every: time.Second, out: &bytes.Buffer{}, errOut: &bytes.Buffer{}, grow: -1}
	err := s.check()
	for _, flag := range []string{"-server", "-for", "-promote", "-grow"} {
		if err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%v\nlacks %s", err, flag)
		}
	}
}

func TestTimesAreOrderedAndBounded(t *testing.T) {
	var r result
	for i := range maxTimes + 1000 {
		r.sent++
		r.keep(time.Duration(i))
	}
	if len(r.times) != maxTimes {
		t.Errorf("%d times are kept", len(r.times))
	}
	if (result{}).quantile(0.99) != 0 || (result{times: []time.Duration{time.Second, 2 * time.Second}}).quantile(1) != 2*time.Second {
		t.Error("quantile")
	}
}
