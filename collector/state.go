package collector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

// State keeps one small object. A blob.Store is one.
type State interface {
	Get(ctx context.Context, key string) (blob.Object, error)
	Put(ctx context.Context, key string, data []byte, cond blob.Condition) (etag string, err error)
}

// marks is what the collector remembers of one source. Whatever a marks value
// claims was true when it was written, and since the lake only grows it stays
// true. So racing collectors of one name may overwrite each other's state.
type marks struct {
	// through: every slot before it was asked for and what came was stored, but for owed.
	// Zero: nothing is known.
	through time.Time
	// unknown is the tick at which through was found to be missing or wrong, until
	// the lake could be asked. It is not stored.
	unknown time.Time
	// owed holds, by series, the first slot that could not be read. The key
	// wholeSource stands for all of them.
	owed map[Series]time.Time
}

// wholeSource is the key of marks.owed that stands for every series.
var wholeSource = Series{}

// maxOwed bounds the entries of marks.owed; past it, the whole source is owed.
const maxOwed = 2000

// owe notes that the series lacks the slots from since on. The result is true
// when the list became too long and the whole source owes what it held: whoever
// is paying single entries, or the whole, must begin again.
func (m *marks) owe(s Series, since time.Time) (merged bool) {
	if m.owed == nil {
		m.owed = map[Series]time.Time{}
	}
	if old, ok := m.owed[s]; !ok || since.Before(old) {
		m.owed[s] = since
	}
	if len(m.owed) > maxOwed {
		m.owed = map[Series]time.Time{wholeSource: slices.MinFunc(slices.Collect(maps.Values(m.owed)), time.Time.Compare)}
		return true
	}
	return false
}

func (m *marks) clone() *marks { return &marks{through: m.through, owed: maps.Clone(m.owed)} }

func (m *marks) equal(o *marks) bool {
	return m.through.Equal(o.through) && maps.EqualFunc(m.owed, o.owed, time.Time.Equal)
}

// The stored form. A reader refuses a version that it does not know.
type stateFile struct {
	Version int                    `json:"version"`
	Sources map[string]sourceState `json:"sources"`
}

type sourceState struct {
	Through time.Time   `json:"through,omitzero"`
	Owed    []owedState `json:"owed,omitempty"`
}

type owedState struct {
	Group  string    `json:"group,omitempty"`
	Metric string    `json:"metric,omitempty"`
	Stat   string    `json:"stat,omitempty"`
	Since  time.Time `json:"since"`
}

const stateVersion = 1

func (c *Collector) stateKey() string { return "collector/" + blob.Escape(c.cfg.Writer) + ".json" }

// loadState reads the marks once. An object that makes no sense is reported and
// ignored, because the lake itself tells almost as much; a store that does not
// answer is an error, and the marks must not be overwritten then.
func (c *Collector) loadState(ctx context.Context) error {
	if c.loaded || c.state == nil {
		c.loaded = true
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.StoreTimeout)
	defer cancel()
	obj, err := c.state.Get(ctx, c.stateKey())
	if err != nil && !errors.Is(err, blob.ErrNotFound) {
		return fmt.Errorf("read the collector's state: %w", err)
	}
	if err == nil {
		if err := c.decodeState(obj.Data); err != nil {
			c.log.Warn("ignoring the collector's state; asking the lake instead", "key", c.stateKey(), "err", err)
		}
	}
	c.loaded = true
	return nil
}

func (c *Collector) decodeState(data []byte) error {
	var f stateFile
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	if f.Version != stateVersion {
		return fmt.Errorf("version %d is not %d", f.Version, stateVersion)
	}
	for name, s := range f.Sources {
		m := &marks{through: s.Through}
		for _, o := range s.Owed {
			m.owe(seriesOfState(o), o.Since)
		}
		c.marks[name] = m
	}
	return nil
}

// saveState writes the marks, unless they are what was written last. Call it
// after the samples that they speak of are stored. While ticks wait on the spool
// nothing is written: what the lake says of itself must be true without this disk.
func (c *Collector) saveState(ctx context.Context) error {
	if c.state == nil || !c.loaded || len(c.waiting) > 0 {
		return nil
	}
	if maps.EqualFunc(c.marks, c.saved, (*marks).equal) {
		return nil
	}
	f := stateFile{Version: stateVersion, Sources: map[string]sourceState{}}
	for name, m := range c.marks {
		s := sourceState{Through: m.through}
		for key, since := range m.owed {
			s.Owed = append(s.Owed, owedState{key.Group, key.Metric, string(key.Stat), since})
		}
		slices.SortFunc(s.Owed, func(a, b owedState) int {
			return strings.Compare(seriesOfState(a).String(), seriesOfState(b).String())
		})
		f.Sources[name] = s
	}
	data, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.StoreTimeout)
	defer cancel()
	if _, err := c.state.Put(ctx, c.stateKey(), data, blob.Condition{}); err != nil {
		return fmt.Errorf("write the collector's state: %w", err)
	}
	c.saved = map[string]*marks{}
	for name, m := range c.marks {
		c.saved[name] = m.clone()
	}
	return nil
}

func seriesOfState(o owedState) Series { return Series{o.Group, o.Metric, api.Stat(o.Stat)} }
