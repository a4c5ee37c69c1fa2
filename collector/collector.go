package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/spool"
)

// Lake is the part of the data lake that the collector needs; a
// *dataset.Dataset is one.
type Lake interface {
	Append(ctx context.Context, writer string, interval time.Time, samples []api.Sample, ingestedAt time.Time) error
	Scan(ctx context.Context, q dataset.Query) ([]api.Sample, error)
}

// Calendar says which flags hold when; a *calendar.Calendar is one.
type Calendar interface {
	Flags() []string
	Flag(name string, t time.Time) float64
}

// Deps is what a Collector works with.
type Deps struct {
	Sources  []Source      // names must differ; none is valid for an import only
	Streams  []Stream      // their names must differ too; they need Readings
	Readings *spool.Spool  // readings until their slots are stored; nil: streams are not possible. The caller closes it
	Ticks    *spool.Spool  // ticks that the lake did not take; nil: they are fetched again. The caller closes it
	Lake     Lake          // required
	State    State         // nil: nothing is remembered over restarts but what the lake tells
	Calendar Calendar      // nil: no flags
	Recent   Refresher     // nil: recent/ is not kept
	Step     time.Duration // length of a slot
	Now      func() time.Time
	Log      *slog.Logger
	// Stored, when set, is called after each tick of which something is in the lake. It
	// must not block.
	Stored func(tick time.Time)

	// Configured holds a hash of each source's configuration, by its name. A back-fill
	// that was stopped under another one begins again. Sources without one go on.
	Configured map[string]string
}

// Collector moves samples from sources into the lake. Its methods may be called
// concurrently; ticks and chunks then take turns.
type Collector struct {
	cfg      Config
	sources  []Source
	streams  []Stream
	lake     Lake
	state    State
	calendar Calendar
	step     time.Duration
	now      func() time.Time
	log      *slog.Logger
	meters   *meters

	readings   *spool.Spool // nil: no streams
	inbox      *inbox
	filed      filed
	said       said
	sweeping   sync.RWMutex // held for reading while readings go to the spool and into the inbox
	replayed   sync.Once
	configured map[string]string // Deps.Configured

	refresher Refresher            // nil: none
	stored    func(tick time.Time) // nil: nobody is told

	mu         sync.Mutex        // serialises ticks and chunks, and guards what follows
	loaded     bool              // the state was read, or there is none
	marks      map[string]*marks // by source name
	saved      map[string]*marks // as last written
	recent     *snapshot         // what the lake holds of the look-back; nil: not known
	lastIngest time.Time
	ticks      *spool.Spool  // nil: none
	waiting    []waitingTick // what is on it, oldest first
	recalled   bool          // waiting is known
	dropped    bool          // the spool has lost ticks that recent may count as stored
	watch      *watch
}

