package dataset

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

const recentStep = 30 * time.Minute

// recentStory is a lake with weeks of history, to which several writers go on
// writing, late, again and with clocks that differ.
type recentStory struct {
	t      *testing.T
	r      *rand.Rand
	store  blob.Store
	lake   *Dataset
	groups []string
	n      int
}

func newRecentStory(t *testing.T, seed uint64) *recentStory {
	s := &recentStory{t: t, r: rand.New(rand.NewPCG(seed, 5)), store: blob.NewMemory()}
	s.lake = New(s.store)
	for i := range 7 {
		s.groups = append(s.groups, fmt.Sprintf("group-%d", i))
	}
	return s
}

var recentNow = time.Date(2026, 3, 29, 22, 0, 0, 0, time.UTC)

// write appends what a writer learned of the slots [from, to), or some of it. Its
// clock may be behind that of the others.
func (s *recentStory) write(from, to time.Time, share float64) {
	s.t.Helper()
	s.n++
	var rows []api.Sample
	for at := from; at.Before(to); at = at.Add(recentStep) {
		for _, group := range s.groups {
			for _, metric := range []string{api.MetricCPU, api.MetricRequests, "is_sale"} {
				if s.r.Float64() < share {
					rows = append(rows, api.Sample{Group: group, Metric: metric, Stat: api.DefaultStat(metric), Time: at, Value: float64(s.r.IntN(1000))})
				}
			}
		}
	}
	ingested := recentNow.Add(time.Duration(s.n) * time.Second)
	switch s.r.IntN(5) {
	case 0: // one that was held up on its way
		ingested = ingested.Add(-time.Duration(s.r.IntN(20)) * time.Second)
	case 1: // two at the same moment
		ingested = ingested.Add(-time.Second)
	}
	if err := s.lake.Append(s.t.Context(), fmt.Sprint("writer ", s.r.IntN(3)), to, rows, ingested); err != nil {
		s.t.Fatal(err)
	}
}

