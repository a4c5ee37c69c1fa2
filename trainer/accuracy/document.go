package accuracy

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/trainer"
)

// Markdown returns the document of the results.
func (r *Results) Markdown() []byte {
	p := &page{}
	r.writeMethod(p)
	if len(r.Traces) > 0 {
		r.writeHeadline(p)
		r.writeTraces(p)
		r.writeAblation(p)
	}
	if len(r.Reference) > 0 {
		r.writeReference(p)
	}
	r.writeTimes(p)
	return []byte(strings.TrimRight(p.String(), "\n") + "\n")
}

// method has SEED where the seed belongs.
const method = `- **Parts.** Each trace is cut in the order of time. The first 70 % fit, the next 10 % choose (how strongly to
  regularise, when to stop, which scale of the features, what share each member gets, how wide the intervals are),
  and the last 20 % are only forecast: all figures are about these. On regularisation and scale, two stretches of the
  first 70 % have a say, too. With what was chosen, members are fitted again on the first 80 %, but for the networks
  of the presets reference and advanced. A model is trained once and not updated while it forecasts.
- **No choice on the last 20 %.** Nothing was fitted, tuned or stopped on them, and no variant below was chosen by
  them. Recipes are compared on traces whose last fifth was cut off before (CONTRIBUTING.md says how). With the best
  baseline it is the other way round: it is chosen in hindsight, for each trace and horizon, on the very slots that
  are scored. To be below 1 is to beat a choice that nobody could have made in advance.
- **Slots.** Every slot of the last 20 % with a known value is forecast at every horizon. Where the readings before
  it have a gap too wide for the model, the last known value stands in for the forecast, and is scored.
- **One training each**, with seed SEED. Figures depend on the code and the data, not on the machine's speed or the
  number of its cores; between processors with other vector instructions their last digits may differ.
- **Measures**, with y the actual values, f the forecasts, over n slots: MAE = Σ|f-y| / n. RMSE = √(Σ(f-y)² / n).
  R2 = 1 - Σ(f-y)² / Σ(y - mean y)². WAPE = Σ|f-y| / Σ|y|. MASE = MAE / mean change from slot to slot in the first
  70 %. Pinball: mean over the quantile levels q of max(q(y - f_q), (q-1)(y - f_q)). Coverage: share of actual values
  inside the 10-90 % and the 5-95 % interval. Skill = 1 - MAE / MAE of persistence, which repeats the last value.
  MAE, RMSE and pinball have the unit of the trace. Not defined: –.`

func (r *Results) writeMethod(p *page) {
	p.text("# Accuracy")
	if r.Dev {
		p.text("%s", "**Without the last fifth of every trace** (`-dev`): for choosing between recipes. Each trace below is what was left,\nand is cut as a whole one would be. These figures say nothing about the slots that `docs/accuracy.md` is about.")
		p.text("How preset %s forecasts load that it has not seen.", code(r.Preset))
	} else {
		p.text("How preset %s forecasts load that it has not seen. `make accuracy` writes this page; do not edit it.", code(r.Preset))
	}
	p.text("## How it was measured")
	p.text("%s", strings.ReplaceAll(method, "SEED", fmt.Sprint(r.Seed)))
}

// target is what a figure of the headline is to be.
type target struct{ least, most float64 }

func (t target) String() string {
	if math.IsInf(t.least, -1) {
		return "at most " + fixed(t.most, 2)
	}
	return percent(t.least, 0) + " to " + percent(t.most, 0)
}

func atMost(v float64) target { return target{math.Inf(-1), v} }

// judged returns the cells of a figure, its target and whether it is met.
func (t target) judged(v float64, figure string) []string {
	verdict := undefined
	switch {
	case math.IsNaN(v):
	case t.least <= v && v <= t.most:
		verdict = "met"
	default:
		verdict = "missed"
	}
	return []string{figure, t.String(), verdict}
}

