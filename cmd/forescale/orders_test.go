package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/scaler/control"
)

// installation makes a data lake with one record of the audit log, which knows the
// groups web and idle, and a configuration that lists the same.
func installation(t *testing.T) (lake, config string) {
	t.Helper()
	dir := t.TempDir()
	lake, config = filepath.Join(dir, "lake"), filepath.Join(dir, "forescale.yaml")
	now := time.Now().UTC().Truncate(time.Minute)
	rec := api.TickRecord{Tick: now.Add(-time.Minute), Decisions: []api.Decision{{Group: "idle"}, {Group: "web"}}}
	if err := journal.New(openLake(t, lake)).Append(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	write(t, config, fmt.Appendf(nil, "data: %s\nscaler:\n  groups:\n    - name: web\n    - name: idle\n", lake))
	return lake, config
}

func openLake(t *testing.T, url string) blob.Store {
	t.Helper()
	store, err := blob.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// said checks the exit code and that each part is on the standard output.
func (o outcome) said(t *testing.T, code int, parts ...string) {
	t.Helper()
	o.expect(t, code)
	for _, part := range parts {
		if !strings.Contains(o.stdout, part) {
			t.Errorf("the output does not say %q:\n%s%s", part, o.stdout, o.stderr)
		}
	}
}

func TestOrdersAreGivenShownAndTakenBack(t *testing.T) {
	lake, config := installation(t)
	invoke(t, "forescale", "controls", "-store", lake).said(t, 0, "no order is in force")
	invoke(t, "forescale", "freeze", "web", "-for", "2h", "-reason", "release 4.2", "-by", "ana", "-config", config).
		said(t, 0, "web is frozen until ", "(2h), by ana: release 4.2", "a live breach still adds")
	invoke(t, "forescale", "pause", "-all", "-for", "7d", "-reason", "we move", "-by", "ben", "-store", lake).
		said(t, 0, "all groups are paused until ", "none is carried out")
	invoke(t, "forescale", "freeze", "-for=30m", "-reason", "metrics are broken", "-store", lake, "idle", "-by", "ana").
		said(t, 0, "idle is frozen", "the pause goes before it: all groups are paused until ")

	table := invoke(t, "forescale", "controls", "-config", config)
	table.said(t, 0, "GROUP", "REASON")
	lines := strings.Split(strings.TrimSpace(table.stdout), "\n")
	for i, want := range [][]string{{"GROUP"}, {"all groups", "pause", "6d 23h", "ben", "we move"}, {"idle", "freeze", "29m", "ana", "broken"}, {"web", "freeze", "1h 59m", "ana", "release 4.2"}} {
		for _, part := range want {
			if len(lines) != 4 || !strings.Contains(lines[i], part) {
				t.Errorf("line %d does not say %q:\n%s", i, part, table.stdout)
			}
		}
	}
	cs, err := control.New(openLake(t, lake)).List(t.Context())
	if err != nil || len(cs) != 3 {
		t.Fatalf("%v, %v", cs, err)
	}
	if c := control.InForce(cs, "web", time.Now()); c == nil || c.Kind != api.ControlPause || c.Until.Sub(c.At) != 7*24*time.Hour {
		t.Errorf("in force for web is %+v", c)
	}

	invoke(t, "forescale", "resume", "web", "-config", config).expect(t, 1, "an order still holds web: all groups are paused until", "resume -all")
	invoke(t, "forescale", "resume", "-all", "-config", config).said(t, 0, "all groups are no longer paused", "by its own order, idle is frozen until")
	invoke(t, "forescale", "resume", "-store", lake, "idle", "web").expect(t, 1, "web is neither frozen nor paused")
	invoke(t, "forescale", "controls", "-store", lake).said(t, 0, "no order is in force")
}

func TestWhoGivesAnOrderIsKnownByDefault(t *testing.T) {
	lake, _ := installation(t)
	invoke(t, "forescale", "freeze", "web", "-for", "1h", "-reason", "release", "-store", lake).said(t, 0, "by "+login()+": release")
}

func TestAnOrderAtFaultIsRefusedAndGivesNone(t *testing.T) {
	lake, config := installation(t)
	missing := filepath.Join(t.TempDir(), "lost")
	empty := t.TempDir()
	before := content(t, lake)
	full := func(args ...string) []string { return append(args, "-reason", "release 4.2", "-by", "ana") }
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"nothing at all", nil, 2, "-store URL or -config FILE is needed"},
		{"no length", full("web", "-store", lake), 2, "-for is missing"},
		{"no reason", []string{"web", "-for", "1h", "-store", lake}, 2, "-reason is missing"},
		{"no group", full("-for", "1h", "-store", lake), 2, "name the groups, or say -all"},
		{"a group and all", full("-all", "web", "-for", "1h", "-store", lake), 2, "exclude each other"},
		{"the star of a shell", full("*", "-for", "1h", "-store", lake), 2, "say -all"},
		{"a group that is not configured", full("wbe", "-for", "1h", "-config", config), 2, `there is no group "wbe"; there is web, idle`},
		{"a length that is none", full("web", "-for", "soon", "-store", lake), 2, `"soon" is no length of time`},
		{"a length of nothing", full("web", "-for", "0s", "-store", lake), 2, "-for 0s: must be at least 1 minute"},
		{"a length that no tick would see", full("web", "-for", "1ns", "-store", lake), 2, "-for 1ns: must be at least 1 minute"},
		{"a negative length", full("web", "-for", "-2h", "-store", lake), 2, "-for -2h: must be at least 1 minute"},
		{"more than a month", full("web", "-for", "31d", "-store", lake), 2, "at most 30 days"},
		{"a reason that says nothing", []string{"web", "-for", "1h", "-reason", "x", "-store", lake}, 2, "reason is 1 characters long"},
		{"a reason that clears the screen", []string{"web", "-for", "1h", "-reason", "abc\x1b[2J", "-store", lake}, 2, "control characters"},
		{"two places", full("web", "-for", "1h", "-store", lake, "-config", config), 2, "exclude each other"},
		{"a configuration that is not there", full("web", "-for", "1h", "-config", missing), 2, missing},
		{"a store of an unknown kind", full("web", "-for", "1h", "-store", "ftp://x"), 2, `unknown scheme "ftp"`},
		{"a lake that is not there", full("web", "-for", "1h", "-store", missing), 1, missing},
		{"a lake in which nobody has worked", full("web", "-for", "1h", "-store", empty), 1, "is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			invoke(t, "forescale", append([]string{"freeze"}, c.args...)...).expect(t, c.code, c.want)
			unchanged(t, lake, before)
		})
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("a misspelt lake was made")
	}
	invoke(t, "forescale", "resume", "web", "-store", lake).expect(t, 1, "web is neither frozen nor paused")
	invoke(t, "forescale", "controls", "more", "-store", lake).expect(t, 2, `"more"`)
}

func TestAGroupThatTheAuditLogDoesNotKnowIsDoubted(t *testing.T) {
	lake, _ := installation(t)
	invoke(t, "forescale", "freeze", "wbe", "-for", "1h", "-reason", "release", "-store", lake).
		expect(t, 0, "warning:", `there is no group "wbe"; there is idle, web`)
}

func TestUnreadableOrdersAreLeftAlone(t *testing.T) {
	lake, _ := installation(t)
	if _, err := openLake(t, lake).Put(context.Background(), control.Key, []byte(`{"format":`), blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	before := content(t, lake)
	for _, args := range [][]string{{"controls"}, {"resume", "-all"}, {"freeze", "-all", "-for", "1h", "-reason", "release"}} {
		invoke(t, "forescale", append(args, "-store", lake)...).expect(t, 1, control.Key, "move it away")
		unchanged(t, lake, before)
	}
}
