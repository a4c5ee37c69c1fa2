package asg_test

import (
	"testing"
	"time"

	"github.com/forescale/forescale/scaler/asg"
)

// BenchmarkCapacities reads 10,000 groups of ten instances and looks at their
// rivals, as a tick does: "full" without a pace, for the work of both sides, and
// "default" at the default pace, for the time.
func BenchmarkCapacities(b *testing.B) {
	for _, c := range []struct {
		name string
		pace float64
	}{{"full", 1e6}, {"default", 0}} {
		b.Run(c.name, func(b *testing.B) {
			cloud, target := simulateWith(b, 10_000, nil, asg.Config{Throttle: asg.NewThrottle(c.pace)})
			for b.Loop() {
				found, err := target.Capacities(b.Context(), names(10_000))
				if err != nil || len(found) != 10_000 {
					b.Fatal(len(found), err)
				}
				b.StopTimer()
				if err := cloud.Advance(cloud.Now().Add(time.Minute)); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
