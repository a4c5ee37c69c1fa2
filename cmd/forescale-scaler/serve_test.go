package main

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// What a scaler knew when it last led is no longer true: while it stands by, it only
// says that it does.
func TestAScalerThatStandsByTellsNothingElse(t *testing.T) {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "forescale_scaler_brake_pulled"})
	gauge.Set(1)
	for leading, want := range map[bool]string{
		false: "forescale_scaler_leader 0\n",
		true:  "forescale_scaler_leader 1\nforescale_scaler_brake_pulled 1\n",
	} {
		all := led{gauge, func() bool { return leading }}
		if n := testutil.CollectAndCount(all); n != strings.Count(want, "\n") {
			t.Errorf("leading %t: %d metrics", leading, n)
		}
		var expected strings.Builder
		for line := range strings.Lines(want) {
			name, _, _ := strings.Cut(line, " ")
			help := map[string]string{"forescale_scaler_leader": "1 while this scaler runs the ticks, 0 while it stands by in an election."}[name]
			expected.WriteString("# HELP " + name + " " + help + "\n# TYPE " + name + " gauge\n" + line)
		}
		if err := testutil.CollectAndCompare(all, strings.NewReader(expected.String())); err != nil {
			t.Error(err)
		}
	}
}
