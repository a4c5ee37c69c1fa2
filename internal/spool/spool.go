package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Config says where a spool is and how much it may take.
type Config struct {
	Dir      string // created when it is missing
	MaxBytes int64  // of all segments together, at least MinBytes
}

// MinBytes is the least that Config.MaxBytes may be.
const MinBytes = 1 << 20

// maxSegment bounds a segment that holds more than one record, in bytes.
const maxSegment = 4 << 20

var (
	// ErrLocked says that another process, or another Spool of this one, has the
	// directory.
	ErrLocked = errors.New("the spool is in use by another process")
	// ErrTooLarge says that a record is longer than the spool may hold beside others.
	ErrTooLarge = errors.New("the record is too large for the spool")
	// ErrClosed says that the spool was closed.
	ErrClosed = errors.New("the spool is closed")
)

// Stats tells the state of a spool, and what happened since it was opened.
type Stats struct {
	Records  int   // waiting: appended and not removed or dropped
	Bytes    int64 // on disk
	Appended int
	Dropped  int // records that went because the spool was full
	Lost     int // records that damage has made unreadable
	Damaged  int // segments that were damaged, and records that were not what they are numbered as
}

// Spool is an open log. It is safe for concurrent use.
type Spool struct {
	dir        string
	lock       *os.File
	maxBytes   int64
	maxSegment int64
	fs         files

	commit sync.Mutex // held by who writes; taken before mu
	active file       // guarded by commit: the last segment, open; nil: the next write begins a new one

	mu       sync.Mutex
	closed   bool
	queue    []*request // waiting for whoever holds commit next
	segments []*segment // oldest first
	front    uint64     // records before it were removed
	next     uint64     // sequence number of the next record
	stats    Stats      // Records and Bytes are reckoned when asked for
}

// segment is one file. Only its last one changes.
type segment struct {
	first uint64
	count int   // acknowledged records
	size  int64 // bytes of the file that hold them, and what is behind them for certain
}

// end returns the sequence number behind the segment's last record.
func (s *segment) end() uint64 { return s.first + uint64(s.count) }

// request is one Append.
type request struct {
	payload []byte
	seq     uint64
	err     error
	done    bool // guarded by Spool.commit
}

// Open opens the spool in the directory and reads it through once. The error is
// ErrLocked when someone else has it open.
func Open(c Config) (*Spool, error) { return open(c, disk{}) }

func open(c Config, fs files) (*Spool, error) {
	if c.MaxBytes < MinBytes {
		return nil, fmt.Errorf("spool %s: %d bytes are less than %d", c.Dir, c.MaxBytes, MinBytes)
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if err := fs.syncDir(filepath.Dir(filepath.Clean(c.Dir))); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	lock, err := takeLock(filepath.Join(c.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("spool %s: %w", c.Dir, err)
	}
	s := &Spool{dir: c.Dir, lock: lock, fs: fs, maxBytes: c.MaxBytes, maxSegment: min(maxSegment, c.MaxBytes/8)}
	if err := s.load(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("spool %s: %w", c.Dir, err)
	}
	return s, nil
}

// load finds the segments and what is in them.
func (s *Spool) load() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	s.next = 1
	for _, e := range entries { // sorted by name, which is by sequence number
		first, ok := parseName(e.Name())
		if !ok || !e.Type().IsRegular() {
			continue
		}
		if err := s.loadSegment(first); err != nil {
			return err
		}
	}
	s.segments = slices.DeleteFunc(s.segments, func(seg *segment) bool {
		return seg.count == 0 && s.fs.remove(s.path(seg.first)) == nil
	})
	s.front = s.next
	if len(s.segments) > 0 {
		s.front = s.segments[0].first
	}
	return s.makeRoom(0)
}

// loadSegment adds the segment to the list. One that is not what it should be is
// set aside, for someone to look at.
func (s *Spool) loadSegment(first uint64) error {
	data, err := readSegment(s.path(first))
	if err != nil {
		return err
	}
	offsets, _, err := scanSegment(data, first)
	if err != nil {
		s.stats.Damaged++
		return os.Rename(s.path(first), s.path(first)+".damaged")
	}
	if n := len(s.segments); n > 0 {
		before := s.segments[n-1]
		switch {
		case before.end() > first: // what a failed write left
			before.count = int(max(first, before.first) - before.first)
		case before.end() < first:
			s.stats.Damaged++
			s.stats.Lost += int(first - before.end())
		}
	}
	seg := &segment{first: first, count: len(offsets), size: int64(len(data))}
	s.segments = append(s.segments, seg)
	s.next = max(s.next, seg.end())
	return nil
}

func (s *Spool) path(first uint64) string { return filepath.Join(s.dir, segmentName(first)) }

// Append stores the record at the end and returns its sequence number, which is
// greater than that of every record before it. A full spool loses its oldest
// segment by it. The spool does not keep the payload.
func (s *Spool) Append(payload []byte) (uint64, error) {
	if int64(len(payload)) > min(MaxRecord, s.maxBytes/4) {
		return 0, fmt.Errorf("spool %s: %d bytes: %w", s.dir, len(payload), ErrTooLarge)
	}
	r := &request{payload: payload}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return 0, fmt.Errorf("spool %s: %w", s.dir, ErrClosed)
	}
	s.queue = append(s.queue, r)
	s.mu.Unlock()

	// Whoever comes first writes for all who wait; the others find theirs done.
	s.commit.Lock()
	defer s.commit.Unlock()
	if !r.done {
		s.mu.Lock()
		batch := s.queue
		s.queue = nil
		s.mu.Unlock()
		s.write(batch)
	}
	if r.err != nil {
		return 0, fmt.Errorf("spool %s: %w", s.dir, r.err)
	}
	return r.seq, nil
}

