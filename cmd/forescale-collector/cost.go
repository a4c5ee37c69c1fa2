package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/forescale/forescale/collector"
)

// month is what the costs of a month are reckoned with.
const month = 30 * 24 * time.Hour

// choose keeps the source that -source names.
func (p *program) choose() error {
	if p.source == "" {
		return nil
	}
	for _, s := range p.sources {
		if s.Name() == p.source {
			p.sources = []collector.Source{s}
			return nil
		}
	}
	return fmt.Errorf("-source %q: no such source is configured", p.source)
}

// costs writes what asking the sources takes, for those that know.
func (p *program) costs(w io.Writer) {
	for _, s := range p.sources {
		if costed, ok := s.(collector.Costed); ok {
			p.costOf(w, s, costed)
		}
	}
}

func (p *program) costOf(w io.Writer, s collector.Source, costed collector.Costed) {
	step, c := p.common.Step, cost{costed.Cost(p.section.LookBack)}
	fmt.Fprintf(w, "\nsource %s\n", s.Name())
	fmt.Fprintf(w, "  a tick (%s): %s in %s\n", brief(step), c.units(1), c.calls(1))
	if c.CallsPerSecond > 0 {
		busy := time.Duration(float64(c.Calls) / c.CallsPerSecond * float64(time.Second))
		fmt.Fprintf(w, "  pace: %s calls/s", number(c.CallsPerSecond))
		if c.Quota > 0 {
			fmt.Fprintf(w, " of a quota of %s", number(c.Quota))
		}
		fmt.Fprintf(w, "; the calls of a tick take %s at least\n", brief(busy.Round(100*time.Millisecond)))
		if busy > p.section.FetchTimeout {
			fmt.Fprintf(w, "  that is more than collector.fetch_timeout (%s): raise it, or make several sources\n", brief(p.section.FetchTimeout))
		}
	}
	ticks := int(month / step)
	fmt.Fprintf(w, "  a month (30 days, %s ticks): %s in %s%s\n", thousands(ticks), c.units(ticks), c.calls(ticks), c.price(ticks))
	if p.backfill != "" {
		p.backfillCost(w, s, costed)
	}
	if c.Price > 0 {
		fmt.Fprintf(w, "  reckoned with $%s for 1,000 %s: %s\n", number(c.Price), c.Unit, c.Basis)
	}
	for _, what := range c.Unknown {
		fmt.Fprintf(w, "  not counted: %s\n", what)
	}
}

// backfillCost writes what the range of -backfill takes. It is asked for in chunks
// that end with a day; a source of few series begins with shorter ones.
func (p *program) backfillCost(w io.Writer, s collector.Source, costed collector.Costed) {
	from := p.from
	if b, ok := s.(collector.Bounded); ok && b.Oldest(p.now()).After(from) {
		if from = b.Oldest(p.now()); !from.Before(p.to) {
			fmt.Fprintf(w, "  the back-fill brings nothing: what is older than %s is not kept in steps of %s\n", from.UTC().Format(time.RFC3339), brief(p.common.Step))
			return
		}
		fmt.Fprintf(w, "  the back-fill begins at %s: what is older is not kept in steps of %s\n", from.UTC().Format(time.RFC3339), brief(p.common.Step))
	}
	const day = 24 * time.Hour
	days := int((p.to.Sub(from) + day - 1) / day)
	c := cost{costed.Cost(int(day / p.common.Step))}
	fmt.Fprintf(w, "  the back-fill (%d days): about %s in %s%s\n", days, c.units(days), c.calls(days), c.price(days))
}

// cost formats a collector.Cost.
type cost struct{ collector.Cost }

func (c cost) units(times int) string { return thousands(times*c.Billed) + " " + c.Unit }

func (c cost) calls(times int) string {
	if n := times * c.Calls; n != 1 {
		return thousands(n) + " calls"
	}
	return "1 call"
}

func (c cost) price(times int) string {
	if c.Price <= 0 {
		return ""
	}
	cents := int(math.Round(float64(times*c.Billed) / 1000 * c.Price * 100))
	return fmt.Sprintf(": $%s.%02d", thousands(cents/100), cents%100)
}

// thousands returns a whole number with commas.
func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// number returns the shortest decimal form.
func number(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// brief returns a duration without the zeros at its end: 5m and not 5m0s.
func brief(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
