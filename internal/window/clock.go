package window

import (
	"fmt"
	"math"
	"sync"
	"time"
)

// clock is the wall clock of a place at one moment.
type clock struct {
	weekday      int // 0 is Monday
	hour, minute int
	second       float64 // with its fraction
}

// minutes returns the minute of the hour with its fraction.
func (c clock) minutes() float64 { return float64(c.minute) + c.second/60 }

// clocks tells the wall clock of the slots from an origin on. It asks the time
// zone for its offset once and then only where that changes: a look-up for each
// slot and component would cost more than all else that Encode does.
type clocks struct {
	zone         *time.Location
	origin, step int64   // in seconds, origin from 1970 on
	fraction     float64 // of a second that the origin lies after its whole one
	offset       int64   // of the zone from UTC, in seconds
	since, until int64   // the offset holds in [since, until)
}

func newClocks(zone *time.Location, origin time.Time, step time.Duration) clocks {
	c := clocks{zone: zone, origin: origin.Unix(), step: int64(step / time.Second), fraction: float64(origin.Nanosecond()) / 1e9}
	c.look(c.origin)
	return c
}

// look sets the offset that holds at a time in seconds from 1970 on.
func (c *clocks) look(unix int64) {
	local := time.Unix(unix, 0).In(c.zone)
	_, offset := local.Zone()
	c.offset, c.since, c.until = int64(offset), math.MinInt64, math.MaxInt64
	since, until := local.ZoneBounds()
	if !since.IsZero() {
		c.since = since.Unix()
	}
	if !until.IsZero() {
		c.until = until.Unix()
	}
}

// at returns the clock at the start of the slot k steps after the origin.
func (c *clocks) at(k int) clock {
	unix := c.origin + int64(k)*c.step
	if unix < c.since || unix >= c.until {
		c.look(unix)
	}
	const day = 24 * 60 * 60
	local := unix + c.offset
	days, second := local/day, local%day
	if second < 0 { // before 1970
		days, second = days-1, second+day
	}
	return clock{
		weekday: int((days%7 + 7 + 3) % 7), // 1 January 1970 was a Thursday
		hour:    int(second / 3600), minute: int(second / 60 % 60),
		second: float64(second%60) + c.fraction,
	}
}

// zones caches time zones by name: time.LoadLocation reads and parses a file each
// time. It holds at most the names of the time zone database.
var zones sync.Map

func loadZone(name string) (*time.Location, error) {
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location), nil
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("spec: time_zone: %w", err)
	}
	zones.Store(name, z)
	return z, nil
}
