package trainer

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/forescale/forescale/internal/window"
)

// fleet returns groups of different size and shape, each of so many days.
func fleet(groups, days int) []Data {
	var all []Data
	for i := range groups {
		g := history(days, uint64(i+1))
		g.Group = fmt.Sprintf("group-%02d", i)
		delete(g.Columns, "request_count")
		resize(g, math.Pow(10, float64(i%5-2)))
		all = append(all, Data{Grid: g})
	}
	return all
}

// resize multiplies a group's demand.
func resize(g *window.Grid, by float64) {
	for i := range g.Columns["demand"] {
		g.Columns["demand"][i] *= by
	}
}

func trainShared(t *testing.T, c Config, groups []Data) *SharedResult {
	t.Helper()
	r, err := TrainShared(context.Background(), c, groups)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSharedTry(t *testing.T) {
	quickRecipe(t, PresetFast)
	c := quick(PresetFast)
	c.Compare = 3
	r := trainShared(t, c, fleet(6, 6))
	fmt.Println(r.Notes, len(r.Model), r.Report.Split, r.Report.Windows, r.Report.Shares, r.Manifest.Calibration)
	for k := range r.Report.Horizons {
		h := r.Report.Horizons[k]
		fmt.Printf("%+v %v\n", h.Model, *h.Model.Coverage90)
		fmt.Printf("%+v\n%+v\n", r.Report.Comparison.Shared[k].Model, r.Report.Comparison.Own[k].Model)
	}
}