// The targets of the project.
var (
	bestNear, bestFar = atMost(0.98), atMost(1.00)
	persistent        = atMost(1.05)
	covered80         = target{0.77, 0.83}
	covered90         = target{0.87, 0.93}
)

func (r *Results) writeHeadline(p *page) {
	p.text("## Headline")
	p.text("Over %d of the %d core traces, marked * below; traces in all: %d.", len(r.core()), len(Core), len(r.Traces))
	var rows [][]string
	for _, h := range []struct {
		steps int
		best  target
	}{{near, bestNear}, {far, bestFar}} {
		best, last := r.againstBest(h.steps), r.againstPersistence(h.steps)
		if best.n > 0 {
			cells := h.best.judged(best.mean(), fixed(best.mean(), 3))
			if len(r.Baselines) == 0 {
				cells[1], cells[2] = undefined, undefined
			}
			rows = append(rows, append([]string{fmt.Sprintf("WAPE ÷ best baseline's, %s, geometric mean of the core traces", ahead(h.steps))}, cells...))
		}
		if last.n > 0 {
			rows = append(rows, append([]string{fmt.Sprintf("WAPE ÷ persistence's, %s, worst of all traces", ahead(h.steps))},
				persistent.judged(last.most, fmt.Sprintf("%s (%s)", fixed(last.most, 3), last.mostOf))...))
		}
	}
	for _, c := range []struct {
		steps int
		name  string
	}{{0, "all horizons"}, {near, ahead(near)}, {far, ahead(far)}} {
		c80, c90 := r.coverage(c.steps)
		if math.IsNaN(c80) && math.IsNaN(c90) {
			continue
		}
		rows = append(rows, append([]string{fmt.Sprintf("Coverage of the 80 %% interval, %s, core traces pooled", c.name)}, covered80.judged(c80, percent(c80, 2))...),
			append([]string{fmt.Sprintf("Coverage of the 90 %% interval, %s, core traces pooled", c.name)}, covered90.judged(c90, percent(c90, 2))...))
	}
	p.table([]string{"<", "measured", "target", "<"}, rows)
	if len(r.Baselines) > 0 {
		p.text("The best baseline is, at 1 and %d steps, the best of persistence, the value an hour, a day and a week before, ridge\nregression and XGBoost; at other horizons, where the latter two were not measured, of the rest.", far)
	} else {
		p.text("The best baseline is the best of persistence and the value an hour, a day and a week before: there are no figures\nof other forecasters for these slots, so that the targets, which were set with them, say nothing here.")
	}
}

// ahead names a horizon.
func ahead(steps int) string {
	if steps == 1 {
		return "1 step ahead"
	}
	return fmt.Sprintf("%d steps ahead", steps)
}

func (r *Results) writeTraces(p *page) {
	p.text("## Each trace")
	for _, m := range r.Traces {
		star := ""
		if slices.Contains(Core, m.Trace) {
			star = " *"
		}
		report := m.Ablation.Report
		p.text("### %s%s", m.Trace, star)
		facts := fmt.Sprintf("%s: %s, a slot every %s; %d slots in the last fifth", title(m.Kind), code(report.Target), minutes(float64(report.StepSeconds)/60), report.Split.Test)
		p.text("%s.", strings.Join(append([]string{facts}, m.Ablation.Notes...), "; "))
		var rows [][]string
		for _, steps := range shown {
			h, ok := m.at(steps)
			if !ok {
				continue
			}
			s := h.Model
			pinball := undefined
			if s.Pinball != nil {
				pinball = significant(*s.Pinball, 4)
			}
			row := []string{fmt.Sprint(steps), minutes(h.Minutes), significant(s.MAE, 4), significant(s.RMSE, 4), fixed(s.R2, 3), percent(s.WAPE, 2), fixed(s.MASE, 3),
				pinball, percentOf(s.Coverage80), percentOf(s.Coverage90), fixed(s.Skill, 3)}
			name, wape, ok := r.best(m, steps)
			if !ok {
				name, wape = undefined, math.NaN()
			}
			var q ratios
			q.add(m.Trace, s.WAPE, wape)
			rows = append(rows, append(row, baselineName(name), percent(wape, 2), fixed(q.mean(), 3)))
		}
		p.table([]string{"steps", "ahead", "MAE", "RMSE", "R2", "WAPE", "MASE", "pinball", "in 80 %", "in 90 %", "skill", "<best baseline", "its WAPE", "WAPE ÷ its"}, rows)
	}
}

