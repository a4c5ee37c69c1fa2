package accuracy

import (
	"fmt"

	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer"
)

// chapters are the kinds of variants as the document tells of them.
var chapters = []struct{ kind, title, text string }{
	{trainer.KindAlone, "Members alone", "Each member in place of the whole model, and the share that it has in the model. Networks and trees named\nresidual correct the linear members, others the last value. Members alone are not guarded (see below)."},
	{trainer.KindWithout, "Without a member", "The other members, weighed again by their errors in the 10 % that choose. Above 1, the member is worth something.\nWhat corrects the linear members still does where these are left out."},
	{trainer.KindWeights, "Other weights", "The same members, combined in another way."},
	{trainer.KindGuard, "Without guards", "A guard keeps forecasts within what the last values make plausible; members that are far from the others are held\nnear the median of all. Both are for what the first 70 % never held: a shift of the level above all."},
	{trainer.KindMode, "Linear members by their scale", "One linear model of the features in a single scale, in place of the whole model."},
	{trainer.KindFeatures, "Without a group of features", "A linear model in the best scale, fitted again without some of its features, relative to the same with all of\nthem. Above 1, the features are worth something. Counted are the traces that have them."},
}

func (r *Results) writeAblation(p *page) {
	if len(r.core()) == 0 {
		return
	}
	p.text("## What each part is worth")
	p.text("WAPE of a variant ÷ WAPE of the whole model (1 = as good, above 1 = worse), on the same slots of the core traces:\ngeometric mean, then the least and the greatest with their traces.")
	for _, c := range chapters {
		parts := r.parts(c.kind)
		if len(parts) == 0 {
			continue
		}
		p.text("### %s", c.title)
		p.text("%s", c.text)
		head := []string{"<", "traces", "1 step", "<least", "<greatest", fmt.Sprintf("%d steps", far), "<least", "<greatest"}
		if c.kind == trainer.KindAlone {
			head = append(head, "share, 1 step", fmt.Sprintf("share, %d steps", far))
		}
		var rows [][]string
		for _, part := range parts {
			row := append([]string{part.name, fmt.Sprint(max(part.near.n, part.far.n))}, append(part.near.cells(), part.far.cells()...)...)
			if c.kind == trainer.KindAlone {
				row = append(row, percent(part.nearShare, 0), percent(part.farShare, 0))
			}
			rows = append(rows, row)
		}
		p.table(head, rows)
	}
	r.writeSpread(p)
}

// cells returns the mean, the least and the greatest as a table shows them. Of one
// trace, the mean says all.
func (r ratios) cells() []string {
	if r.n < 2 {
		return []string{fixed(r.mean(), 3), undefined, undefined}
	}
	return []string{fixed(r.mean(), 3), fixed(r.least, 3) + " " + r.leastOf, fixed(r.most, 3) + " " + r.mostOf}
}

// writeSpread compares the quantiles with those of a constant spread.
func (r *Results) writeSpread(p *page) {
	parts := r.parts(trainer.KindSpread)
	if len(parts) == 0 {
		return
	}
	p.text("### Intervals")
	p.text("The same forecasts with intervals that are as wide whatever the window shows: pinball loss ÷ that of the whole\nmodel, and coverage at all horizons, pooled.")
	row := func(name string, near, far ratios, of func(Measurement) []models.HorizonScore) []string {
		c80, c90 := pooled(r.core(), 0, of)
		return append(append(append([]string{name}, near.cells()...), far.cells()...), percent(c80, 1), percent(c90, 1))
	}
	one := ratios{n: 1}
	rows := [][]string{row("learned spread (the model)", one, one, func(m Measurement) []models.HorizonScore { return m.Ablation.Report.Horizons })}
	for _, part := range parts {
		rows = append(rows, row(part.name, part.nearPinball, part.farPinball, func(m Measurement) []models.HorizonScore {
			for _, v := range m.Ablation.Variants {
				if v.Kind == part.kind && v.Name == part.name {
					return v.Horizons
				}
			}
			return nil
		}))
	}
	p.table([]string{"<", "pinball, 1 step", "<least", "<greatest", fmt.Sprintf("pinball, %d steps", far), "<least", "<greatest", "in 80 %", "in 90 %"}, rows)
}
