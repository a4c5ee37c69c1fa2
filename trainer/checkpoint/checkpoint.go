// Package checkpoint keeps the state of a training that is under way in a
// directory, so that one that was stopped can be continued: a file per stage,
// replaced as a whole, with a header that says which training it belongs to and a
// checksum over all of it.
//
// It keeps one invariant: what Load returns was saved, byte for byte, by a
// training of the same program version, kernel set, configuration and data. It
// knows nothing of what a state means; that is the trainer's.
//
// # Format
//
//	magic   "forescale checkpoint 1\n"
//	length  of the header, 4 bytes, little-endian
//	header  JSON of an Identity
//	state
//	sum     SHA-256 of everything before it, 32 bytes
package checkpoint

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/file"
)

const (
	magic  = "forescale checkpoint 1\n"
	suffix = ".ckpt"
)

// Identity says which training a checkpoint belongs to.
type Identity struct {
	Program string `json:"program"` // version of the program
	// Kernel names the kernel set, which the last bits of a state follow from: one
	// begun by a set and ended by another would give bytes that neither gives alone.
	Kernel string `json:"kernel"`
	Config string `json:"config"` // hash of the configuration
	Data   string `json:"data"`   // hash of the history
	// Until is the end of the history where it is cut out of a data lake that
	// grows; zero otherwise. A training that is to be continued must be given the
	// same history; it is not compared, since Data is.
	Until time.Time `json:"until,omitzero"`
}

// Dir is a checkpoint in a directory, which is created with the first Save. It is
// safe for concurrent use on different stages.
type Dir struct {
	path string
	id   Identity
	note func(string)
}

// errDamaged marks a file that is not what Save wrote.
var errDamaged = errors.New("damaged")

// Open readies the checkpoint in the directory path for the training id. note,
// which must not be nil, hears in a sentence what becomes of a checkpoint that is
// there already:
//
//   - without resume it is discarded;
//   - a damaged one is discarded, and the training begins afresh;
//   - that of another program version, kernel set, configuration or history stays,
//     and is an error that says what to do.
func Open(path string, id Identity, resume bool, note func(string)) (*Dir, error) {
	d := &Dir{path: path, id: id, note: note}
	files, err := d.files()
	switch {
	case err != nil:
		return nil, fmt.Errorf("checkpoint: %w", err)
	case len(files) == 0:
		if resume {
			note(fmt.Sprintf("no checkpoint in %s; training begins afresh", path))
		}
		return d, d.Remove()
	case !resume:
		note(fmt.Sprintf("the checkpoint in %s is discarded; -resume would have continued it", path))
		return d, d.Remove()
	}
	for _, name := range files {
		of, _, err := read(name)
		switch {
		case errors.Is(err, errDamaged):
			note(fmt.Sprintf("%v; the checkpoint is discarded and training begins afresh", err))
			return d, d.Remove()
		case err != nil:
			return nil, fmt.Errorf("checkpoint: %w", err)
		}
		if what := id.differs(of); what != "" {
			return nil, fmt.Errorf("the checkpoint in %s is of %s: remove %s or run without -resume", path, what, path)
		}
	}
	note(fmt.Sprintf("training continues from the checkpoint in %s", path))
	return d, nil
}

// differs says in what other training's terms id is not that of of, "" if it is.
func (id Identity) differs(of Identity) string {
	switch {
	case of.Program != id.Program:
		return fmt.Sprintf("another program version (%s; this is %s)", of.Program, id.Program)
	case of.Kernel != id.Kernel: // "" of a version that did not note it
		return fmt.Sprintf("another kernel set (%s; this is %s)", cmp.Or(of.Kernel, "not noted"), id.Kernel)
	case of.Config != id.Config:
		return "another configuration"
	case of.Data != id.Data:
		return "other data"
	}
	return ""
}

// Until returns the end of the history that the checkpoint in a directory was
// trained on, and false where there is no sound checkpoint or its history has no
// such end.
func Until(path string) (time.Time, bool) {
	files, err := (&Dir{path: path}).files()
	if err != nil || len(files) == 0 {
		return time.Time{}, false
	}
	of, _, err := read(files[0])
	return of.Until, err == nil && !of.Until.IsZero()
}

// Load returns the state that was saved for a stage, nil where there is none.
func (d *Dir) Load(stage string) ([]byte, error) {
	of, state, err := read(d.file(stage))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, errDamaged):
		d.note(fmt.Sprintf("%v; this stage begins afresh", err))
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if what := d.id.differs(of); what != "" { // since Open looked
		return nil, fmt.Errorf("the checkpoint in %s is of %s: another trainer writes to the same directory", d.path, what)
	}
	return state, nil
}

// Save keeps the state of a stage in place of the one before, durably. After an
// error the one before stands.
func (d *Dir) Save(stage string, state []byte) error {
	header, err := json.Marshal(d.id)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	b := make([]byte, 0, len(magic)+4+len(header)+len(state)+sha256.Size)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(header)))
	b = append(append(b, header...), state...)
	sum := sha256.Sum256(b)
	if err := os.MkdirAll(d.path, 0o755); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if err := file.Replace(d.file(stage), append(b, sum[:]...)); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// Any reports whether any stage is saved in the directory path: whether there is
// something to continue.
func Any(path string) bool {
	files, err := (&Dir{path: path}).files()
	return err == nil && len(files) > 0
}

// Remove discards the checkpoint: the directory too, unless somebody else's files
// are in it.
func (d *Dir) Remove() error {
	entries, err := os.ReadDir(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	faults := []error{err}
	others := 0
	for _, e := range entries {
		// A killed writer leaves a temporary file: ".STAGE.ckpt.NUMBER".
		if !strings.HasSuffix(e.Name(), suffix) && !strings.Contains(e.Name(), suffix+".") {
			others++
			continue
		}
		faults = append(faults, os.Remove(filepath.Join(d.path, e.Name())))
	}
	if others == 0 && err == nil {
		faults = append(faults, os.Remove(d.path))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("discard the checkpoint: %w", err)
	}
	return nil
}

// files returns the paths of the stages that are saved.
func (d *Dir) files() ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			files = append(files, filepath.Join(d.path, e.Name()))
		}
	}
	return files, err
}

// file returns the path of a stage's file.
func (d *Dir) file(stage string) string { return filepath.Join(d.path, blob.Escape(stage)+suffix) }

// read returns what Save wrote to a file, or errDamaged.
func read(path string) (id Identity, state []byte, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return id, nil, err
	}
	damaged := func(why string) (Identity, []byte, error) {
		return Identity{}, nil, fmt.Errorf("%s is %w (%s)", path, errDamaged, why)
	}
	rest, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok || len(rest) < 4+sha256.Size {
		return damaged("it is no checkpoint, or cut short")
	}
	body := b[:len(b)-sha256.Size]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], b[len(body):]) {
		return damaged("its checksum does not hold")
	}
	rest = body[len(magic):]
	n := uint64(binary.LittleEndian.Uint32(rest))
	if rest = rest[4:]; n > uint64(len(rest)) {
		return damaged("its header is longer than the file")
	}
	if err := json.Unmarshal(rest[:n], &id); err != nil {
		return damaged("its header: " + err.Error())
	}
	return id, rest[n:], nil
}
