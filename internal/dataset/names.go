package dataset

import (
	"encoding/binary"
	"fmt"

	"github.com/forescale/forescale/api"
)

// nameReader turns the three name columns into indexes of part.series.
//
// A part of a tick names thousands of series, one a row, and they are nearly those
// of the tick before, in the same order. Comparing each with its forerunners costs
// a fraction of looking it up, and names that are held already are not held twice.
type nameReader struct {
	columns [3][]byte // what is left of group, metric, stat
	part    *part
	like    []series // of another part
	at      int      // like[:at] are less than the names to come, if both are in order
	// known is nil as long as the rows are in order; part.series is sorted then.
	known map[string]int32
	buf   []byte
}

// next returns the index of the series that the next row belongs to.
func (r *nameReader) next() (int32, error) {
	var names [3][]byte
	for i, left := range r.columns {
		if len(left) < 4 {
			return 0, fmt.Errorf("column %s ends early", columns[i].name)
		}
		n := binary.LittleEndian.Uint32(left)
		if n > api.MaxNameLen || int(n) > len(left)-4 {
			return 0, fmt.Errorf("column %s: a name of %d bytes", columns[i].name, n)
		}
		names[i] = left[4 : 4+n]
		r.columns[i] = left[4+n:]
	}
	last := int32(len(r.part.series)) - 1
	if r.known == nil {
		order := 1
		if last >= 0 {
			order = compareNames(names, r.part.series[last])
		}
		switch {
		case order == 0:
			return last, nil
		case order > 0:
			return last + 1, r.add(names)
		}
		r.known = make(map[string]int32, len(r.part.series))
		for i, s := range r.part.series {
			r.known[string(r.key([3][]byte{[]byte(s.group), []byte(s.metric), []byte(s.stat)}))] = int32(i)
		}
	}
	key := r.key(names)
	if index, ok := r.known[string(key)]; ok {
		return index, nil
	}
	r.known[string(key)] = last + 1
	return last + 1, r.add(names)
}

// key returns the names with their lengths, so that they are unambiguous, in a
// slice that is used again.
func (r *nameReader) key(names [3][]byte) []byte {
	r.buf = r.buf[:0]
	for _, name := range names {
		r.buf = binary.LittleEndian.AppendUint32(r.buf, uint32(len(name)))
		r.buf = append(r.buf, name...)
	}
	return r.buf
}

// add appends a series to the part.
func (r *nameReader) add(names [3][]byte) error {
	for r.at < len(r.like) && compareNames(names, r.like[r.at]) > 0 {
		r.at++
	}
	if r.at < len(r.like) && compareNames(names, r.like[r.at]) == 0 {
		r.part.series = append(r.part.series, r.like[r.at])
		return nil
	}
	s := series{string(names[0]), string(names[1]), api.Stat(names[2])}
	if err := s.check(); err != nil {
		return err
	}
	r.part.series = append(r.part.series, s)
	return nil
}

func (r *nameReader) done() bool {
	return len(r.columns[0])+len(r.columns[1])+len(r.columns[2]) == 0
}

// compareNames orders group, metric and stat as compareSeries does.
func compareNames(names [3][]byte, s series) int {
	if c := compareName(names[0], s.group); c != 0 {
		return c
	}
	if c := compareName(names[1], s.metric); c != 0 {
		return c
	}
	return compareName(names[2], string(s.stat))
}

// compareName allocates nothing, as a conversion beside a comparison does not.
func compareName(name []byte, s string) int {
	switch {
	case string(name) == s:
		return 0
	case string(name) < s:
		return -1
	}
	return 1
}

// check returns an error unless the series is one that a part may hold. It asks less
// than api.CheckName does of what is written: for the sake of one odd name a reader
// does not leave out all the other rows of an object.
func (s series) check() error {
	for _, name := range []string{s.group, s.metric} {
		if name == "" || len(name) > api.MaxNameLen {
			return fmt.Errorf("the name %.40q is not 1 to %d bytes long", name, api.MaxNameLen)
		}
	}
	if !s.stat.Valid() {
		return fmt.Errorf("%s/%s: unknown stat %q", s.group, s.metric, s.stat)
	}
	return nil
}
