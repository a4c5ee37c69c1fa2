package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
)

// Record is one record as it is read.
type Record struct {
	Seq     uint64
	Payload []byte // the caller's
}

// All yields the records that were there when it began, oldest first. One segment
// is in memory at a time. Records that are removed or dropped meanwhile may or may
// not come. Records that cannot be read are an error, with the sequence number of the
// last of them, after which the next segment follows. Append and Remove may be called while it runs.
func (s *Spool) All() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		s.mu.Lock()
		front := s.front
		var list []segment
		for _, seg := range s.segments {
			list = append(list, *seg)
		}
		s.mu.Unlock()
		for _, seg := range list {
			data, err := readSegment(s.path(seg.first))
			if errors.Is(err, fs.ErrNotExist) { // removed, or dropped and counted
				continue
			}
			if err != nil {
				if !yield(Record{Seq: seg.end() - 1}, fmt.Errorf("spool %s: %w", s.dir, err)) {
					return
				}
				continue
			}
			if !s.records(data, seg, front, yield) {
				return
			}
		}
	}
}

// records yields the records of one segment from front on, and reports whether
// to go on.
func (s *Spool) records(data []byte, seg segment, front uint64, yield func(Record, error) bool) bool {
	data = data[min(len(data), len(magic)):]
	for i := range seg.count {
		seq := seg.first + uint64(i)
		payload, n, err := decodeRecord(data, seq)
		if err != nil { // it checked out when the spool was opened
			return yield(Record{Seq: seg.end() - 1}, fmt.Errorf("spool %s: record %d to %d: %w", s.dir, seq, seg.end()-1, err))
		}
		data = data[n:]
		if seq >= front && !yield(Record{Seq: seq, Payload: payload}, nil) {
			return false
		}
	}
	return true
}

// maxRead bounds what is read of one segment: whatever a file holds beyond that,
// this package has not written.
const maxRead = maxSegment + MaxRecord + headerLen

func readSegment(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxRead))
}

// files is what the spool asks of the file system to change it; tests fail and
// watch it.
type files interface {
	create(path string) (file, error) // empty, whatever was there
	remove(path string) error
	syncDir(path string) error
}

// file is an open segment.
type file interface {
	io.WriterAt
	io.Closer
	Sync() error
	Truncate(size int64) error
}

// disk is the real file system.
type disk struct{}

func (disk) create(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil { // not a nil *os.File in an interface
		return nil, err
	}
	return f, nil
}

func (disk) remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (disk) syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
