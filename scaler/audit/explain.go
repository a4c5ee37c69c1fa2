package audit

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler/plan"
)

// Explain returns, over several lines, why a decision of a record is what it is:
// the result first, then what was known, the state that it met, each step from the
// present size to the desired one, and what came of it. All times are UTC.
func Explain(rec api.TickRecord, d api.Decision) string {
	e := explanation{rec: rec, d: d, config: configOf(rec, d)}
	e.headline()
	if d.Capacity.Known() {
		e.summary()
	}
	e.known()
	e.state()
	e.steps()
	e.outcome()
	e.next()
	return e.String()
}

// configOf returns the group's configuration as the record has it, nil when it has
// none that this version can read.
func configOf(rec api.TickRecord, d api.Decision) *plan.Group {
	if d.Config < 0 || d.Config >= len(rec.Configs) {
		return nil
	}
	var g plan.Group
	if json.Unmarshal(rec.Configs[d.Config], &g) != nil {
		return nil
	}
	return &g
}

// explanation is the text under way.
type explanation struct {
	text
	rec    api.TickRecord
	d      api.Decision
	config *plan.Group // nil: not in the record
}

// headline says what became of the group.
func (e *explanation) headline() {
	d := e.d
	e.line("%s at %s: %s", clean(d.Group), d.Tick.UTC().Format("2006-01-02 15:04 UTC"), Result(d))
}

// Result says in a few words what a decision came to, for example "4 -> 6
// instances, accepted by the provider".
func Result(d api.Decision) string {
	switch {
	case !d.Capacity.Known():
		return "nothing was decided, the size of the group is unknown"
	case d.Desired == d.Capacity.Desired:
		return fmt.Sprintf("stays at %s", count(d.Desired, "instance"))
	}
	change := fmt.Sprintf("%d -> %s", d.Capacity.Desired, count(d.Desired, "instance"))
	switch d.Outcome.Status {
	case api.OutcomeAccepted:
		return change + ", accepted by the provider"
	case api.OutcomeDryRun:
		if paused(d) {
			return change + " is what it would have done (paused)"
		}
		return change + " is what it would have done (dry-run)"
	case api.OutcomeFailed:
		return change + ", which FAILED"
	case api.OutcomeSkipped:
		return change + ", not carried out"
	}
	return change + ", not yet carried out"
}

// paused reports whether an order took the scaler's hands off the group.
func paused(d api.Decision) bool { return d.Control != nil && d.Control.Kind == api.ControlPause }

// summary names the step that had the last word.
func (e *explanation) summary() {
	d := e.d
	if r := decisive(d); r != nil {
		e.entry("because", "%s: %s", r.Rule, r.Detail)
	}
	if d.Wanted != d.Desired {
		e.entry("", "The policy wanted %d; guardrails left %d.", d.Wanted, d.Desired)
	}
}

// decisive returns the reason that the result rests on: the last one that changed
// the number, otherwise the last one; nil when there is none.
func decisive(d api.Decision) *api.Reason {
	for i := len(d.Reasons) - 1; i >= 0; i-- {
		if r := d.Reasons[i]; r.From != r.To {
			return &r
		}
	}
	if len(d.Reasons) == 0 {
		return nil
	}
	return &d.Reasons[len(d.Reasons)-1]
}

// known tells what was measured, seen and forecast.
func (e *explanation) known() {
	e.section("What was known")
	e.load()
	e.capacity()
	e.forecast()
	switch e.d.Basis {
	case api.BasisPredictive:
		e.entry("basis", "the forecast and the live load, whichever asks for more")
	case api.BasisReactive:
		e.entry("basis", "the live load alone")
	case api.BasisHold:
		e.entry("basis", "no metrics that can be trusted: hold or grow, never shrink")
	}
}

func (e *explanation) load() {
	d := e.d
	if len(d.Observed) == 0 {
		e.entry("load", "unknown: nothing was measured lately")
		return
	}
	var parts []string
	for _, name := range seriesOf(d.Observed) {
		parts = append(parts, measured(name, d.Observed[name]))
	}
	slot := "of the slot " + e.clock(d.ObservedAt)
	if e.config != nil {
		end := d.ObservedAt.Add(e.config.Step)
		slot += "-" + e.clock(end)
		if age := d.Tick.Sub(end); age != 0 {
			slot += fmt.Sprintf(", %s before this tick", span(age))
		}
	}
	e.entry("load", "%s; %s", strings.Join(parts, ", "), slot)
}

