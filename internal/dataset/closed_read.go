package dataset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/internal/blob"
)

// closedSource is a closed file as it was listed, with its footer.
type closedSource struct {
	info blob.Info
	file *closedFile
}

// plan is what must be read to answer a query: the parts for which no closed file
// stands, and the closed files.
type plan struct {
	open   []blob.Info
	closed []closedSource
	broken []*CorruptError // closed files whose footer cannot be read
	stale  []time.Time     // days that changed while they were looked at
}

// plan lists what may hold rows of [lo, hi) and of the query's groups. The parts
// are listed before the closed files: a part that is compacted away in between is
// then in a file that is listed, and none can be missing from both.
func (d *Dataset) plan(ctx context.Context, q Query, lo, hi int64) (*plan, error) {
	listed, err := d.list(ctx, datePrefix, lo, hi)
	if err != nil {
		return nil, err
	}
	closed, err := d.list(ctx, closedPrefix, lo, hi)
	if err != nil {
		return nil, err
	}
	p := new(plan)
	if err := d.footers(ctx, p, closed, q.Groups); err != nil {
		return nil, err
	}
	days := map[time.Time]*closedDay{}
	for _, c := range p.closed {
		day := days[c.file.key.day]
		if day == nil {
			day = &closedDay{groups: q.Groups}
			days[c.file.key.day] = day
		}
		day.files = append(day.files, c.file)
	}
	for _, info := range listed {
		if d.cache.outside(versioned(info), lo, hi) {
			continue
		}
		if day, _, ok := parseKey(info.Key); ok && days[day] != nil && days[day].holds(idOf(info)) {
			continue
		}
		p.open = append(p.open, info)
	}
	return p, nil
}

// closedDay is the files of one day that a query for groups needs.
type closedDay struct {
	groups []string // none: all
	files  []*closedFile
}

// holds reports whether the files stand for all rows of the part that the query
// asks for.
func (c *closedDay) holds(id partID) bool {
	holding := map[int]int{} // by number of files
	for _, f := range c.files {
		if f.holds(id) {
			holding[f.key.files]++
		}
	}
	for files, n := range holding {
		if n == len(filesOf(c.groups, files)) {
			return true
		}
	}
	return false
}

// filesOf returns the numbers of the files, of a day that has files of them, which
// hold the groups; no groups are all.
func filesOf(groups []string, files int) map[int]bool {
	of := map[int]bool{}
	for _, g := range groups {
		of[fileOf(g, files)] = true
	}
	for k := 0; len(groups) == 0 && k < files; k++ {
		of[k] = true
	}
	return of
}