func (s *recentStory) refresher(shards int) *Refresher {
	s.t.Helper()
	r, err := New(s.store).Refresher(RefreshConfig{Step: recentStep, Newest: 9 * time.Hour, Ahead: 2 * time.Hour,
		Lags: []time.Duration{24 * time.Hour, 7 * 24 * time.Hour}, Shards: shards})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// identity is what tells samples apart.
type identity struct {
	group, metric string
	stat          api.Stat
	at            int64
}

// scanned returns what Scan says of the stretches that an answer covers.
func (s *recentStory) scanned(r *Recent, want Want) map[identity]float64 {
	s.t.Helper()
	values := map[identity]float64{}
	r.Stretches(func(from, to time.Time) {
		rows, err := s.lake.Scan(s.t.Context(), Query{Groups: want.Groups, From: from, To: to})
		if err != nil && !OnlyCorrupt(err) {
			s.t.Fatal(err)
		}
		for _, row := range rows {
			if len(want.Metrics) > 0 && !slices.Contains(want.Metrics, row.Metric) && row.Time.Before(want.At.Add(-time.Duration(want.Whole)*recentStep)) {
				continue
			}
			values[identity{row.Group, row.Metric, row.Stat, row.Time.UnixMicro()}] = row.Value
		}
	})
	return values
}

// answered returns what an answer says.
func answered(t *testing.T, r *Recent) map[identity]float64 {
	t.Helper()
	values := map[identity]float64{}
	for _, group := range r.Groups() {
		r.Each(group, func(c Column) {
			for i, v := range c.Values {
				id := identity{group, c.Metric, c.Stat, c.From.Add(time.Duration(i) * recentStep).UnixMicro()}
				if _, twice := values[id]; twice {
					t.Errorf("%v is there twice", id)
				}
				if !math.IsNaN(v) {
					values[id] = v
				}
			}
		})
	}
	return values
}

// check compares an answer with Scan, and makes sure that it covers what is wanted.
func (s *recentStory) check(what string, want Want) *Recent {
	s.t.Helper()
	r, err := New(s.store).Recent(s.t.Context(), want)
	if err != nil && !OnlyCorrupt(err) {
		s.t.Fatalf("%s: %v", what, err)
	}
	got, ref := answered(s.t, r), s.scanned(r, want)
	maps.DeleteFunc(got, func(id identity, _ float64) bool { // more may be told than was asked for
		return len(want.Metrics) > 0 && !slices.Contains(want.Metrics, id.metric) && id.at < want.At.Add(-time.Duration(want.Whole)*recentStep).UnixMicro()
	})
	if !maps.Equal(got, ref) {
		for id, v := range ref {
			if w, ok := got[id]; !ok || w != v {
				s.t.Errorf("%s: %v at %s: %v (%v) instead of %v", what, id, time.UnixMicro(id.at).UTC(), w, ok, v)
			}
		}
		for id, v := range got {
			if _, ok := ref[id]; !ok {
				s.t.Errorf("%s: %v at %s: %v, which is not in the lake", what, id, time.UnixMicro(id.at).UTC(), v)
			}
		}
		s.t.FailNow()
	}
	if len(got) == 0 {
		s.t.Fatalf("%s: nothing", what)
	}
	covered := func(at time.Time) (found bool) {
		r.Stretches(func(from, to time.Time) { found = found || !at.Before(from) && at.Before(to) })
		return found
	}
	newest := want.At.Add(-want.Step)
	for k := range want.Newest {
		if at := newest.Add(-time.Duration(k) * want.Step); !covered(at) {
			s.t.Errorf("%s: slot %s is not covered", what, at)
		}
	}
	for _, lag := range want.Lags {
		for k := 0; k <= want.Ahead && k <= lag; k++ {
			if at := newest.Add(time.Duration(k-lag) * want.Step); !covered(at) {
				s.t.Errorf("%s: lag %d, slot %s is not covered", what, lag, at)
			}
		}
	}
	return r
}

func recentWant(at time.Time) Want {
	return Want{At: at, Step: recentStep, Newest: 6, Lags: []int{48, 52, 336}, Ahead: 4}
}

// Whatever is written, late, again or with an older clock, and whatever becomes of
// recent/, the answer is what a scan says of the same slots.
func TestRecentSaysWhatAScanSays(t *testing.T) {
	whole := 0
	for seed := range uint64(25) {
		s := newRecentStory(t, seed)
		now := recentNow
		s.write(now.Add(-8*24*time.Hour), now.Add(-24*time.Hour), 0.8)
		for at := now.Add(-24 * time.Hour); at.Before(now); at = at.Add(recentStep) {
			s.write(at, at.Add(recentStep), 0.9)
		}
		refreshers := []*Refresher{s.refresher(1 + s.r.IntN(4))}
		if _, err := refreshers[0].Rebuild(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		for tick := range 40 {
			s.write(now, now.Add(recentStep), 0.9)
			now = now.Add(recentStep)
			switch s.r.IntN(6) {
			case 0: // late points, or revisions, of these days
				from := now.Add(-time.Duration(1+s.r.IntN(30)) * recentStep)
				s.write(from, from.Add(2*recentStep), 0.3)
			case 1: // of a week ago
				from := now.Add(-7*24*time.Hour + time.Duration(s.r.IntN(12)-6)*recentStep)
				s.write(from, from.Add(recentStep), 0.2)
			case 2:
				if s.r.IntN(2) == 0 { // a new process, or another one
					refreshers = append(refreshers, s.refresher(0))
				}
			case 4: // days become closed files
				if _, err := s.lake.Compact(t.Context(), CompactConfig{Before: now.Add(-time.Duration(s.r.IntN(200)) * time.Hour), FileBytes: 20 << 10}); err != nil {
					t.Fatal(err)
				}
			case 3:
				s.groups = append(s.groups, fmt.Sprintf("late-%d", tick))
			}
			if s.r.IntN(4) > 0 {
				if _, err := refreshers[s.r.IntN(len(refreshers))].Refresh(t.Context(), now); err != nil {
					t.Fatal(err)
				}
			}
			want := recentWant(now)
			switch s.r.IntN(4) {
			case 0:
				want.Groups = []string{"nobody", s.groups[s.r.IntN(len(s.groups))], s.groups[0]}
			case 1:
				want.Metrics, want.Whole = []string{api.MetricCPU}, s.r.IntN(5)
			case 2:
				want.At = now.Add(time.Duration(s.r.IntN(10)-8) * recentStep)
			}
			if r := s.check(fmt.Sprintf("seed %d, tick %d", seed, tick), want); len(r.Notes) == 0 {
				whole++
			}
			if s.r.IntN(8) == 0 {
				s.vandalise()
			}
		}
	}
	if whole < 200 {
		t.Errorf("only %d answers came from whole bases", whole)
	}
}

// vandalise removes or damages some object of recent/, but the index.
func (s *recentStory) vandalise() {
	var keys []string
	for info, err := range s.store.List(s.t.Context(), recentPrefix, "") {
		if err != nil {
			s.t.Fatal(err)
		}
		if info.Key != indexKey {
			keys = append(keys, info.Key)
		}
	}
	key := keys[s.r.IntN(len(keys))]
	if s.r.IntN(2) == 0 {
		if err := s.store.Delete(s.t.Context(), key); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	o, err := s.store.Get(s.t.Context(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	bad := slices.Clone(o.Data)
	bad[s.r.IntN(len(bad))] ^= 1 << s.r.IntN(8)
	if _, err := s.store.Put(s.t.Context(), key, bad[:len(bad)-s.r.IntN(2)], blob.Condition{}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *recentStory) history() {
	s.write(recentNow.Add(-8*24*time.Hour), recentNow.Add(-24*time.Hour), 1)
	for at := recentNow.Add(-24 * time.Hour); at.Before(recentNow); at = at.Add(recentStep) {
		s.write(at, at.Add(recentStep), 1)
	}
}

func TestRecentOfWhatIsNotAsItShouldBe(t *testing.T) {
	replace := func(magic int) func(*recentStory, string) {
		return func(s *recentStory, key string) {
			o, err := s.store.Get(s.t.Context(), key)
			if err != nil {
				s.t.Fatal(err)
			}
			bad := slices.Clone(o.Data)
			bad[magic]++
			if _, err := s.store.Put(s.t.Context(), key, bad, blob.Condition{}); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	remove := func(s *recentStory, key string) {
		if err := s.store.Delete(s.t.Context(), key); err != nil {
			s.t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		key  string
		harm func(*recentStory, string)
		note string // "": ErrNotRecent
	}{
		"a missing base is read from the parts, and said once": {baseKey(1, 3), remove, "is not there"},
		"a base of another version is read from the parts":     {baseKey(1, 3), replace(len(baseMagic)), "not a recent object"},
		"a damaged base is read from the parts":                {baseKey(1, 3), replace(200), "not a recent object"},
		"without an index there is no answer":                  {indexKey, remove, ""},
		"an index of another version is no index":              {indexKey, replace(len(indexMagic)), ""},
		"a damaged index is no index":                          {indexKey, replace(40), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newRecentStory(t, 1)
			s.history()
			if _, err := s.refresher(3).Rebuild(t.Context(), recentNow); err != nil {
				t.Fatal(err)
			}
			c.harm(s, c.key)
			if c.note == "" {
				if _, err := s.lake.Recent(t.Context(), recentWant(recentNow)); !errors.Is(err, ErrNotRecent) {
					t.Errorf("error %v", err)
				}
				if _, err := s.refresher(0).Rebuild(t.Context(), recentNow); err != nil { // and it is made anew
					t.Fatal(err)
				}
				s.check("made anew", recentWant(recentNow))
				return
			}
			r := s.check("harmed", recentWant(recentNow))
			if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], c.note) || !strings.Contains(r.Notes[0], c.key) {
				t.Errorf("notes %q", r.Notes)
			}
		})
	}
}

func TestRecentDoesNotAnswerForWhatItIsNotWrittenFor(t *testing.T) {
	s := newRecentStory(t, 1)
	s.history()
	if _, err := s.refresher(2).Rebuild(t.Context(), recentNow); err != nil {
		t.Fatal(err)
	}
	s.check("before", recentWant(recentNow))
	other := recentWant(recentNow)
	other.Step = time.Hour
	if _, err := s.lake.Recent(t.Context(), other); !errors.Is(err, ErrNotRecent) {
		t.Errorf("another step: error %v", err)
	}
	odd := api.Sample{Group: "group-1", Metric: api.MetricCPU, Stat: api.StatAvg, Time: recentNow.Add(-time.Minute), Value: 1}
	if err := s.lake.Append(t.Context(), "import", recentNow, []api.Sample{odd}, recentNow.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"laid over", "within the tile"} {
		if _, err := s.lake.Recent(t.Context(), recentWant(recentNow)); !errors.Is(err, ErrNotRecent) {
			t.Errorf("samples between slots, %s: error %v", when, err)
		}
		if _, err := s.refresher(0).Rebuild(t.Context(), recentNow); err != nil {
			t.Fatal(err)
		}
	}
}

// A part that cannot be read is named, and hides nothing else.
func TestRecentNamesPartsThatCannotBeRead(t *testing.T) {
	s := newRecentStory(t, 3)
	s.history()
	if _, err := s.refresher(2).Rebuild(t.Context(), recentNow); err != nil {
		t.Fatal(err)
	}
	key := partPrefix(recentNow, recentNow, "writer") + strings.Repeat("0", 64) + partSuffix
	if _, err := s.store.Put(t.Context(), key, []byte("PAR1, or not"), blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	s.check("beside it", recentWant(recentNow))
	for range 2 {
		if _, err := New(s.store).Recent(t.Context(), recentWant(recentNow)); !OnlyCorrupt(err) || !strings.Contains(fmt.Sprint(err), key) {
			t.Errorf("error %v", err)
		}
		if _, err := s.refresher(0).Rebuild(t.Context(), recentNow); err != nil { // does not hide it
			t.Fatal(err)
		}
	}
}
