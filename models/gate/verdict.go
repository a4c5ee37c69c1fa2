package gate

import (
	"fmt"
	"math"
	"strings"
)

// Reason is one check of a verdict.
type Reason struct {
	Check string `json:"check"` // stable identifier, for example cost
	// Figure is what was judged, Against what it was compared with and Limit what it
	// had to keep to. nil: there is none, or it is not known.
	Figure  *float64 `json:"figure,omitempty"`
	Against *float64 `json:"against,omitempty"`
	Limit   *float64 `json:"limit,omitempty"`
	Passed  bool     `json:"passed"`
	Detail  string   `json:"detail"` // one sentence with the figures and their units
}

// String returns the reason as one line.
func (r Reason) String() string {
	return fmt.Sprintf("%s %s: %s", map[bool]string{true: "passed", false: "FAILED"}[r.Passed], r.Check, r.Detail)
}

// Verdict says whether a challenger may replace the champion.
type Verdict struct {
	// Promote is true when every check has passed.
	Promote bool     `json:"promote"`
	Reasons []Reason `json:"reasons"`
}

// String returns the verdict over several lines, what failed first.
func (v Verdict) String() string {
	head := "keep the champion"
	if v.Promote {
		head = "promote the challenger"
	}
	return head + lines(v.Reasons)
}

func lines(reasons []Reason) string {
	var b strings.Builder
	for _, passed := range []bool{false, true} {
		for _, r := range reasons {
			if r.Passed == passed {
				b.WriteString("\n  " + r.String())
			}
		}
	}
	return b.String()
}

// known returns v when it is a figure that can be reckoned with: not missing,
// finite, and not below 0, which none of the measures here can be.
func known(v *float64) *float64 {
	if v == nil || math.IsNaN(*v) || math.IsInf(*v, 0) || *v < 0 {
		return nil
	}
	return copied(*v)
}

// finite returns v when it is a number, nil otherwise.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func copied(v float64) *float64 { return &v }

// atMost returns the check that figure is at most limit. Either may be missing,
// which is a failure.
func atMost(check string, figure, against, limit *float64, format string) Reason {
	r := Reason{Check: check, Figure: figure, Against: against, Limit: limit}
	r.Passed = figure != nil && limit != nil && *figure <= *limit
	r.Detail = fmt.Sprintf("%s, against %s; at most %s is allowed", show(format, figure), show(format, against), show(format, limit))
	return r
}

func show(format string, v *float64) string {
	if v == nil {
		return "unknown"
	}
	return fmt.Sprintf(format, *v)
}
