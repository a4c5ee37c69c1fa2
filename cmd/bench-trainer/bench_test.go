package main

import (
	"context"
	"strings"
	"testing"
)

// calmly returns undisturbed runs of these speeds.
func calmly(speeds ...float64) []run {
	var out []run
	for _, s := range speeds {
		out = append(out, run{speed: s})
	}
	return out
}

func TestTheTableHoldsMediansAndVerdicts(t *testing.T) {
	all := comparisons(true)
	all[0].torch, all[0].ours = calmly(100, 300, 200, 50), calmly(250, 600, 420, 500) // ratios 2.5, 2, 2.1, 10
	all[0].torch[3].others = 0.5
	all[1].torch, all[1].ours = calmly(100), []run{{speed: 500, others: 1}}
	all[4].torch, all[4].ours = calmly(100, 100), calmly(140, 150)
	all[5].torch, all[5].ours = calmly(100), calmly(150)
	var out strings.Builder
	if err := table(&out, []*comparison{all[0], all[1], all[4], all[5]}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	for i, want := range []string{
		"A, 1 core, avx512 3 of 4 200 420 2.10 2.00 to 2.50 2.0 met",
		"A, 2 cores, avx512 0 of 1 - - - - 3.8 unknown",
		"A, 1 core, avx2 2 of 2 100 145 1.45 1.40 to 1.50 1.5 missed",
		"A, 2 cores, avx2 1 of 1 100 150 1.50 1.50 to 1.50 -",
	} {
		if got := strings.Join(strings.Fields(lines[i+1]), " "); got != want {
			t.Errorf("line %d is %q, want %q", i, got, want)
		}
	}
}

func TestParseBusy(t *testing.T) {
	if busy, err := parseBusy("cpu  100 20 30 4000 500 6 7 8 0 0\ncpu0 1"); err != nil || busy != 1.71 {
		t.Errorf("%v s, %v; want 1.71", busy, err)
	}
	for _, bad := range []string{"", "cpu 1 2 3", "cpu0 1 2 3 4 5 6 7 8", "cpu a b c d e f g h"} {
		if _, err := parseBusy(bad); err == nil {
			t.Errorf("accepts %q", bad)
		}
	}
}

func TestWithoutAVX512OnlyAVX2IsCompared(t *testing.T) {
	for _, c := range comparisons(false) {
		if c.set != "avx2" {
			t.Errorf("%s is compared", c.name())
		}
	}
}

func TestSpeedIn(t *testing.T) {
	for line, want := range map[string]float64{
		"pytorch 1.13 A threads=1 steps=7 samples_per_s=1284 best=1300\n": 1284,
		"samples_per_s=0": 0, "samples_per_s=NaN": 0, "samples_per_s=x": 0, "": 0,
	} {
		if got, err := speedIn(line); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q gives %v, %v", line, got, err)
		}
	}
}

func TestOurSideOfBothShapesRuns(t *testing.T) {
	for shape := range shapes {
		b := bench{measure: shape, threads: 2, shard: shardRows, seconds: 1e-9, rounds: 1}
		var out strings.Builder
		if err := b.measureOurs(context.Background(), &out); err != nil {
			t.Fatal(err)
		}
		if speed, err := speedIn(out.String()); err != nil || speed <= 0 {
			t.Errorf("%s: printed %q", shape, out.String())
		}
	}
}

func TestTheCommandLineIsChecked(t *testing.T) {
	if err := (&bench{}).check(); err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("faults: %v", err)
	}
	if err := (&bench{peers: "x", rounds: 1, seconds: 1, threads: 1, shard: 1, measure: "C"}).check(); err == nil {
		t.Error("accepts shape C")
	}
}
