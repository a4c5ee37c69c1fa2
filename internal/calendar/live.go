package calendar

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
)

// Live is the calendar of a file that may change while a program runs. It answers
// for the last version that was sound. It is safe for concurrent use.
type Live struct {
	path    string
	now     atomic.Pointer[Calendar]
	refused string // what was said of the version that was refused last; owned by Reload's caller
}

var _ window.Flags = (*Live)(nil)

// Open loads the file at path as Load does, to be loaded again by Reload.
func Open(path string) (*Live, error) {
	c, err := Load(path)
	if err != nil {
		return nil, err
	}
	l := &Live{path: path}
	l.now.Store(c)
	return l, nil
}

// Calendar returns the version that holds now.
func (l *Live) Calendar() *Calendar { return l.now.Load() }

// Flag returns what Calendar.Flag of the version that holds now does.
func (l *Live) Flag(name string, t time.Time) float64 { return l.Calendar().Flag(name, t) }

// Flags returns the flags of the version that holds now.
func (l *Live) Flags() []string { return l.Calendar().Flags() }

// Hash returns the hash of the version that holds now.
func (l *Live) Hash() string { return l.Calendar().Hash() }

// Reload reads the file, and those that it names, again, and reports whether they
// say something else now. What is broken, or gone, changes nothing: the earlier
// version keeps holding, and the error, which is returned once for each thing that
// is wrong, says what to mend. Calls must not overlap.
func (l *Live) Reload() (changed bool, err error) {
	c, err := Load(l.path)
	if err != nil {
		if err.Error() == l.refused {
			return false, nil
		}
		l.refused = err.Error()
		return false, err
	}
	l.refused = ""
	if c.Hash() == l.Hash() { // what is known of past years stays known
		return false, nil
	}
	l.now.Store(c)
	return true, nil
}

// Events is Calendar.Events of the present calendar.
func (l *Live) Events(from, to time.Time) []api.Event { return l.Calendar().Events(from, to) }

// Refresh is Reload for a program that logs what came of it.
func (l *Live) Refresh(log *slog.Logger) {
	switch changed, err := l.Reload(); {
	case err != nil:
		log.Error("the changed calendar is broken, the earlier one holds", "err", err)
	case changed:
		log.Info("the calendar has changed", "file", l.path, "hash", l.Hash(), "flags", l.Flags())
	}
}

// Watch calls Refresh at every interval until ctx ends, and returns nil then.
func (l *Live) Watch(ctx context.Context, every time.Duration, log *slog.Logger) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			l.Refresh(log)
		}
	}
}