func title(s string) string {
	if s == "" {
		return "Trace"
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func minutes(v float64) string {
	if v >= 60 && math.Mod(v, 60) == 0 {
		return fmt.Sprintf("%g h", v/60)
	}
	return fmt.Sprintf("%g min", v)
}

// baselineName returns the words for a forecaster of the score or of the file of
// baselines; one that nobody knows keeps its name.
func baselineName(name string) string {
	switch name {
	case score.Persistence:
		return "last value"
	case score.SeasonalNaiveHour, "snaive_hour":
		return "an hour before"
	case score.SeasonalNaiveDay, "snaive_day":
		return "a day before"
	case score.SeasonalNaiveWeek, "snaive_week":
		return "a week before"
	case "xgboost":
		return "XGBoost"
	}
	return strings.NewReplacer("|", "/", "\n", " ").Replace(name)
}

// Reference targets: of the default preset, and of the reference preset.
const (
	referenceMAE    = 4.02
	referenceR2     = 0.947
	publishedMAE    = 4.18
	publishedWithin = 0.05
)

func (r *Results) writeReference(p *page) {
	p.text("## The reference data")
	p.text("%s, %s, one step ahead: generated load with sales whose hours are known in advance. The targets: of preset %s, MAE\nat most %.2f and R2 at least %.3f; of preset %s, which is the reference project's own network, MAE within %.2f of\n%.2f, what its recipe gives without a look at the last fifth. 100-MAPE is what that project publishes; it rises\nwith a forecast that is too low on purpose, so that it is no goal here.",
		code(reference.Name), code(reference.Target), code(trainer.PresetDefault), referenceMAE, referenceR2, code(trainer.PresetReference), publishedWithin, publishedMAE)
	var rows [][]string
	for _, m := range r.Reference {
		h, ok := m.at(1)
		if !ok {
			continue
		}
		s := h.Model
		verdict := undefined
		switch {
		case r.Dev: // the targets are about other slots
		case m.Preset == trainer.PresetDefault:
			verdict = verdictOf(s.MAE <= referenceMAE && s.R2 >= referenceR2)
		case m.Preset == trainer.PresetReference:
			verdict = verdictOf(math.Abs(s.MAE-publishedMAE) <= publishedWithin)
		}
		rows = append(rows, []string{code(m.Preset), fixed(s.MAE, 3), fixed(s.R2, 4), fixed(s.RMSE, 3), fixed(s.Accuracy, 2), verdict})
	}
	p.table([]string{"<preset", "MAE", "R2", "RMSE", "100-MAPE", "<target"}, rows)
}

func verdictOf(met bool) string {
	if met {
		return "met"
	}
	return "missed"
}

// writeTimes adds the only line that is another each time that the measurement is
// made.
func (r *Results) writeTimes(p *page) {
	var times []string
	slowest, of := 0.0, ""
	for _, m := range r.Traces {
		if s := m.Ablation.Report.Training.Seconds; s > slowest {
			slowest, of = s, m.Trace
		}
	}
	if of != "" {
		times = append(times, fmt.Sprintf("the slowest trace, %s, %.0f s", of, slowest))
	}
	for _, m := range r.Reference {
		times = append(times, fmt.Sprintf("the reference data with %s %.0f s", code(m.Preset), m.Ablation.Report.Training.Seconds))
	}
	if len(times) > 0 {
		p.text("*Training times, the one line of this page that differs from run to run and from machine to machine: %s.*", strings.Join(times, "; "))
	}
}
