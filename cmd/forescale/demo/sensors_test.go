package demo

import (
	"testing"
	"time"

	"github.com/forescale/forescale/collector/mqtt"
	"github.com/forescale/forescale/internal/fleet"
)

func TestARackFollowsItsLoad(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := &rack{}
	minutes := func(from int, demand float64) (out []fleet.Minute) {
		for i := range 5 {
			out = append(out, fleet.Minute{Time: noon.Add(time.Duration(from+i) * time.Minute), Demand: demand, InService: 10})
		}
		return out
	}
	at := func(from int, demand float64) (watts, celsius float64) {
		payload, n, err := r.payload(minutes(from, demand))
		if err != nil {
			t.Fatal(err)
		}
		values, err := mqtt.Decode(payload, false)
		if err != nil || len(values) != n || n != 10 || !values[0].Time.Equal(noon.Add(time.Duration(from)*time.Minute)) {
			t.Fatalf("%s: %v, %v", payload, values, err)
		}
		for _, v := range values[n-2:] {
			switch v.Metric {
			case metricPower:
				watts = v.Value
			case metricTemperature:
				celsius = v.Value
			}
		}
		return watts, celsius
	}
	idle, cool := at(0, 0)
	if idle != idleWatts || cool != inletCelsius+celsiusPerKilowatt*idleWatts*10/1000 {
		t.Errorf("idle: %g W, %g °C", idle, cool)
	}
	busy, warmer := at(5, 20)
	if busy != busyWatts || warmer <= cool {
		t.Errorf("overloaded: %g W, %g °C", busy, warmer)
	}
	_, warm := at(10, 20)
	if final := inletCelsius + celsiusPerKilowatt*busyWatts*10/1000; warm <= warmer || warm >= final {
		t.Errorf("the air went from %g to %g °C; it follows the power slowly towards %g °C", warmer, warm, final)
	}
}
