package batch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestEveryGroupIsInExactlyOneShard(t *testing.T) {
	var groups []string
	for i := range 2000 {
		groups = append(groups, fmt.Sprintf("service-%d", i))
	}
	for _, n := range []int{1, 2, 3, 7, 64} {
		var all []string
		for i := range n {
			own := Shard{Index: i, Count: n}.Of(groups)
			all = append(all, own...)
			if share := float64(len(own)) * float64(n) / float64(len(groups)); n <= 7 && (share < 0.8 || share > 1.2) {
				t.Errorf("shard %d/%d has %d of %d groups", i, n, len(own), len(groups))
			}
		}
		slices.Sort(all)
		if want := slices.Sorted(slices.Values(groups)); !slices.Equal(all, want) {
			t.Errorf("%d shards have %d groups of %d together", n, len(all), len(groups))
		}
	}
}

// Shards of two versions may run side by side: the rule must never change.
func TestAGroupKeepsItsShardForEver(t *testing.T) {
	for group, want := range map[string]int{"web": 6, "api": 5, "": 1, "größe/1": 0} {
		for i := range 7 {
			if got := (Shard{Index: i, Count: 7}).Has(group); got != (i == want) {
				t.Errorf("%q in shard %d/7: %v", group, i, got)
			}
		}
	}
}

func TestAShardIsSaidOrFoundInTheEnvironment(t *testing.T) {
	kubernetes := map[string]string{"JOB_COMPLETION_INDEX": "2"}
	aws := map[string]string{"AWS_BATCH_JOB_ARRAY_INDEX": "0", "AWS_BATCH_JOB_ARRAY_SIZE": "4"}
	for name, c := range map[string]struct {
		text string
		env  map[string]string
		want Shard
		err  string
	}{
		"said":                     {"3/4", kubernetes, Shard{3, 4}, ""},
		"the only one":             {"0/1", nil, Shard{0, 1}, ""},
		"Kubernetes":               {"auto/4", kubernetes, Shard{2, 4}, ""},
		"AWS Batch":                {"auto/4", aws, Shard{0, 4}, ""},
		"no indexed job":           {"auto/4", nil, Shard{}, "neither JOB_COMPLETION_INDEX nor AWS_BATCH_JOB_ARRAY_INDEX"},
		"an array of another size": {"auto/5", aws, Shard{}, "AWS_BATCH_JOB_ARRAY_SIZE is \"4\""},
		"two that disagree": {"auto/4", map[string]string{"JOB_COMPLETION_INDEX": "2", "AWS_BATCH_JOB_ARRAY_INDEX": "1"},
			Shard{}, "say i/n"},
		"an index too large":     {"auto/2", kubernetes, Shard{}, "JOB_COMPLETION_INDEX: index \"2\" must be 0 to 1"},
		"counted from one":       {"4/4", nil, Shard{}, "0 to 3"},
		"negative":               {"-1/4", nil, Shard{}, "0 to 3"},
		"no count":               {"3", nil, Shard{}, "must be i/n"},
		"no shards":              {"0/0", nil, Shard{}, "must be i/n"},
		"words":                  {"one/two", nil, Shard{}, "must be i/n"},
		"no index":               {"/4", nil, Shard{}, "0 to 3"},
		"too many":               {"0/100001", nil, Shard{}, "from 1 to 100000"},
		"rubbish in environment": {"auto/4", map[string]string{"JOB_COMPLETION_INDEX": "x"}, Shard{}, "JOB_COMPLETION_INDEX"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseShard(c.text, func(key string) string { return c.env[key] })
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) || err == nil && got != c.want {
				t.Errorf("%v, %v; want %v, %q", got, err, c.want, c.err)
			}
		})
	}
}

func TestSizesAreReadWithTheirUnits(t *testing.T) {
	for text, want := range map[string]int64{
		"2GiB": 2 << 30, "1.5GiB": 3 << 29, "512Mi": 512 << 20, "100MB": 1e8, "7 kB": 7000, "64": 64, "1TiB": 1 << 40, "3B": 3,
		"": 0, "GiB": 0, "-1GiB": 0, "0": 0, "2 gigs": 0, "NaN": 0, "1e30GiB": 0, "Inf": 0, "0.5": 0,
	} {
		got, err := ParseSize(text)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
}
