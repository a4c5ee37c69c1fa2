package batch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/file"
)

// Ledger remembers in a directory which groups are delivered: a small JSON file
// per group, replaced as a whole. It is safe for concurrent use on different
// groups, by any number of processes: shards may share one.
type Ledger struct{ dir string }

// entry is the content of a group's file.
type entry struct {
	Group       string    `json:"group"`
	Fingerprint string    `json:"fingerprint"`
	Finished    time.Time `json:"finished"`
	Outcome     Outcome   `json:"outcome"`
}

// OpenLedger returns the ledger in a directory, which is created where it is
// missing.
func OpenLedger(dir string) (*Ledger, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return &Ledger{dir}, nil
}

// path returns the file of a group: readable, and never too long or shared.
func (l *Ledger) path(group string) string {
	name := blob.Escape(group)
	sum := sha256.Sum256([]byte(group))
	return filepath.Join(l.dir, name[:min(len(name), 80)]+"-"+hex.EncodeToString(sum[:8])+".json")
}

// get returns what is known of a group. A file that cannot be read is as good as
// none: the group is then trained again.
func (l *Ledger) get(group string) (e entry, ok bool) {
	b, err := os.ReadFile(l.path(group))
	if err != nil || json.Unmarshal(b, &e) != nil {
		return entry{}, false
	}
	return e, e.Group == group
}

// put remembers a group that is delivered.
func (l *Ledger) put(r Result, now time.Time) error {
	e := entry{Group: r.Group, Fingerprint: r.fingerprint, Finished: now.UTC(), Outcome: r.Outcome}
	if err := writeJSON(l.path(r.Group), e); err != nil {
		return fmt.Errorf("the model is delivered, but not in the ledger: %w", err)
	}
	return nil
}

// Forget removes what is known of the groups.
func (l *Ledger) Forget(groups []string) error {
	for _, group := range groups {
		if err := os.Remove(l.path(group)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("ledger: %w", err)
		}
	}
	return nil
}

// Span is the time that the histories of a run are cut out of a data lake. The
// lake grows: a run that continues another one must read the same span, or every
// history would have changed.
type Span struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	// Touched is when the run last finished a group.
	Touched time.Time `json:"touched"`
}

// SpanKept is for how long after its last group a run can be continued. A nightly
// run that is always told to resume then begins anew each night, even if some
// group failed the night before.
const SpanKept = 12 * time.Hour

func (l *Ledger) spanPath(s Shard) string {
	name := "run.json"
	if s.Count > 0 {
		name = fmt.Sprintf("run-%d-of-%d.json", s.Index, s.Count)
	}
	return filepath.Join(l.dir, name)
}

// Span returns that of the shard's run that did not complete, if its last group
// was finished less than SpanKept before now.
func (l *Ledger) Span(s Shard, now time.Time) (Span, bool) {
	var span Span
	b, err := os.ReadFile(l.spanPath(s))
	if err != nil || json.Unmarshal(b, &span) != nil || !span.From.Before(span.Until) {
		return Span{}, false
	}
	return span, now.Sub(span.Touched) < SpanKept
}

// KeepSpan remembers the span of a run that is not complete.
func (l *Ledger) KeepSpan(s Shard, span Span) error {
	if err := writeJSON(l.spanPath(s), span); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// DropSpan says that the shard's run is complete: the next one has its own span.
func (l *Ledger) DropSpan(s Shard) error {
	if err := os.Remove(l.spanPath(s)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// writeJSON replaces a file by the indented JSON of v.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return file.Replace(path, append(b, '\n'))
}
