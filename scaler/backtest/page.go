package backtest

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"github.com/forescale/forescale/internal/fleet"
)

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"fixed":   func(digits int, v float64) string { return fmt.Sprintf("%.*f", digits, v) },
	"limit":   atLimit,
	"percent": func(share float64) string { return fmt.Sprintf("%.0f", 100*share) },
}).Parse(pageSource))

// page is what the template is filled with.
type page struct {
	Report
	Days    float64
	Charts  []chart
	Verdict []string // paragraphs
	Oracle  string
}

// styles is how many policies the page's sheet has a colour for.
const styles = 7

// Page returns a HTML page with the verdict, the charts and the table. It needs
// nothing else: no script, no font, no connection.
func (r *Result) Page() ([]byte, error) {
	p := page{Report: r.Report, Days: r.Report.ScoreTo.Sub(r.Report.ScoreFrom).Hours() / 24, Oracle: Oracle}
	if r.Report.Verdict != "" {
		p.Verdict = strings.Split(r.Report.Verdict, "\n")
	}
	if c := r.Report.Recommended; c != nil {
		p.Verdict = append(p.Verdict, c.Sentence())
	}
	shown := r.shown()
	minutes := len(r.Runs[Oracle].Billed)
	from, to := r.busiestDay(shown)
	p.Charts = append(p.Charts,
		fleets(r, shown, from, to, "The hardest day", "The day with the most violations among these policies, in instances: a fleet should stay above the grey area."),
		fleets(r, shown, 0, minutes, "The whole test", "In instances; a point is the greatest value of a stretch of time."))
	var swept []string
	for _, policy := range r.Report.Policies {
		if policy.Name != Oracle && len(swept) < styles {
			swept = append(swept, policy.Name)
		}
	}
	p.Charts = append(p.Charts, curves(r, swept))
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("backtest page: %w", err)
	}
	return b.Bytes(), nil
}

// style numbers the look of a policy, the same in every chart of a page.
func (r *Result) style(name string) int {
	i := slices.IndexFunc(r.Report.Policies, func(p PolicyReport) bool { return p.Name == name })
	return i%styles + 1
}

// shown returns the policies whose fleets are drawn: what ships by default, and
// what most people run.
func (r *Result) shown() (names []string) {
	for _, name := range []string{DefaultPolicy, TargetTracking} {
		if r.Report.Policy(name) != nil {
			names = append(names, name)
		}
	}
	if len(names) == 0 { // whatever there is
		names = []string{r.Report.Policies[0].Name}
	}
	return names
}

// busiestDay returns the minutes of the test, from its start, in which the named
// policies were too small for longest; the day with the highest demand where they
// never were.
func (r *Result) busiestDay(names []string) (from, to int) {
	const day = 24 * 60
	first, minutes := r.Runs[Oracle].From, len(r.Runs[Oracle].Billed)
	badness := func(from, to int) (violations int, peak float64) {
		for m := from; m < to; m++ {
			demand := r.Demand.At(first + m)
			peak = max(peak, demand)
			if !r.Demand.Scored(first + m) {
				continue
			}
			for _, name := range names {
				if fleet.Required(demand) > max(fleet.MinInstances, r.Runs[name].InService[m]) {
					violations++
				}
			}
		}
		return violations, peak
	}
	best, highest := -1, 0.0
	for at := 0; at == 0 || at+day <= minutes; at += day {
		violations, peak := badness(at, min(minutes, at+day))
		if violations > best || violations == best && peak > highest {
			best, highest, from = violations, peak, at
		}
	}
	return from, min(minutes, from+day)
}

// Swept returns the policies of the table in the order of what they need for the
// allowed violations, the oracle first and what never gets there last.
func (p page) Swept() []PolicyReport {
	ratio := func(r PolicyReport) float64 {
		switch {
		case r.Name == Oracle:
			return 0
		case r.RatioAtAllowed == nil:
			return 1e9
		}
		return *r.RatioAtAllowed
	}
	rows := slices.Clone(p.Policies)
	slices.SortStableFunc(rows, func(a, b PolicyReport) int {
		switch x, y := ratio(a), ratio(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	return rows
}
