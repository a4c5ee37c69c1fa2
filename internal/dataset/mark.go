package dataset

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"time"
)

// Mark returns a number that is another one, almost certainly, as soon as a part has
// been added to a day from the given one on, or recent/ has been written. It costs
// one listing for each of open/, closed/ and recent/, and reads nothing: it is for
// those who want to know whether there is something new.
func (d *Dataset) Mark(ctx context.Context, from time.Time) (uint64, error) {
	sum := fnv.New64a()
	first := from.UTC().Format(time.DateOnly)
	for _, at := range []struct{ prefix, after string }{
		{datePrefix, datePrefix + first}, {closedPrefix, closedPrefix + first}, {recentPrefix, ""},
	} {
		for info, err := range d.store.List(ctx, at.prefix, at.after) {
			if err != nil {
				return 0, fmt.Errorf("mark: %w", err)
			}
			_, _ = io.WriteString(sum, info.Key+"\n"+info.Version+"\n") // a hash never fails
		}
	}
	return sum.Sum64(), nil
}
