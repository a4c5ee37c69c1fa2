package plan

import (
	"slices"
	"testing"
	"time"
)

func TestRemindEntersOnlyThePeaksThatAreNotKnown(t *testing.T) {
	day := func(n int) time.Time { return time.Unix(int64(n)*24*60*60, 0).UTC() }
	own := State{}.Recall(day(20), 12*time.Hour, []float64{3, 4, 5, 6}) // of days 20 and 21
	past := []float64{1, 9, 2, 8, 7, 1}                                 // of days 18, 19 and 20
	got := own.Remind(day(18), 12*time.Hour, past).Calibration
	if want := []Peak{{18, 9}, {19, 8}, {20, 7}, {21, 6}}; !slices.Equal(got.Peaks, want) {
		t.Errorf("peaks %v", got.Peaks)
	}
	if !got.Slot.Equal(own.Calibration.Slot) || !slices.Equal(got.Recent, own.Calibration.Recent) || len(own.Calibration.Peaks) != 2 {
		t.Errorf("more than the peaks has changed: %+v", got)
	}
	long := make([]float64, 2*30)
	if got := own.Remind(day(-10), 12*time.Hour, long).Calibration.Peaks; len(got) != peakDays || got[peakDays-1].Day != 21 || got[0].Day != 8 {
		t.Errorf("peaks of a long past: %v", got)
	}
}
