package collector

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/tidy"
)

func table(t *testing.T, text string) *tidy.Table {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tab, err := tidy.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func row(metric string, slot int, v float64) api.Sample {
	return api.Sample{Group: "shop", Metric: metric, Stat: api.DefaultStat(metric), Time: at(slot), Value: v}
}

const reference = `timestamp,cpu_utilization,network_in,request_count,is_sale_active
2026-03-04 12:02:39.753741,13.5,45,390,0.0
2026-03-04 12:07:39.753741,20.25,123,344,1.0
2026-03-04 12:17:39.753741,30,,300,1.0
`

func TestImport(t *testing.T) {
	want := []api.Sample{
		row("cpu_utilization", 0, 13.5), row("network_in", 0, 45), row("request_count", 0, 390), row("is_sale_active", 0, 0),
		row("cpu_utilization", 1, 20.25), row("network_in", 1, 123), row("request_count", 1, 344), row("is_sale_active", 1, 1),
		row("cpu_utilization", 3, 30), row("request_count", 3, 300), row("is_sale_active", 3, 1),
	}
	t.Run("stores the reference project's file on the grid of the clock, gaps as gaps", func(t *testing.T) {
		w := newWorld(t)
		n, err := w.c.Import(t.Context(), table(t, reference), "shop", nil)
		if err != nil {
			t.Fatal(err)
		}
		w.expect(want...)
		if n != len(want) {
			t.Errorf("%d rows reported, want %d", n, len(want))
		}
	})
	t.Run("compares with the rows of its own group only", func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.c.Import(t.Context(), table(t, reference), "shop", nil); err != nil {
			t.Fatal(err)
		}
		for _, q := range w.store.asked {
			if !slices.Equal(q.Groups, []string{"shop"}) {
				t.Errorf("asked the lake for %+v", q)
			}
		}
	})
	t.Run("writes nothing the second time", func(t *testing.T) {
		w := newWorld(t)
		for i := range 2 {
			n, err := w.c.Import(t.Context(), table(t, reference), "shop", nil)
			if err != nil {
				t.Fatal(err)
			}
			if i == 1 && n != 0 {
				t.Errorf("%d rows written again", n)
			}
		}
		w.expect(want...)
	})
	t.Run("lets the file's own flag win over the calendar, which adds its others", func(t *testing.T) {
		w := newWorld(t)
		zero := func(time.Time) float64 { return 0 }
		w.cal = fixedFlags{"is_sale_active": zero, "is_holiday": zero}
		w.restart()
		if _, err := w.c.Import(t.Context(), table(t, reference), "shop", nil); err != nil {
			t.Fatal(err)
		}
		w.expect(append(want, row("is_holiday", 0, 0), row("is_holiday", 1, 0), row("is_holiday", 3, 0))...)
	})
	t.Run("takes the named columns only, and the flags", func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.c.Import(t.Context(), table(t, reference), "shop", map[string]string{"memory_utilization": "network_in"}); err != nil {
			t.Fatal(err)
		}
		w.expect(row("memory_utilization", 0, 45), row("memory_utilization", 1, 123),
			row("is_sale_active", 0, 0), row("is_sale_active", 1, 1), row("is_sale_active", 3, 1))
	})
	t.Run("crosses midnight", func(t *testing.T) {
		w := newWorld(t)
		text := "timestamp,cpu_utilization\n2026-03-04T23:50:00Z,1\n2026-03-04T23:55:00Z,2\n2026-03-05T00:00:00Z,3\n2026-03-05T00:05:00Z,4\n"
		if _, err := w.c.Import(t.Context(), table(t, text), "shop", nil); err != nil {
			t.Fatal(err)
		}
		w.expect(row("cpu_utilization", 142, 1), row("cpu_utilization", 143, 2), row("cpu_utilization", 144, 3), row("cpu_utilization", 145, 4))
	})
	for name, c := range map[string]struct {
		text, group string
		columns     map[string]string
		want        string
	}{
		"names a column that is not there": {reference, "shop", map[string]string{"cpu_utilization": "cpu"}, `"cpu"`},
		"refuses hours in a lake of five minutes": {
			"timestamp,x\n2026-03-04T00:00:00Z,1\n2026-03-04T01:00:00Z,2\n2026-03-04T02:00:00Z,3\n", "shop", nil, "1h0m0s"},
		"refuses a file of a single row":        {"timestamp,x\n2026-03-04T00:00:00Z,1\n", "shop", nil, "step"},
		"refuses a file with flags only":        {"timestamp,is_x\n2026-03-04T00:00:00Z,1\n2026-03-04T00:05:00Z,1\n", "shop", nil, "no column"},
		"refuses a group name of absurd length": {reference, strings.Repeat("x", 300), nil, "longer"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.c.Import(t.Context(), table(t, c.text), c.group, c.columns)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v does not mention %q", err, c.want)
			}
			w.expect()
		})
	}
}