// seriesOf returns the names of measured values, what decides before the rest.
func seriesOf(values map[string]float64) []string {
	var names []string
	for name := range values {
		names = append(names, name)
	}
	first := []string{api.SeriesDemand, api.MetricCPU}
	place := func(name string) int {
		if i := slices.Index(first, name); i >= 0 {
			return i
		}
		return len(first)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(place(a)-place(b), strings.Compare(a, b)) })
	return names
}

func measured(name string, v float64) string {
	switch name {
	case api.SeriesDemand:
		return fmt.Sprintf("demand %.2f (fully busy instances' worth of work)", v)
	case api.MetricCPU:
		return fmt.Sprintf("CPU %.1f %%", v)
	}
	return fmt.Sprintf("%s %.6g", name, v)
}

func (e *explanation) capacity() {
	d, c := e.d, e.d.Capacity
	if !c.Known() {
		e.entry("size", "unknown: %s", cmp.Or(d.CapacityError, "the provider did not say"))
		return
	}
	what := fmt.Sprintf("%d desired, %d in service", c.Desired, c.InService)
	for _, part := range []struct {
		n    int
		what string
	}{{c.Pending, "starting"}, {c.Protected, "protected from scale-in"}, {c.Warm, "in the warm pool"}} {
		if part.n > 0 {
			what += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	what += fmt.Sprintf("; bounds of the provider %d to %d", c.Min, c.Max)
	if g := e.config; g != nil {
		own := fmt.Sprint(g.Max)
		if g.Max == 0 {
			own = "any"
		}
		what += fmt.Sprintf(", configured %d to %s", g.Min, own)
	}
	if !c.ObservedAt.IsZero() {
		what += "; seen at " + c.ObservedAt.UTC().Format("15:04:05")
	}
	e.entry("size", "%s", what)
	if c.LaunchError != "" {
		e.entry("launch", "the newest one failed: %s", c.LaunchError)
	}
	for _, r := range c.Rivals {
		e.entry("rival", "%s: %s", r.Kind, r.Detail)
	}
}

// state tells the state that the decision met.
func (e *explanation) state() {
	e.section("The state that it met")
	d := e.d
	e.entry("mode", "%s", map[api.Mode]string{
		api.ModeLive:   "live: decisions are carried out",
		api.ModeDryRun: "dry-run: decisions are recorded and change nothing",
	}[d.Mode])
	if d.Safety != "" {
		e.entry("safety", "%s", safety(d.Safety))
	}
	if m := d.Moved; m != nil {
		e.entry("", "moved just now, from %s to %s: %s", m.From, m.To, m.Why)
	}
	if c := d.Control; c != nil {
		whom := "this group"
		if c.Group == api.AllGroups {
			whom = "all groups"
		}
		e.entry("order", "%s of %s until %s, given by %s at %s: %s", c.Kind, whom, e.clock(c.Until), c.By, e.clock(c.At), c.Reason)
	} else {
		e.entry("order", "none in force")
	}
	e.cooldowns()
}

func safety(s api.SafetyState) string {
	meaning := map[api.SafetyState]string{
		api.SafetyPredictive: "forecasts decide, and the live load can only add to them",
		api.SafetyStale:      "no metrics that can be trusted: hold or grow, never shrink",
		api.SafetyDrift:      "what came true falls out of the forecasts' band, so the live load decides",
		api.SafetyNoModel:    "there is no usable forecast, so the live load decides",
		api.SafetyFrozen:     "by order never smaller; a live breach still adds",
		api.SafetyPaused:     "by order decided and recorded, not carried out",
	}[s]
	if meaning == "" {
		return string(s)
	}
	return fmt.Sprintf("%s: %s", s, meaning)
}

// cooldowns reads from the state before the decision when the group last acted.
func (e *explanation) cooldowns() {
	var s plan.State
	if len(e.d.Before) == 0 {
		e.entry("cooldowns", "not in the record")
		return
	}
	if err := json.Unmarshal(e.d.Before, &s); err != nil {
		e.entry("cooldowns", "the record's state cannot be read by this version: %v", err)
		return
	}
	e.entry("cooldowns", "last scale-out %s, last scale-in %s", e.ago(s.LastOut), e.ago(s.LastIn))
	if g := e.config; g != nil {
		e.entry("", "a scale-out waits %s after a scale-out, a scale-in %s after either", span(g.Cooldown.Out), span(g.Cooldown.In))
	}
	if !s.ShortSince.IsZero() {
		e.entry("starting", "fewer in service than desired since %s", e.ago(s.ShortSince))
	}
	e.past(s)
}

// past tells what else the group's past has to do with its next decision.
func (e *explanation) past(s plan.State) {
	if c := s.Calibration; c.Seen > 0 {
		e.entry("band", "of the forecasts: %.0f %% of the slots lay above it and %.0f %% below (10 %% each are usual), of the newest few %.0f %% outside; %s seen",
			100*c.Above, 100*c.Below, 100*c.Astray, count(c.Seen, "slot"))
	}
	if s.YieldUntil.After(e.d.Tick) {
		e.entry("yielding", "somebody set the size; that is left alone until %s", e.clock(s.YieldUntil))
	}
	g := e.config
	if g == nil {
		return
	}
	if g.Guard.DailyHours > 0 {
		e.entry("budget", "%.1f of %.1f instance-hours of the day are spent", s.Spent.Hours, g.Guard.DailyHours)
	}
	if g.Guard.Flaps > 0 {
		e.entry("turns", "%d in the last day, of %d that it may take", len(s.Turns), g.Guard.Flaps)
	}
}

// steps tells how the number came about, one reason after the other.
func (e *explanation) steps() {
	d := e.d
	e.section("Step by step")
	if d.Capacity.Known() {
		e.entry(fmt.Sprint(d.Capacity.Desired), "is the present size")
	}
	wishes := append(strings.Split(d.Policy, "+"), plan.RuleLive) // what asks for a size; the rest bounds it
	for _, r := range d.Reasons {
		move := "="
		if r.From != r.To {
			move = fmt.Sprintf("%d -> %d", r.From, r.To)
		}
		rule := r.Rule
		if r.From != r.To && !slices.Contains(wishes, r.Rule) {
			rule += " (guardrail)"
		}
		e.entry(move, "%s: %s", rule, r.Detail)
	}
	if len(d.Reasons) == 0 {
		e.entry("", "no reason is recorded")
	}
	if b := e.rec.Brake; b != nil {
		e.entry("brake", "pulled for the whole fleet: %s wished to scale in (%.0f %% of all), %s would have gone (%.0f %%); the limit is %.0f %%",
			count(b.Groups, "group"), 100*b.GroupShare, count(b.Instances, "instance"), 100*b.InstanceShare, 100*b.Limit)
		switch {
		case b.Release.IsZero():
		case e.rec.Tick.Before(b.Release):
			e.entry("", "it holds all until %s, and then lets through what trusted forecasts confirm, up to the limit at a tick", e.clock(b.Release))
		default:
			e.entry("", "since %s it lets through what trusted forecasts confirm: %s at this tick", e.clock(b.Release), count(b.Let, "group"))
		}
	}
}

// errorsShown is how many faults of the tick are told; a fleet may have many.
const errorsShown = 3

func (e *explanation) outcome() {
	d := e.d
	e.section("What came of it")
	status := string(d.Outcome.Status)
	switch d.Outcome.Status {
	case "":
		status = "an intent: not yet carried out"
	case api.OutcomeNone:
		status = "none: the desired capacity stays as it is"
	case api.OutcomeAccepted:
		status = "accepted by the provider, which starts a cooldown"
	case api.OutcomeFailed:
		status = "failed: the provider refused, or could not be reached"
	case api.OutcomeSkipped:
		status = "skipped: not carried out"
	case api.OutcomeDryRun:
		status = fmt.Sprintf("nothing was done; it would have set the desired capacity to %d", d.Desired)
	}
	if !d.Outcome.At.IsZero() {
		status += ", at " + d.Outcome.At.UTC().Format("15:04:05")
	}
	e.entry("outcome", "%s", status)
	if d.Outcome.Detail != "" {
		e.entry("", "%s", d.Outcome.Detail)
	}
	for _, a := range d.Alerts {
		e.entry("alert", "%s", a)
	}
	for i, err := range e.rec.Errors {
		if i == errorsShown {
			e.entry("", "and %d more of this tick", len(e.rec.Errors)-i)
			break
		}
		e.entry("tick error", "%s", err)
	}
	e.entry("recorded", "by scaler %s, version %s", cmp.Or(e.rec.Scaler, "unknown"), cmp.Or(e.rec.Version, "unknown"))
}

// clock returns a time of day, with its date when that is not the tick's.
func (e *explanation) clock(t time.Time) string {
	t = t.UTC()
	if t.Format(time.DateOnly) == e.d.Tick.UTC().Format(time.DateOnly) {
		return t.Format("15:04")
	}
	return t.Format("2006-01-02 15:04")
}

func (e *explanation) ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return fmt.Sprintf("%s (%s before)", e.clock(t), span(e.d.Tick.Sub(t)))
}

// span writes a length of time without what is zero, for example 12h55m.
func span(d time.Duration) string {
	s := d.String()
	if d%time.Minute == 0 && d != 0 {
		s = strings.TrimSuffix(s, "0s")
		if d%time.Hour == 0 {
			s = strings.TrimSuffix(s, "0m")
		}
	}
	return s
}

// count returns a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
