package fleet

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestDescribeAutoScalingGroupsSelectsByTags(t *testing.T) {
	d := &Demand{Start: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), Step: 5 * time.Minute, Slots: make([]float64, 12), Missing: make([]bool, 12), Unit: 1}
	c, err := New(Config{Start: d.Start, Now: d.Start.Add(time.Minute), Groups: []GroupConfig{
		{Name: "a", Demand: d, Tags: map[string]string{"team": "blue", "tier": "1"}},
		{Name: "b", Demand: d, Tags: map[string]string{"team": "red"}},
		{Name: "c", Demand: d},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		form url.Values
		want string // names of groups, or the code of the error
	}{
		"none selects all":                 {url.Values{}, "a b c"},
		"a value":                          {filters("tag:team", "red"), "b"},
		"one of several values":            {filters("tag:team", "red", "blue"), "a b"},
		"a key with any value":             {filters("tag-key", "tier"), "a"},
		"a filter that there is not":       {filters("size", "9"), "ValidationError"},
		"a tag that nobody has":            {filters("tag:none", "x"), ""},
		"values are not parts of the text": {filters("tag:team", "re"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			out, fault := c.describeGroups(request{tc.form, caller{account: simulatedAccount}})
			var got []string
			if fault != nil {
				got = append(got, fault.Code)
			} else {
				for _, g := range out.(*xmlGroupsResult).Groups {
					got = append(got, g.Name)
				}
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("got %v, want %q", got, tc.want)
			}
		})
	}
}

// filters returns a form with one filter.
func filters(name string, values ...string) url.Values {
	f := url.Values{"Filters.member.1.Name": {name}}
	for i, v := range values {
		f.Set("Filters.member.1.Values.member."+string(rune('1'+i)), v)
	}
	return f
}
