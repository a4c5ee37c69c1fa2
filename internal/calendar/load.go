package calendar

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Bounds of what is read.
const (
	maxFileSize = 4 << 20 // bytes of a file
	maxFiles    = 64      // that a calendar may name
)

// Load reads the calendar in the file at path, JSON or ICS, and the files that it
// names, which it looks for beside it. The error lists all faults, each with its
// file and place; whoever holds an earlier version keeps using it.
func Load(path string) (*Calendar, error) {
	content, faults := load(path)
	if len(faults) > 0 {
		return nil, join("calendar ", faults)
	}
	c, err := build(content)
	if err != nil {
		return nil, fmt.Errorf("calendar %s: %w", path, err)
	}
	return c, nil
}

// load returns the content of a file and of those that it names, and all faults.
func load(path string) (content, []error) {
	raw, err := read(path)
	if err != nil {
		return content{}, []error{err}
	}
	if isICS(path, raw) {
		c, faults := parseICS(raw, settings{})
		return c, under(path, faults)
	}
	c, includes, faults := parseJSON(raw)
	faults = under(path, faults)
	if len(includes) > maxFiles {
		return c, append(faults, fmt.Errorf("%s: files: more than %d", path, maxFiles))
	}
	for _, f := range includes {
		if f.path == "" {
			continue // reported
		}
		other, more := f.load(filepath.Dir(path))
		for _, err := range more {
			if errors.Is(err, os.ErrNotExist) {
				err = fmt.Errorf("%s: %s: %w", path, f.place, err)
			}
			faults = append(faults, err)
		}
		c.add(other)
	}
	return c, faults
}

// load reads a file that another names. It may not name files in its turn.
func (f include) load(dir string) (content, []error) {
	path := f.path
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	raw, err := read(path)
	if err != nil {
		return content{}, []error{err}
	}
	if isICS(path, raw) {
		c, faults := parseICS(raw, f.settings)
		return c, under(path, faults)
	}
	c, includes, faults := parseJSON(raw)
	faults = under(path, faults)
	if f.flags != nil || f.lead != 0 || f.tail != 0 || f.zone != nil {
		faults = append(faults, fmt.Errorf("%s: zone, flags, lead and tail beside a file are for ICS; a JSON file says them itself", path))
	}
	if len(includes) > 0 {
		faults = append(faults, fmt.Errorf("%s: files: a file that is named by another may not name files itself", path))
	}
	return c, faults
}

// under puts the name of a file before faults.
func under(path string, faults []error) []error {
	out := make([]error, len(faults))
	for i, err := range faults {
		out[i] = fmt.Errorf("%s: %w", path, err)
	}
	return out
}

// read returns the bytes of a file of bounded size.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(raw) > maxFileSize {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxFileSize)
	}
	return raw, nil
}

// isICS tells the two formats apart, by the name or by how an ICS file begins.
func isICS(path string, raw []byte) bool {
	raw = bytes.TrimSpace(bytes.TrimPrefix(raw, byteOrderMark))
	return strings.EqualFold(filepath.Ext(path), ".ics") || len(raw) >= 15 && bytes.EqualFold(raw[:15], []byte("BEGIN:VCALENDAR"))
}

var byteOrderMark = []byte("\ufeff")
