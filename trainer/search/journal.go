package search

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Journal keeps the evaluations of one search in a file of JSON lines, so that a
// search that was killed goes on where it was. The first line says which search it
// is; each further line is one evaluation, on the disk before the next one counts.
// A line that a crash cut short is removed when the file is opened. One process
// has the file at a time. It is not safe for concurrent use.
type Journal struct {
	path    string
	file    *os.File
	header  *header // nil: the file is new
	entries []entry
	broken  error // why nothing more can be written
}

// journalName is the file's name in its folder.
const journalName = "search.jsonl"

// ErrOtherSearch says that a journal belongs to a search with another space, seed,
// plan or data, whose losses mean nothing here.
var ErrOtherSearch = errors.New("the journal is of another search")

// ErrInUse says that another process has the journal open.
var ErrInUse = errors.New("another search has the journal open")

// header is the first line.
type header struct {
	Version     int               `json:"search"`
	Fingerprint string            `json:"fingerprint"` // of the settings
	Settings    map[string]string `json:"settings"`    // see Config.settings; they say what differs
}

const journalVersion = 1

// entry is one of the other lines.
type entry struct {
	Trial
	Elapsed time.Duration `json:"elapsed_ns"` // spent by the search up to the end of the evaluation
}

// line is an entry as it is written.
type line struct {
	trialJSON
	Elapsed time.Duration `json:"elapsed_ns"`
}

func (e entry) MarshalJSON() ([]byte, error) { return json.Marshal(line{e.Trial.json(), e.Elapsed}) }

func (e *entry) UnmarshalJSON(raw []byte) error {
	var l line
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&l); err != nil {
		return err
	}
	*e = entry{l.trialJSON.trial(), l.Elapsed}
	switch {
	case e.State != Done && e.State != Failed:
		return fmt.Errorf("the state %q is neither %s nor %s", e.State, Done, Failed)
	case e.State == Done && math.IsNaN(e.Loss):
		return errors.New("the loss is missing")
	}
	return nil
}

// Open opens the journal in dir, which it creates. The error is ErrInUse, or says
// which line cannot be read. The caller closes the journal.
func Open(dir string) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("search journal: %w", err)
	}
	path := filepath.Join(dir, journalName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("search journal: %w", err)
	}
	j := &Journal{path: path, file: f}
	if err := j.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("search journal %s: %w", path, err), f.Close())
	}
	return j, nil
}

// read locks the file and reads it. The kernel drops the lock when the process
// ends, however it ends.
func (j *Journal) read() error {
	if err := syscall.Flock(int(j.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return ErrInUse
		}
		return fmt.Errorf("lock: %w", err)
	}
	raw, err := io.ReadAll(j.file)
	if err != nil {
		return err
	}
	whole := wholeLines(raw)
	if len(whole) < len(raw) { // else the next line would be glued to the torn one
		if err := j.file.Truncate(int64(len(whole))); err != nil {
			return err
		}
	}
	return j.parse(whole)
}

// wholeLines returns what a crash did not cut short: a line counts with its end.
func wholeLines(raw []byte) []byte { return raw[:bytes.LastIndexByte(raw, '\n')+1] }

// parse reads the lines of a journal. The error names the first that cannot be read.
func (j *Journal) parse(whole []byte) (err error) {
	n := 0
	for text := range bytes.Lines(whole) {
		if n++; n == 1 {
			err = j.readHeader(text)
		} else {
			var e entry
			err = json.Unmarshal(text, &e)
			j.entries = append(j.entries, e)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w; remove the file to begin anew", n, err)
		}
	}
	return nil
}

func (j *Journal) readHeader(text []byte) error {
	j.header = &header{}
	if err := json.Unmarshal(text, j.header); err != nil {
		return err
	}
	switch h := j.header; {
	case h.Version != journalVersion:
		return fmt.Errorf("version %d is not %d, which this program reads", h.Version, journalVersion)
	case h.Fingerprint != fingerprint(h.Settings):
		return errors.New("the fingerprint is not that of the settings")
	}
	return nil
}

// fingerprint returns a digest of settings, in lower-case hex.
func fingerprint(settings map[string]string) string {
	text, err := json.Marshal(settings) // keys are sorted
	if err != nil {
		panic(err) // texts can be written
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// begin returns the entries of the search with the given settings, or
// ErrOtherSearch with what differs and what to do.
func (j *Journal) begin(settings map[string]string) ([]entry, error) {
	if j.header != nil {
		if j.header.Fingerprint != fingerprint(settings) {
			return nil, fmt.Errorf("search journal %s: %w: %s; give another folder, or remove the file to begin anew",
				j.path, ErrOtherSearch, differences(j.header.Settings, settings))
		}
		return j.entries, nil
	}
	h := header{Version: journalVersion, Fingerprint: fingerprint(settings), Settings: settings}
	if err := j.write(h); err != nil {
		return nil, err
	}
	if err := syncDir(filepath.Dir(j.path)); err != nil {
		return nil, fmt.Errorf("search journal %s: %w", j.path, err)
	}
	j.header = &h
	return nil, nil
}

// append writes an entry. When it returns nil, the entry survives a crash.
func (j *Journal) append(e entry) error {
	if err := j.write(e); err != nil {
		return err
	}
	j.entries = append(j.entries, e)
	return nil
}

// write appends a line. After an error none is written any more: it would be glued
// to one that is cut short.
func (j *Journal) write(what any) error {
	if j.broken != nil {
		return j.broken
	}
	text, err := json.Marshal(what)
	if err == nil {
		_, err = j.file.Write(append(text, '\n'))
	}
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.broken = fmt.Errorf("search journal %s: %w", j.path, err)
	}
	return j.broken
}

// syncDir makes the name of a new file survive a crash.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Reset forgets all that the journal has, so that another search may begin.
func (j *Journal) Reset() error {
	if err := errors.Join(j.file.Truncate(0), j.file.Sync()); err != nil {
		return fmt.Errorf("search journal %s: %w", j.path, err)
	}
	j.header, j.entries = nil, nil
	return nil
}

// Close lets go of the file.
func (j *Journal) Close() error { return j.file.Close() }
