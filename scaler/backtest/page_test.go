package backtest_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/scaler/backtest"
)

func TestThePageNeedsNothingElse(t *testing.T) {
	c := configured(workload(t, fleet.GenerateConfig{Seed: 11, Days: 12}))
	c.Trace = `shop <img src=x onerror="alert(1)">`
	r := run(t, c)
	content, err := r.Page()
	if err != nil {
		t.Fatal(err)
	}
	page := string(content)
	for _, never := range []string{"<script", "<link", "<img", "@import", "url(", "href=", "http://", "https://", "ZgotmplZ", "NaN", "%!"} {
		if strings.Contains(page, never) {
			t.Errorf("the page contains %q", never)
		}
	}
	if got := strings.Count(page, "<svg viewBox=\"0 0 720 300\""); got != 3 {
		t.Errorf("%d charts, want 3", got)
	}
	for _, p := range r.Report.Policies {
		if !strings.Contains(page, "<td>"+p.Title+"</td>") {
			t.Errorf("policy %s is not in the table", p.Name)
		}
	}
	for _, line := range strings.Split(r.Report.Verdict, "\n") {
		if !strings.Contains(page, line) {
			t.Errorf("the verdict %q is not on the page", line)
		}
	}
	// Whatever is drawn lies within the drawing.
	for _, number := range regexp.MustCompile(`[MLHV ](-?\d+\.\d)`).FindAllStringSubmatch(strings.Join(regexp.MustCompile(` d="[^"]*"`).FindAllString(page, -1), ""), -1) {
		if strings.HasPrefix(number[1], "-") || len(number[1]) > len("720.0") {
			t.Fatalf("a path leads to %s", number[1])
		}
	}
}

func TestAPageOfFewPolicies(t *testing.T) {
	c := configured(workload(t, fleet.GenerateConfig{Seed: 11, Days: 10}))
	var err error
	if c.Policies, err = backtest.Select([]string{"static"}); err != nil {
		t.Fatal(err)
	}
	c.Forecasts, c.Rehearsal = nil, nil
	r := run(t, c)
	if r.Report.Verdict != "" || r.Report.Recommended != nil {
		t.Errorf("of a constant alone: %q, %+v", r.Report.Verdict, r.Report.Recommended)
	}
	if page, err := r.Page(); err != nil || !strings.Contains(string(page), "static capacity at ") {
		t.Errorf("page of %d bytes: %v", len(page), err)
	}
}

func TestThePrintedReportNamesEveryPolicyAndTheVerdict(t *testing.T) {
	r := run(t, configured(workload(t, fleet.GenerateConfig{Seed: 11, Days: 12}))).Report
	var b strings.Builder
	if err := r.Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Policies {
		if !strings.Contains(b.String(), " "+p.Name+" ") {
			t.Errorf("%s is not in the table", p.Name)
		}
	}
	for _, want := range []string{r.Verdict, r.Recommended.Sentence()} {
		if want == "" || !strings.Contains(b.String(), want) {
			t.Errorf("%q is not printed", want)
		}
	}
	if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "%!") {
		t.Errorf("printed:\n%s", b.String())
	}
}