// New returns a collector that has not started anything. The error lists every
// fault of the configuration and of the dependencies.
func New(cfg Config, d Deps) (*Collector, error) {
	faults := []error{cfg.Validate(d.Step)}
	if d.Lake == nil || d.Now == nil || d.Log == nil || d.Step <= 0 {
		faults = append(faults, errors.New("collector: lake, clock, log and step are required"))
	}
	if len(d.Streams) > 0 && d.Readings == nil {
		faults = append(faults, errors.New("collector.spool.dir: sensors need a directory, because a message is acknowledged only when it is on disk"))
	}
	names := map[string]bool{}
	add := func(name string) {
		if name == "" || names[name] {
			faults = append(faults, fmt.Errorf("collector.sources: the name %q is empty or used twice", name))
		}
		names[name] = true
	}
	for _, s := range d.Sources {
		add(s.Name())
	}
	for _, s := range d.Streams {
		add(s.Name())
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	c := &Collector{
		cfg: cfg, sources: d.Sources, streams: d.Streams, lake: d.Lake, state: d.State, calendar: d.Calendar,
		step: d.Step, now: d.Now, log: d.Log, marks: map[string]*marks{},
		configured: d.Configured, readings: d.Readings, ticks: d.Ticks, inbox: newInbox(cfg.Stream, d.Step, d.Now()), watch: newWatch(d.Step), refresher: d.Recent, stored: d.Stored,
	}
	c.meters = newMeters(c)
	return c, nil
}

// Once runs the tick at: it collects the slots that ended by at, and fills the
// holes that are known. The error joins what could not be read or stored; the
// rest is in the lake, and what failed is fetched by a later tick. Once may be
// repeated for the same or an earlier moment.
//
// A caller that wants the settled slots only passes a moment that lies
// Config.Settle in the past, as Run does.
func (c *Collector) Once(ctx context.Context, at time.Time) error {
	return c.once(ctx, at, time.Time{})
}

// OnceUntil is Once for a caller whose time is short: from pause on, by the clock of
// Deps, it begins with no further piece of a hole. A later tick goes on from there.
func (c *Collector) OnceUntil(ctx context.Context, at, pause time.Time) error {
	return c.once(ctx, at, pause)
}

// once is Once with a moment at which filling holes pauses; zero: never.
func (c *Collector) once(ctx context.Context, at, pause time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	begin := c.now()
	tick := at.UTC().Truncate(c.step)
	err := c.tick(ctx, tick, pause)
	if len(c.waiting) > 0 {
		c.meters.waits(c.waiting[0].slot)
	} else {
		c.meters.waits(time.Time{})
	}
	c.meters.ticked(tick, c.now().Sub(begin), err)
	if !errors.Is(err, errAway) && !errors.Is(err, ErrSpooled) { // else the lake is asked for nothing more
		c.refresh(ctx, tick)
		if c.stored != nil {
			c.stored(tick)
		}
	}
	return err
}

func (c *Collector) tick(ctx context.Context, tick, pause time.Time) error {
	c.replay()
	errs := []error{c.recall()}
	// One tick tells whether the lake is back; the others follow the live range,
	// because the scaler waits for that.
	away := c.deliver(ctx, 1, pause)
	if away == nil && c.dropped {
		c.recent, c.dropped = nil, false
	}
	errs = append(errs, c.trustMarks(ctx, tick, away))
	from := tick.Add(-c.lookBack())
	outcomes := c.ask(ctx, c.sources, from, tick)
	cells, err := c.ripe(ctx, tick, away != nil)
	errs = append(errs, err)
	for _, o := range outcomes {
		errs = append(errs, o.err)
	}
	snap, err := c.putLive(ctx, outcomes, cells, from, tick, away)
	if err != nil && !errors.Is(err, ErrSpooled) { // nothing is stored for certain, so no mark may move
		return errors.Join(append(errs, err)...)
	}
	c.keep(snap)
	c.inbox.settle(cells)
	for _, o := range outcomes {
		c.marksOf(o.source).advance(o, from, tick, c.lookBack()-c.step)
	}
	c.observe(outcomes, cells, from)
	errs = append(errs, err, c.sweep())
	if err != nil || away != nil {
		if err == nil {
			errs = append(errs, away)
		}
		return errors.Join(errs...)
	}
	errs = append(errs, c.deliver(ctx, 0, pause), c.saveState(ctx), c.catchUp(ctx, outcomes, from, tick, pause))
	return errors.Join(errs...)
}

// lookBack returns the length of the range that a tick asks for.
func (c *Collector) lookBack() time.Duration { return time.Duration(c.cfg.LookBack) * c.step }

// advance records the outcome of the live range [from, tick). The slots of the
// last lateness before the mark have not been asked for as often as a late point
// may need, so that a hole starts with them.
func (m *marks) advance(o outcome, from, tick time.Time, lateness time.Duration) {
	if o.whole || m.through.IsZero() {
		return // the hole shows when the source answers again
	}
	if asked := m.through.Add(-lateness); asked.Before(from) {
		m.owe(wholeSource, asked)
	}
	m.through = tick
	for _, s := range o.failed {
		m.owe(s, from)
	}
}

func (c *Collector) marksOf(s Source) *marks {
	m := c.marks[s.Name()]
	if m == nil {
		m = &marks{}
		c.marks[s.Name()] = m
	}
	return m
}

// outcome is what came of asking one source for one range.
type outcome struct {
	source  Source
	samples []api.Sample // accepted ones
	failed  []Series     // could not be read, while others were
	whole   bool         // the range must be asked again as a whole
	err     error
}

// ask fetches [from, to) from the sources, all at the same time.
func (c *Collector) ask(ctx context.Context, sources []Source, from, to time.Time) []outcome {
	outcomes := make([]outcome, len(sources))
	var wg sync.WaitGroup
	for i, s := range sources {
		wg.Go(func() { outcomes[i] = c.fetch(ctx, s, from, to) })
	}
	wg.Wait()
	return outcomes
}

// collect asks the source for [from, to) and stores what the lake lacks. Its
// error means that the lake did not take the samples; the error of the source
// is in the outcome.
func (c *Collector) collect(ctx context.Context, src Source, from, to time.Time) (outcome, error) {
	o := c.fetch(ctx, src, from, to)
	if _, err := c.put(ctx, o.samples, from, to); err != nil {
		return o, errors.Join(o.err, err)
	}
	return o, nil
}

func (c *Collector) fetch(ctx context.Context, s Source, from, to time.Time) outcome {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.FetchTimeout)
	defer cancel()
	samples, err := s.Fetch(ctx, from, to)
	o := outcome{source: s, samples: c.accept(s, samples, from, to)}
	if err == nil {
		c.meters.succeeded(s.Name(), len(o.samples), c.now())
		return o
	}
	failed, whole := failures(err)
	o.failed, o.whole = failed, whole > 0
	o.err = fmt.Errorf("source %s, %s: %w", s.Name(), interval(from, to), err)
	c.meters.failed(s.Name(), len(o.samples), len(failed)+whole)
	return o
}

// interval formats a half-open range for messages.
func interval(from, to time.Time) string {
	return from.UTC().Format(time.RFC3339) + " to " + to.UTC().Format(time.RFC3339)
}