// write stores the requests, as many at once as a segment takes. The caller holds commit.
func (s *Spool) write(batch []*request) {
	for len(batch) > 0 {
		size, n := int64(0), 0
		for n < len(batch) && (n == 0 || size+headerLen+int64(len(batch[n].payload)) <= s.maxSegment-int64(len(magic))) {
			size += headerLen + int64(len(batch[n].payload))
			n++
		}
		err := s.writeOnce(batch[:n], size)
		for _, r := range batch[:n] {
			r.err, r.done = err, true
		}
		batch = batch[n:]
	}
}

// writeOnce stores the requests, size bytes in all, with one write and one sync.
func (s *Spool) writeOnce(batch []*request, size int64) error {
	s.mu.Lock()
	if s.active != nil && s.last().size+size > s.maxSegment {
		s.seal()
	}
	err := s.makeRoom(size + int64(len(magic)))
	next, last, fresh := s.next, s.last(), s.active == nil
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if fresh {
		size += int64(len(magic))
	}
	buf := make([]byte, 0, size)
	if fresh {
		buf = append(buf, magic...)
	}
	for i, r := range batch {
		r.seq = next + uint64(i)
		buf = appendRecord(buf, r.seq, r.payload)
	}
	if fresh {
		err = s.begin(next, buf)
	} else {
		err = s.extend(last, buf)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if fresh {
		s.segments = append(s.segments, &segment{first: next, count: len(batch), size: size})
	} else {
		last.count += len(batch)
		last.size += size
	}
	s.next = next + uint64(len(batch))
	s.stats.Appended += len(batch)
	return nil
}

// begin makes a new segment out of data.
func (s *Spool) begin(first uint64, data []byte) error {
	path := s.path(first)
	f, err := s.fs.create(path)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(data, 0); err == nil {
		if err = f.Sync(); err == nil {
			err = s.fs.syncDir(s.dir)
		}
	}
	if err != nil { // nothing in it was acknowledged
		return errors.Join(err, f.Close(), s.fs.remove(path))
	}
	s.active = f
	return nil
}

// extend appends data to the active segment. After an error nobody knows what of
// it is on disk, and another sync could not tell: the segment is closed for good.
func (s *Spool) extend(last *segment, data []byte) error {
	_, err := s.active.WriteAt(data, last.size)
	if err == nil {
		err = s.active.Sync()
	}
	if err != nil {
		err = errors.Join(err, s.active.Truncate(last.size))
		s.seal()
	}
	return err
}

// seal makes the next write begin a new segment. The caller holds commit.
func (s *Spool) seal() {
	if s.active != nil {
		_ = s.active.Close() // everything in it that counts is synced
		s.active = nil
	}
}

// last returns the newest segment, nil when there is none.
func (s *Spool) last() *segment {
	if len(s.segments) == 0 {
		return nil
	}
	return s.segments[len(s.segments)-1]
}

// makeRoom drops the oldest segments until size more bytes fit. The caller holds
// commit and mu.
func (s *Spool) makeRoom(size int64) error {
	for len(s.segments) > 0 && s.bytes()+size > s.maxBytes {
		oldest := s.segments[0]
		if len(s.segments) == 1 {
			s.seal()
		}
		if err := s.fs.remove(s.path(oldest.first)); err != nil {
			return fmt.Errorf("drop the oldest records: %w", err)
		}
		if end := oldest.end(); end > s.front {
			s.stats.Dropped += int(end - max(s.front, oldest.first))
			s.front = end
		}
		s.segments = s.segments[1:]
	}
	return nil
}

func (s *Spool) bytes() (n int64) {
	for _, seg := range s.segments {
		n += seg.size
	}
	return n
}

// Remove takes the records up to and including seq out of the spool. After a
// crash some of them may be back.
func (s *Spool) Remove(seq uint64) error {
	s.commit.Lock()
	defer s.commit.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.front = max(s.front, min(seq+1, s.next))
	for len(s.segments) > 0 && s.segments[0].end() <= s.front {
		if len(s.segments) == 1 {
			s.seal()
		}
		if err := s.fs.remove(s.path(s.segments[0].first)); err != nil {
			return fmt.Errorf("spool %s: remove what was delivered: %w", s.dir, err)
		}
		s.segments = s.segments[1:]
	}
	return nil
}

// First returns the sequence number of the oldest record that is there; when
// there is none, that of the record that comes next.
func (s *Spool) First() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.front
}

// Stats returns the state of the spool.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Bytes = s.bytes()
	for _, seg := range s.segments {
		if end := seg.end(); end > s.front {
			st.Records += int(end - max(seg.first, s.front))
		}
	}
	return st
}

// Close ends the use of the spool. Records stay.
func (s *Spool) Close() error {
	s.commit.Lock()
	defer s.commit.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.seal()
	return s.lock.Close()
}
