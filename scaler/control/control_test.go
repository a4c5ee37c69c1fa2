package control

import (
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// order is a valid freeze of web for two hours, given at noon.
func order() api.Control {
	return api.Control{Kind: api.ControlFreeze, Group: "web", Until: noon.Add(2 * time.Hour), Reason: "launch of the sale", By: "ana", At: noon}
}

func TestAnOrderIsValidated(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*api.Control)
		want   string // "": valid
	}{
		{"a freeze of one group", func(c *api.Control) {}, ""},
		{"a pause of all groups", func(c *api.Control) { c.Kind, c.Group = api.ControlPause, api.AllGroups }, ""},
		{"another kind", func(c *api.Control) { c.Kind = "stop" }, `"stop" is neither freeze nor pause`},
		{"no group", func(c *api.Control) { c.Group = "" }, "group must be 1 to 255 bytes"},
		{"a group name that is too long", func(c *api.Control) { c.Group = strings.Repeat("g", 256) }, "group must be 1 to 255 bytes"},
		{"a group name that moves the cursor", func(c *api.Control) { c.Group = "web\x1b[2K" }, "control characters"},
		{"nobody's order", func(c *api.Control) { c.By = " " }, "name of who gives it"},
		{"no reason", func(c *api.Control) { c.Reason = "" }, "reason is 0 characters"},
		{"a blank reason", func(c *api.Control) { c.Reason = "      " }, "reason is 0 characters"},
		{"a reason of three characters, not bytes", func(c *api.Control) { c.Reason = "été" }, ""},
		{"a reason of two characters in four bytes", func(c *api.Control) { c.Reason = "éé" }, "reason is 2 characters"},
		{"the longest reason", func(c *api.Control) { c.Reason = strings.Repeat("ü", 500) }, ""},
		{"a longer one", func(c *api.Control) { c.Reason = strings.Repeat("u", 501) }, "reason is 501 characters"},
		{"a reason over two lines", func(c *api.Control) { c.Reason = "one\ntwo" }, "line breaks"},
		{"a reason that is no text", func(c *api.Control) { c.Reason = "abc\xff" }, "invalid UTF-8"},
		{"an end at the very moment", func(c *api.Control) { c.Until = noon }, "2026-03-02T12:00:00Z, which is past"},
		{"an end in a nanosecond", func(c *api.Control) { c.Until = noon.Add(1) }, ""},
		{"no end", func(c *api.Control) { c.Until = time.Time{} }, "which is past"},
		{"thirty days", func(c *api.Control) { c.Until = noon.Add(30 * 24 * time.Hour) }, ""},
		{"more than thirty days", func(c *api.Control) { c.Until = noon.Add(30*24*time.Hour + 1) }, "more than 30 days"},
		{"an end beyond what a duration holds", func(c *api.Control) { c.Until = noon.AddDate(5000, 0, 0) }, "more than 30 days"},
		{"no moment", func(c *api.Control) { c.At = time.Time{} }, "moment"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := order()
			c.change(&o)
			err := Validate(o)
			if c.want == "" && err != nil {
				t.Error(err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if err := Validate(api.Control{}); len(strings.Split(err.Error(), "\n")) != 5 {
		t.Errorf("an empty order has five faults, told are:\n%v", err)
	}
}

func TestWhichOrderIsInForce(t *testing.T) {
	of := func(kind api.ControlKind, group string, hours int, reason string) api.Control {
		return api.Control{Kind: kind, Group: group, Until: noon.Add(time.Duration(hours) * time.Hour), Reason: reason, By: "ana", At: noon.Add(-time.Hour)}
	}
	for _, c := range []struct {
		name   string
		orders []api.Control
		want   string // the reason; "": none
	}{
		{"none", nil, ""},
		{"another group's", []api.Control{of("freeze", "idle", 1, "other")}, ""},
		{"its own", []api.Control{of("freeze", "web", 1, "own")}, "own"},
		{"that for all", []api.Control{of("freeze", "*", 1, "all")}, "all"},
		{"its own before that for all, though shorter", []api.Control{of("freeze", "*", 9, "all"), of("freeze", "web", 1, "own")}, "own"},
		{"a pause for all before a freeze of its own", []api.Control{of("freeze", "web", 9, "own"), of("pause", "*", 1, "all")}, "all"},
		{"its own pause before that for all", []api.Control{of("pause", "*", 9, "all"), of("pause", "web", 1, "own")}, "own"},
		{"the one that ends later", []api.Control{of("freeze", "web", 1, "short"), of("freeze", "web", 2, "long")}, "long"},
		{"an expired pause gives way", []api.Control{of("pause", "web", 0, "over"), of("freeze", "*", 1, "all")}, "all"},
		{"one that ends now has ended", []api.Control{of("freeze", "web", 0, "over")}, ""},
		{"one that was given after the tick", []api.Control{{Kind: "freeze", Group: "web", Until: noon.Add(time.Hour), Reason: "new", At: noon.Add(time.Minute)}}, "new"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 { // in either order
				got := ""
				if o := InForce(c.orders, "web", noon); o != nil {
					got = o.Reason
				}
				if got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
				for i, j := 0, len(c.orders)-1; i < j; i, j = i+1, j-1 {
					c.orders[i], c.orders[j] = c.orders[j], c.orders[i]
				}
			}
		})
	}
}
