package calendar

import (
	"fmt"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

// BenchmarkFlag asks as training does: every slot of a window ahead, window by
// window. A training run of 20,000 windows asks about 13 times per window and flag.
func BenchmarkFlag(b *testing.B) {
	for _, n := range []int{0, 20, 1000} {
		var events []api.Event
		for i := range n {
			from := day.AddDate(0, 0, i)
			events = append(events, api.Event{Name: "event", Start: from, End: from.Add(12 * time.Hour), Flags: map[string]float64{"is_holiday": 1}})
		}
		c, err := New(events, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			for i := range b.N {
				c.Flag("is_holiday", day.Add(time.Duration(i/13+i%13)*5*time.Minute))
			}
		})
	}
}
