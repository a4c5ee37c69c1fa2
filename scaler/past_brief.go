package scaler

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/window"
)

// recent is what a History may offer besides: the slots that windows are cut from,
// without the weeks between them. dataset.Dataset does, where a collector keeps
// recent/ up to date.
type recent interface {
	Recent(ctx context.Context, want dataset.Want) (*dataset.Recent, error)
}

// brief reads only what windows are cut from, where that will do: at the first tick
// of a process, and at later ones while Run is still reading the whole history
// between them, or if that is too large to be kept. It reports false when the
// history must be read as a whole.
//
// Three needs go deeper than windows. The daily peaks of a group that has just been
// added (recall) are entered once the history is known. A unit that is known and
// not too old goes on to be checked against the newest hours, and is learned anew
// later. A unit that is not known, or was not learned for two days, cannot wait:
// forecasts of load mean nothing without it.
func (t *tick) brief(ctx context.Context, depth int, series []string, p *past, err *error) bool {
	lake, offered := t.deps.History.(recent)
	tail, lasting := t.deps.History.(tailed)
	if !offered || !lasting || t.memory.fits(depth, series, t.at) || t.unitDue() {
		return false
	}
	tooLarge := depth*len(series)*len(t.names) > maxRemembered
	if earlier := !t.briefed.IsZero() && !t.briefed.Equal(t.at); earlier && !t.idle && !tooLarge {
		return false // this process lasts: what it reads now, it need not read again
	}
	found, readErr := lake.Recent(ctx, t.want(series))
	if found == nil || readErr != nil && !dataset.OnlyCorrupt(readErr) {
		if !errors.Is(readErr, dataset.ErrNotRecent) {
			t.deps.Log.Warn("reading the history without recent/", "tick", t.at, "err", readErr)
		}
		return false
	}
	for _, note := range found.Notes {
		t.deps.Log.Warn("recent/ is not whole, reading parts instead", "tick", t.at, "what", note)
	}
	*err = readErr
	t.briefed = t.at
	if t.loading == nil && !tooLarge || t.loading != nil && !t.loading.fits(depth, series, t.at) {
		t.loading = newMemory(tail, t.step, depth, series, t.at)
	}
	sketch, current := window.NewSketch(t.step, depth, t.at), ""
	p.deep = func(group string) *window.Grid {
		if group != current {
			current = group
			sketch.Begin(group)
			found.Each(group, func(c dataset.Column) { sketch.Put(c.Metric, c.Stat, c.From, c.Values) })
		}
		return sketch.Grid()
	}
	p.recent, p.shallow = p.deep, true
	return true
}

// want returns the slots that windows of the models of this tick are cut from, with
// those that loads are observed in and units are checked against.
func (t *tick) want(series []string) dataset.Want {
	w := dataset.Want{At: t.at, Step: t.step, Newest: recentSlots, Whole: recentSlots, Groups: t.names}
	if len(t.unitSeries()) > 0 {
		w.Newest = max(w.Newest, int(unitCheck/t.step))
	}
	seen := map[version]bool{}
	for _, m := range t.manifests {
		if v := (version{m.Name, m.Version}); seen[v] {
			continue
		} else {
			seen[v] = true
		}
		w.Newest = max(w.Newest, m.Spec.Lookback)
		w.Ahead = max(w.Ahead, m.Spec.Horizon)
		for _, lag := range m.Spec.Lags {
			w.Lags = append(w.Lags, lag.Offsets...)
		}
	}
	slices.Sort(w.Lags)
	w.Lags = slices.Compact(w.Lags)
	for _, name := range series {
		w.Metrics = append(w.Metrics, name)
		if i := strings.LastIndexByte(name, '_'); i > 0 && api.Stat(name[i+1:]).Valid() {
			w.Metrics = append(w.Metrics, name[:i]) // see api.SeriesName
		}
	}
	return w
}

// unitDue reports whether some group's unit must be learned at this tick.
func (t *tick) unitDue() bool {
	for _, name := range t.names {
		series := t.load(name)
		if series == api.SeriesDemand {
			continue
		}
		if u := t.ledger.state.Groups[name].Unit; u == nil || u.Series != series || t.at.Sub(u.At).Abs() >= 2*unitEvery {
			return true
		}
	}
	return false
}

// deepen reads on in the history that the last tick did without, until it is known
// or the next tick is due. What has been read by then is kept.
func (s *Scaler) deepen(ctx context.Context, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.loading
	if m == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, until.Sub(s.deps.Now()))
	defer cancel()
	began := s.deps.Now()
	err := m.readOn(ctx, m.end, s.names)
	switch {
	case err == nil || dataset.OnlyCorrupt(err):
		s.memory, s.loading = m, nil
		s.deps.Log.Info("the history of all groups is known", "slots", m.deep.Slots(), "took", s.deps.Now().Sub(began).String())
	case ctx.Err() == nil:
		s.deps.Log.Warn("reading the history between ticks", "err", err)
	}
}
