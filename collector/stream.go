package collector

import (
	"context"
	"time"
)

// Stream is a place that pushes readings.
type Stream interface {
	// Name identifies the stream in the log and the metrics. It is unique among
	// the sources and streams of a collector, and stable over restarts.
	Name() string
	// Run receives until ctx ends, and returns nil then; it reconnects by itself.
	// It hands what it receives to emit and acknowledges a message only after emit
	// returned nil for all readings of it. After an error of emit the message must
	// not be acknowledged: it is to come again. Run may call emit concurrently.
	//
	// An error means that the stream cannot go on; it is logged, and Run is called
	// again after a while.
	Run(ctx context.Context, emit Emit) error
}

// Emit takes readings. It returns nil only when those of them that count are on
// disk (fsynced): only then may the message that brought them be acknowledged.
// Readings that no slot can hold (too old, too far in the future, impossible
// names or values) are dropped, counted, and no error, because they would be no
// better when they came again.
type Emit func(ctx context.Context, readings []Reading) error

// Reading is one measurement of one sensor. Group, Sensor, Metric and Time are its
// identity: a second reading with the same four is a duplicate, whatever its value,
// and counts once.
type Reading struct {
	Group  string
	Sensor string
	Metric string    // snake_case name, unit as in api.Metrics
	Time   time.Time // of the measurement, by the sensor's clock; never that of its arrival
	Value  float64   // finite; of a metric whose default statistic is the sum: what the reading adds to it
	// Retained says that the broker had kept the reading and sent it because the
	// collector subscribed, not because it was measured now.
	Retained bool
}
