package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/forescale/forescale/api"
)

// Screen is a terminal that is drawn over while the demo is live.
type Screen struct {
	file *os.File
}

// NewScreen returns the terminal behind a file, or nil when it is none.
func NewScreen(f *os.File) *Screen {
	if !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return &Screen{file: f}
}

// The alternate screen keeps what the user had in the terminal before.
func (s *Screen) open()  { io.WriteString(s.file, "\x1b[?1049h\x1b[?25l\x1b[2J") }
func (s *Screen) close() { io.WriteString(s.file, "\x1b[?25h\x1b[?1049l") }

func (s *Screen) draw(f frame) {
	width, height, err := term.GetSize(int(s.file.Fd()))
	if err != nil || width < 20 || height < 8 {
		width, height = 80, 24
	}
	draw(s.file, f, width, height)
}

// tracker follows the groups from tick to tick for the screen.
type tracker struct {
	frame  frame
	groups map[string]*groupFrame
	// ahead holds, by the start of the slot, what was forecast for it one lead
	// time and a step before.
	ahead map[time.Time]float64
}

func newTracker(d *demo) *tracker {
	v := &tracker{groups: map[string]*groupFrame{}, ahead: map[time.Time]float64{}}
	speed := "as fast as it can"
	if d.TicksPerSecond > 0 {
		speed = fmt.Sprintf("%.0f times as fast as life", d.TicksPerSecond*d.load.demand.Step.Seconds())
	}
	v.frame = frame{Ticks: d.Steps, Speed: speed, PageURL: d.server.URL() + "/", Step: d.load.demand.Step}
	for _, name := range []string{groupPredictive, groupReactive} {
		note := "steered by forecasts"
		if name == groupReactive {
			note = "steered by measured CPU, same load, same rule"
		}
		v.groups[name] = &groupFrame{Name: name, Note: note}
	}
	return v
}

// show adds a tick and draws it.
func (v *tracker) show(d *demo, tick time.Time, r api.TickRecord) error {
	v.frame.Time, v.frame.Tick = tick, v.frame.Tick+1
	slot := tick.Add(-d.load.demand.Step)
	for _, x := range r.Decisions {
		if g := v.groups[x.Group]; g != nil {
			v.add(g, x, slot, d)
		}
	}
	v.frame.Groups = v.frame.Groups[:0]
	for _, name := range []string{groupPredictive, groupReactive} {
		g := v.groups[name]
		if tick.After(d.begin) {
			m, err := d.cloud.Summary(name, d.begin, tick)
			if err != nil {
				return err
			}
			g.ViolationMinutes, g.InstanceHours = m.ViolationMinutes, m.InstanceHours
		}
		v.frame.Groups = append(v.frame.Groups, *g)
	}
	d.Screen.draw(v.frame)
	return nil
}

func (v *tracker) add(g *groupFrame, x api.Decision, slot time.Time, d *demo) {
	known := func(name string) float64 {
		if value, ok := x.Observed[name]; ok {
			return value
		}
		return nan
	}
	g.Demand = append(g.Demand, known(api.SeriesDemand))
	g.InService = append(g.InService, float64(x.Capacity.InService))
	g.Utilisation = known(api.MetricCPU)
	g.Desired = x.Desired
	if g.Name == groupPredictive {
		said, ok := v.ahead[slot]
		if !ok {
			said = nan
		}
		delete(v.ahead, slot)
		g.Forecast = append(g.Forecast, said)
		// The order of this tick serves from the slot that is lead away.
		k := int((d.Lead + x.Tick.Sub(slot)) / d.load.demand.Step)
		if f := x.Forecast; f != nil && k >= 1 && k <= len(f.Point) {
			v.ahead[x.Tick.Add(time.Duration(k-1)*d.load.demand.Step)] = f.Point[k-1]
		}
	}
	if x.Desired != x.Capacity.Desired && len(x.Reasons) > 0 {
		last := x.Reasons[len(x.Reasons)-1]
		for _, r := range x.Reasons {
			if r.From != r.To {
				last = r
			}
		}
		g.Last = fmt.Sprintf("%d → %d: %s", x.Capacity.Desired, x.Desired, last.Detail)
		if event := d.load.eventAt(x.Tick); event != "" {
			g.Last += " (" + event + ")"
		}
		g.LastAt = x.Tick
	}
}

// pace spaces the ticks evenly.
type pace struct{ ticker *time.Ticker }

// newPace returns a pace of so many ticks a second; 0 does not wait.
func newPace(perSecond float64) pace {
	if perSecond <= 0 {
		return pace{}
	}
	return pace{time.NewTicker(time.Duration(float64(time.Second) / perSecond))}
}

func (p pace) wait(ctx context.Context) error {
	if p.ticker == nil {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		p.ticker.Stop()
		return ctx.Err()
	case <-p.ticker.C:
		return nil
	}
}
