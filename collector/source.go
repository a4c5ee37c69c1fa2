package collector

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
)

// Source is a place that can be asked for the samples of a range.
// Implementations are safe for concurrent use.
type Source interface {
	// Name identifies the source in the state, the log and the metrics. It is
	// unique within a collector and stable over restarts.
	Name() string
	// Fetch returns the samples whose slot starts in [from, to), in any order.
	// A slot for which the provider has no value has no sample.
	//
	// Samples and an error may come together: what could be read is returned, and
	// the error joins what could not. A *SeriesError in it speaks of some series
	// only; any other error means that the whole range is to be asked again.
	Fetch(ctx context.Context, from, to time.Time) ([]api.Sample, error)
}

// Bounded is implemented by a Source whose provider forgets.
type Bounded interface {
	// Oldest returns the start of the oldest slot that the provider still has at now.
	Oldest(now time.Time) time.Time
}

// Metered is implemented by a Source that counts what it asks of its provider.
type Metered interface {
	// Calls returns the totals since the source was opened.
	Calls() Calls
}

// Calls counts requests to a provider, repeated ones included.
type Calls struct {
	Made      int // sent
	Throttled int // of these, refused because there were too many
}

// Series identifies what a Sample is one value of.
type Series struct {
	Group  string
	Metric string
	Stat   api.Stat
}

// String returns group/series name, for example web/response_time_p95.
func (s Series) String() string { return s.Group + "/" + api.SeriesName(s.Metric, s.Stat) }

// SeriesOf returns the series that the sample belongs to.
func SeriesOf(s api.Sample) Series { return Series{s.Group, s.Metric, s.Stat} }

// AllGroups in place of a Series' group, in a SeriesError, stands for every group
// that the series' metric and statistic may have: the source learns the groups
// from the answer that did not come.
const AllGroups = "*"

// SeriesError says that some series of a source could not be read, while the
// others of the same Fetch were.
type SeriesError struct {
	Series []Series // at least one
	Err    error
}

// shownSeries bounds how many series an error message names.
const shownSeries = 3

// Error names the first few series and the cause.
func (e *SeriesError) Error() string {
	var names []string
	for _, s := range e.Series[:min(len(e.Series), shownSeries)] {
		names = append(names, s.String())
	}
	text := strings.Join(names, ", ")
	if more := len(e.Series) - shownSeries; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *SeriesError) Unwrap() error { return e.Err }

// failures splits an error of Fetch into the series that failed on their own and
// the number of faults that speak of the whole source.
func failures(err error) (failed []Series, whole int) {
	switch e := err.(type) { //nolint:errorlint // the tree is walked by hand, node by node
	case nil:
		return nil, 0
	case *SeriesError:
		return e.Series, 0
	case interface{ Unwrap() []error }:
		for _, child := range e.Unwrap() {
			f, w := failures(child)
			failed, whole = append(failed, f...), whole+w
		}
		return failed, whole
	case interface{ Unwrap() error }:
		if child := e.Unwrap(); child != nil {
			return failures(child)
		}
	}
	return nil, 1
}