// footers adds to the plan the closed files that hold the groups.
func (d *Dataset) footers(ctx context.Context, p *plan, infos []blob.Info, groups []string) error {
	found := make([]*closedFile, len(infos))
	broken := make([]error, len(infos))
	wanted := map[int]map[int]bool{} // by number of files
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, info := range infos {
		key, ok := parseClosed(info.Key)
		if !ok {
			broken[i] = &CorruptError{info.Key, errors.New("the key is not that of a closed file")}
			continue
		}
		if wanted[key.files] == nil {
			wanted[key.files] = filesOf(groups, key.files)
		}
		if !wanted[key.files][key.file] {
			continue
		}
		g.Go(func() error {
			found[i], broken[i] = d.footer(gctx, info, key)
			if c := (*CorruptError)(nil); errors.As(broken[i], &c) || errors.Is(broken[i], errStale) {
				return nil
			}
			return broken[i]
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, info := range infos {
		c := (*CorruptError)(nil)
		switch {
		case errors.As(broken[i], &c):
			p.broken = append(p.broken, c)
		case broken[i] != nil:
			p.stale = append(p.stale, dayOf(info.Key))
		case found[i] != nil:
			p.closed = append(p.closed, closedSource{info, found[i]})
		}
	}
	return nil
}

// errStale: the object is no longer the one that was listed. List again.
var errStale = errors.New("replaced while it was read")

// guessFooter returns how many bytes at the end of a file of the given size are
// likely to hold its footer; see blockRows for its share.
func guessFooter(size int64) int64 { return min(max(size/170, 8<<10), 384<<10, size) }

// footer returns the footer of a closed file, from the cache if it is there.
func (d *Dataset) footer(ctx context.Context, info blob.Info, key closedKey) (*closedFile, error) {
	name := versioned(info)
	if f, ok := d.cache.get(name).(*closedFile); ok {
		return f, nil
	}
	f, err := d.readFooter(ctx, info, key)
	if err != nil {
		return nil, d.blame(ctx, info, err)
	}
	d.cache.put(name, f)
	return f, nil
}

func (d *Dataset) readFooter(ctx context.Context, info blob.Info, key closedKey) (*closedFile, error) {
	tail, err := d.store.GetRange(ctx, info.Key, -guessFooter(info.Size), max(1, guessFooter(info.Size)))
	if err != nil {
		return nil, err
	}
	n, err := footerLen(tail, info.Size)
	if err != nil {
		return nil, &CorruptError{info.Key, err}
	}
	if have := int64(len(tail)); n > have {
		front, err := d.store.GetRange(ctx, info.Key, info.Size-n, n-have)
		if err != nil {
			return nil, err
		}
		tail = append(front, tail...)
	}
	if int64(len(tail)) < n {
		return nil, &CorruptError{info.Key, fmt.Errorf("%d bytes where a footer of %d should be", len(tail), n)}
	}
	var f *closedFile
	err = safely(func() (err error) {
		f, err = decodeClosed(tail[int64(len(tail))-n:], key, info.Size)
		return err
	})
	if err != nil {
		return nil, &CorruptError{info.Key, err}
	}
	return f, nil
}

// blame returns errStale in place of an error that comes of reading an object
// that is not the one listed any more, and any other error as it is.
func (d *Dataset) blame(ctx context.Context, info blob.Info, err error) error {
	if errors.Is(err, blob.ErrNotFound) {
		return fmt.Errorf("%w: %w", errStale, err)
	}
	if c := (*CorruptError)(nil); !errors.As(err, &c) {
		return err
	}
	for now, listErr := range d.store.List(ctx, info.Key, "") {
		switch {
		case listErr != nil:
			return listErr
		case now.Key == info.Key && now.Version == info.Version:
			return err
		}
		break
	}
	return fmt.Errorf("%w: %v", errStale, err) // not a *CorruptError any more
}

// maxReadBytes bounds one request for neighbouring row groups.
const maxReadBytes = 8 << 20

// selects returns the numbers of the row groups that may hold rows of [lo, hi) and
// of the groups, which are sorted; none are all.
func (f *closedFile) selects(groups []string, lo, hi int64) (numbers []int) {
	for i, b := range f.blocks {
		if b.max < lo || b.min >= hi {
			continue
		}
		if at, _ := slices.BinarySearch(groups, b.first); len(groups) == 0 || at < len(groups) && groups[at] <= b.last {
			numbers = append(numbers, i)
		}
	}
	return numbers
}

// readBlocks calls use with each of the row groups, from the cache or the store.
func (d *Dataset) readBlocks(ctx context.Context, c closedSource, numbers []int, use func(*part)) error {
	for len(numbers) > 0 {
		name := func(i int) string { return fmt.Sprintf("%s#%d", versioned(c.info), i) }
		if p, ok := d.cache.get(name(numbers[0])).(*part); ok {
			use(p)
			numbers = numbers[1:]
			continue
		}
		first := c.file.blocks[numbers[0]]
		n, end := 1, first.offset+first.length
		for n < len(numbers) {
			next := c.file.blocks[numbers[n]]
			if next.offset != end || end+next.length-first.offset > maxReadBytes {
				break
			}
			end += next.length
			n++
		}
		data, err := d.store.GetRange(ctx, c.info.Key, first.offset, end-first.offset)
		if err != nil {
			return d.blame(ctx, c.info, err)
		}
		for _, i := range numbers[:n] {
			p, err := c.file.block(i, data, first.offset)
			if err != nil {
				return d.blame(ctx, c.info, &CorruptError{c.info.Key, fmt.Errorf("row group %d: %w", i, err)})
			}
			d.cache.put(name(i), p)
			use(p)
		}
		numbers = numbers[n:]
	}
	return nil
}

// block decodes row group i out of data, which begins at the offset begin of the
// file.
func (f *closedFile) block(i int, data []byte, begin int64) (p *part, err error) {
	b := &f.blocks[i]
	at := b.offset - begin
	if at+b.length > int64(len(data)) {
		return nil, errReplaced
	}
	err = safely(func() (err error) {
		p, err = f.decodeBlock(b, data[at:at+b.length])
		return err
	})
	return p, err
}

// dayOf returns the day in the key of a part or of a closed file.
func dayOf(key string) time.Time {
	_, date, _ := strings.Cut(key, "date=")
	date, _, _ = strings.Cut(date, "/")
	day, _ := time.Parse(time.DateOnly, date) // the key was parsed, or listed by its day
	return day
}
