package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/scaler/plan"
)

// past is the tick of the newest record that recorded makes.
var past = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// recorded fills the audit log of a new lake with n ticks, the last one at past, of
// two groups: the load of web has a peak every hour, idle does nothing. mend may
// change a record before it is written.
func recorded(t *testing.T, n int, mend func(*api.TickRecord)) (lake string) {
	t.Helper()
	lake = filepath.Join(t.TempDir(), "lake")
	j := journal.New(openLake(t, lake))
	size := map[string]int{"web": 4, "idle": 2}
	states := map[string]plan.State{}
	for i := range n {
		rec := api.TickRecord{Tick: past.Add(time.Duration(i-n+1) * systemStep), Scaler: "host-1", Version: "dev"}
		for _, name := range []string{"idle", "web"} {
			cpu := map[bool]float64{true: 50, false: 20}[name == "idle"]
			if rec.Tick.Minute() < 15 && name == "web" {
				cpu = 85
			}
			g := plan.Group{Mode: api.ModeLive, Signal: plan.SignalObserved, Min: 2, Max: 6, Step: systemStep, Lead: systemStep, StaleAfter: 2,
				Policies: plan.Policies{Threshold: &plan.Threshold{Out: 70, In: 35, Step: 1}}}
			rec.Configs = []json.RawMessage{marshal(t, g)}
			g.Name = name
			in := plan.Input{Group: g, State: states[name], Tick: rec.Tick, Observation: plan.Observation{
				Capacity: &api.Capacity{InService: size[name], Desired: size[name], Min: 1, Max: 10, ObservedAt: rec.Tick.Add(time.Minute)},
				Slot:     rec.Tick.Add(-systemStep), Values: map[string]float64{api.MetricCPU: cpu}}}
			d, after := plan.Decide(in)
			d.Before = marshal(t, in.State)
			if d.Outcome.Status == "" {
				d.Outcome = api.Outcome{Status: api.OutcomeAccepted, At: rec.Tick.Add(2 * time.Minute)}
				size[name] = d.Desired
			}
			states[name] = after.After(d)
			rec.Decisions = append(rec.Decisions, d)
		}
		if mend != nil {
			mend(&rec)
		}
		if err := j.Append(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
	return lake
}

func marshal(t *testing.T, v any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestADecisionIsExplained(t *testing.T) {
	lake := recorded(t, 40, nil)
	before := content(t, lake)
	newest := invoke(t, "forescale", "explain", "web", "-store", lake)
	newest.said(t, 0, "web at 2026-03-02 12:00 UTC: ", "CPU 85.0 %", "2 desired, 2 in service", "Step by step", "threshold", "What follows from it", "the decision of 12:05", "What changed before",
		"  2026-03-02 11:25 UTC  3 -> 2 instances", "accepted by the provider")
	if at, earlier := strings.Index(newest.stdout, "11:25 UTC"), strings.Index(newest.stdout, "10:10 UTC"); at < 0 || earlier < at {
		t.Errorf("the changes are not in order, the newest first:\n%s", newest.stdout)
	}
	_, list, _ := strings.Cut(newest.stdout, "What changed before\n")
	if n := strings.Count(list, "\n"); n != movesShown {
		t.Errorf("%d changes are told, want %d:\n%s", n, movesShown, list)
	}
	// The decision in force at a moment is that of the last tick before it.
	for at, tick := range map[string]string{"2026-03-02T11:04:59Z": "11:00", "2026-03-02T11:05Z": "11:05", "2026-03-02T12:05:01+01:00": "11:05", "the 1st of May": "", "2026-03-02": "none"} {
		if o := invoke(t, "forescale", "explain", "-at", at, "web", "-store", lake); tick == "" {
			o.expect(t, 2, "-at", "is not a time such as")
		} else if tick == "none" { // a day is its beginning
			o.expect(t, 1, "no record of 2026-03-02 00:00 UTC or before")
		} else {
			o.said(t, 0, "web at 2026-03-02 "+tick+" UTC")
		}
	}
	invoke(t, "forescale", "explain", "idle", "-store", lake).said(t, 0, "idle at 2026-03-02 12:00 UTC: stays at 2 instances", "nothing in the 24h before")
	unchanged(t, lake, before)
}

func TestAnExplanationAsJSON(t *testing.T) {
	lake := recorded(t, 20, nil)
	o := invoke(t, "forescale", "explain", "web", "-store", lake, "-o", "json", "-back", "30m")
	o.said(t, 0)
	var a answer
	if err := json.Unmarshal([]byte(o.stdout), &a); err != nil {
		t.Fatalf("%v:\n%s", err, o.stdout)
	}
	if !a.Tick.Equal(past) || a.Scaler != "host-1" || a.Decision.Group != "web" || len(a.Decision.Reasons) == 0 || a.Config == nil {
		t.Errorf("got %+v", a)
	}
	if len(a.Explanation) < 10 || !strings.HasPrefix(a.Explanation[0], "web at ") {
		t.Errorf("explanation %q", a.Explanation)
	}
	for _, m := range a.Moves {
		if m.Tick.Before(past.Add(-30*time.Minute)) || !m.Tick.Before(past) || m.What == "" || m.Why == "" {
			t.Errorf("a change within the 30 minutes before is %+v", m)
		}
	}
}

func TestWhatCannotBeExplainedIsTold(t *testing.T) {
	lake := recorded(t, 3, nil)
	empty := t.TempDir()
	write(t, filepath.Join(empty, "part"), []byte("x"))
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no group", []string{"-store", lake}, 2, "name one group"},
		{"two groups", []string{"web", "idle", "-store", lake}, 2, "name one group"},
		{"a group that is not there", []string{"wbe", "-store", lake}, 1, `there is no group "wbe"; there is idle, web`},
		{"a time before the first record", []string{"web", "-at", "2026-03-01T00:00Z", "-store", lake}, 1, "no record of 2026-03-01 00:00 UTC or before"},
		{"another shard", []string{"web", "-shard", "dry-run", "-store", lake}, 1, "no record (shard dry-run)"},
		{"no audit log", []string{"web", "-store", empty}, 1, "no scaler has decided"},
		{"a length that is none", []string{"web", "-back", "x", "-store", lake}, 2, "-back"},
		{"a form that is none", []string{"web", "-o", "yaml", "-store", lake}, 2, `"yaml" is not table or json`},
	} {
		t.Run(c.name, func(t *testing.T) {
			invoke(t, "forescale", append([]string{"explain"}, c.args...)...).expect(t, c.code, c.want)
		})
	}
	t.Run("a group that has left the fleet", func(t *testing.T) {
		lake := recorded(t, 4, func(rec *api.TickRecord) {
			if rec.Tick.Equal(past) {
				rec.Decisions = rec.Decisions[:1]
			}
		})
		o := invoke(t, "forescale", "explain", "web", "-store", lake)
		o.expect(t, 0, "does not know web any more")
		o.said(t, 0, "web at 2026-03-02 11:55 UTC")
	})
}

func TestTheAuditLogIsReplayed(t *testing.T) {
	lake := recorded(t, 30, nil)
	before := content(t, lake)
	day := []string{"-from", "2026-03-02T00:00Z", "-to", "2026-03-03T00:00Z"}
	for want, args := range map[string][]string{
		"replayed 1 records with 2 decisions: 0 differences":   {},
		"replayed 30 records with 60 decisions: 0 differences": day,
		"replayed 30 records with 30 decisions: 0 differences": append([]string{"web"}, day...),
		"replayed 12 records with 24 decisions: 0 differences": {"-from", "2026-03-02T10:00Z", "-to", "2026-03-02T11:00Z"},
		"replayed 7 records with 14 decisions: 0 differences":  {"-from", "2026-03-02T11:30Z"},
		"replayed 29 records with 29 decisions: 0 differences": {"idle", "-from", "0001-01-02", "-to", "2026-03-02T12:00Z"}, // an hour at a time would never end
		"replayed 1 records with 1 decisions: 0 differences":   {"idle", "-at", "2026-03-02T11:33Z"},
	} {
		o := invoke(t, "forescale", append([]string{"replay", "-store", lake}, args...)...)
		if o.said(t, 0, want); strings.Contains(o.stdout, "was decided by") {
			t.Errorf("the same version is told apart:\n%s", o.stdout)
		}
	}
	unchanged(t, lake, before)
}

func TestADecisionThatWouldNotBeMadeAgainIsShown(t *testing.T) {
	spoilt := past.Add(-10 * time.Minute)
	lake := recorded(t, 12, func(rec *api.TickRecord) {
		if rec.Tick.Equal(spoilt) {
			rec.Version = "v0.9.1"
			rec.Decisions[1].Reasons[0].Detail += "."
			rec.Decisions[1].Wanted++
		}
	})
	from := []string{"replay", "-store", lake, "-from", "2026-03-02T11:00Z", "-to", "2026-03-03T00:00Z"}
	o := invoke(t, "forescale", from...)
	o.expect(t, 1, "2 differences between records and replay")
	o.said(t, 1, "2026-03-02 11:50 UTC  web: reasons[0].detail: recorded is ", "2026-03-02 11:50 UTC  web: wanted: recorded is ",
		"replayed 12 records with 24 decisions: 2 differences", "this program is dev; it was decided by v0.9.1")
	invoke(t, "forescale", append(from, "idle")...).said(t, 0, "12 decisions: 0 differences")
	invoke(t, "forescale", "replay", "-store", lake, "-at", "2026-03-02T11:49Z").said(t, 0, "0 differences")
}

func TestARecordThatCannotBeReplayedFailsTheReplay(t *testing.T) {
	lake := recorded(t, 3, func(rec *api.TickRecord) {
		if rec.Tick.Equal(past) {
			rec.Decisions[0].Before = nil
		}
	})
	o := invoke(t, "forescale", "replay", "-store", lake)
	o.expect(t, 1, "1 decisions could not be replayed")
	o.said(t, 1, "cannot be replayed: group idle: the record has not the state before the decision")
	invoke(t, "forescale", "replay", "-store", lake, "web").said(t, 0, "0 differences")
	invoke(t, "forescale", "replay", "-store", lake, "wbe").expect(t, 1, `there is no group "wbe"`)

	key := journal.New(nil).Key(past.Add(-systemStep))
	if _, err := openLake(t, lake).Put(t.Context(), key, []byte("{"), blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	o = invoke(t, "forescale", "replay", "-store", lake, "-from", "2026-03-02T00:00Z", "web")
	o.expect(t, 1, key)
	o.said(t, 1, "replayed 2 records with 2 decisions: 0 differences")
	invoke(t, "forescale", "explain", "web", "-store", lake).expect(t, 0, "warning", key)
}

func TestTheRangeOfAReplayIsChecked(t *testing.T) {
	lake := recorded(t, 1, nil)
	for want, args := range map[string][]string{
		"-to needs -from":             {"-to", "2026-03-02T12:00Z"},
		"-at and -from, -to exclude":  {"-at", "2026-03-02T12:00Z", "-from", "2026-03-02T11:00Z"},
		"is not before -to":           {"-from", "2026-03-02T12:00Z", "-to", "2026-03-02T12:00Z"},
		`-from: "noon" is not a time`: {"-from", "noon"},
		"-store URL or -config FILE":  {"-store", ""},
	} {
		invoke(t, "forescale", append([]string{"replay", "-store", lake}, args...)...).expect(t, 2, want)
	}
	invoke(t, "forescale", "replay", "-store", lake, "-from", "2026-03-03T00:00Z", "-to", "2026-03-04T00:00Z").expect(t, 1, "no record from 2026-03-03 00:00 UTC")
}
