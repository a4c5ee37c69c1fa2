package gate

import (
	"strings"
	"testing"
)

func TestRollBack(t *testing.T) {
	counts := func(level float64, slots, covered int) Counts { return Counts{level, slots, covered} }
	for _, c := range []struct {
		name        string
		in          Live
		back, alert bool
		why         string
	}{
		{"as promised", Live{8, 7, false, []Counts{counts(0.9, 1000, 900)}}, false, false, "within its band"},
		{"at the lower end of the band", Live{8, 7, false, []Counts{counts(0.9, 1000, 850)}}, false, false, "within"},
		{"just below it", Live{8, 7, false, []Counts{counts(0.9, 1000, 849)}}, true, true, "version 8: 84.90 % of the actual values are at or below the 90 % quantile; the band is 85 to 99 %, over 1000 live slots"},
		{"just above its upper end", Live{8, 7, false, []Counts{counts(0.9, 1000, 991)}}, true, true, "99.10 %"},
		{"one level of two", Live{8, 7, false, []Counts{counts(0.9, 1000, 900), counts(0.99, 1000, 930)}}, true, true, "99 % quantile"},
		{"a band that ends at all of them", Live{8, 7, false, []Counts{counts(0.99, 1000, 1000)}}, false, false, "within"},
		{"too few slots, however bad", Live{8, 7, false, []Counts{counts(0.9, 575, 0)}}, false, false, "not known well enough"},
		{"just enough", Live{8, 7, false, []Counts{counts(0.9, 576, 0)}}, true, true, "0.00 %"},
		{"no slots", Live{8, 7, false, []Counts{counts(0.9, 0, 0)}}, false, false, "not known"},
		{"no levels", Live{8, 7, false, nil}, false, false, "no coverage of an upper quantile"},
		{"a lower level says nothing", Live{8, 7, false, []Counts{counts(0.1, 1000, 900)}}, false, false, "no coverage of an upper quantile"},
		{"counts that cannot be", Live{8, 7, false, []Counts{counts(0.9, 1000, 2000), counts(0.9, 1000, -1)}}, false, false, "not known"},
		{"nothing to go back to", Live{8, 0, false, []Counts{counts(0.9, 1000, 500)}}, false, true, "no former version"},
		{"never to and fro", Live{7, 8, true, []Counts{counts(0.9, 1000, 500)}}, false, true, "version 8 was rolled back itself"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := DefaultConfig().RollBack.Judge(c.in)
			if v.RollBack != c.back || v.Alert != c.alert || !strings.Contains(v.Why, c.why) {
				t.Errorf("got %+v", v)
			}
			if want := map[bool]int{true: c.in.Former}[c.back]; v.To != want {
				t.Errorf("back to %d, want %d", v.To, want)
			}
		})
	}
}
