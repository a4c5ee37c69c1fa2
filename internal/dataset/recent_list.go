package dataset

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/forescale/forescale/internal/blob"
)

// closedDayParts is what the closed files of one day stand for.
type closedDayParts struct {
	at int64
	closedParts
}

// listParts lists the parts of whole days, and those for which closed files stand
// there. The footers of files that are as they were known before are not read.
func (d *Dataset) listParts(ctx context.Context, days span, known map[int64]closedParts) ([]blob.Info, []closedDayParts, error) {
	// In this order none can be missing from both, see plan.
	open, err := d.list(ctx, datePrefix, days.min, days.max)
	if err != nil {
		return nil, nil, err
	}
	files, err := d.list(ctx, closedPrefix, days.min, days.max)
	if err != nil {
		return nil, nil, err
	}
	var sealed []closedDayParts
	for len(files) > 0 {
		at := dayOf(files[0].Key).UnixMicro()
		n := 1
		for n < len(files) && dayOf(files[n].Key).UnixMicro() == at {
			n++
		}
		mark := uint64(0)
		for _, info := range files[:n] {
			mark = mark*31 + uint64(idOf(info))
		}
		is := closedParts{mark: mark}
		if was, found := known[at]; found && was.mark == mark {
			is = was
		} else if is.parts, err = d.partsOfClosed(ctx, files[:n]); err != nil {
			return nil, nil, err
		}
		sealed = append(sealed, closedDayParts{at, is})
		files = files[n:]
	}
	return open, sealed, nil
}

// partsOfClosed returns the parts that the closed files of a day stand for together.
func (d *Dataset) partsOfClosed(ctx context.Context, infos []blob.Info) ([]partID, error) {
	p := new(plan)
	if err := d.footers(ctx, p, infos, nil); err != nil {
		return nil, err
	}
	if len(p.broken) > 0 || len(p.stale) > 0 {
		return nil, fmt.Errorf("%w: the closed files of %s cannot be read, or are being replaced", ErrNotRecent,
			dayOf(infos[0].Key).Format(time.DateOnly))
	}
	day := &closedDay{}
	found := map[partID]bool{}
	for _, c := range p.closed {
		day.files = append(day.files, c.file)
		for _, id := range c.file.parts {
			found[id] = true
		}
	}
	maps.DeleteFunc(found, func(id partID, _ bool) bool { return !day.holds(id) })
	return slices.Sorted(maps.Keys(found)), nil
}
