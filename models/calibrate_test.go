package models

import (
	"slices"
	"testing"
)

func TestCalibrationWidensAndNarrowsAroundThePoint(t *testing.T) {
	for _, tt := range []struct {
		name   string
		factor float64
		want   []float64
	}{
		{"a factor of two doubles every distance", 2, []float64{4, 10, 14}},
		{"a factor of a half halves it", 0.5, []float64{8.5, 10, 11}},
		{"a factor of one changes nothing", 1, []float64{7, 10, 12}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := []float64{7, 10, 12}
			if Calibrate(got, 10, tt.factor); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
