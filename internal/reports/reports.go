// Package reports keeps the results of backtests beside the audit log, where the
// server finds them and shows them. It knows nothing of what is in them but that it
// is JSON.
//
// Keys: backtests/NAME.json, with the name escaped. A report that is published again
// under the same name takes the place of the one before.
package reports

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

const (
	prefix = "backtests/"
	suffix = ".json"
	// MaxSize bounds a report, in bytes. The report of a backtest of a year has some
	// hundred thousand.
	MaxSize = 8 << 20
	// most bounds how many are listed.
	most = 1000
)

// Reports are those in a store. It is safe for concurrent use.
type Reports struct{ store blob.Store }

// New returns the reports in a store.
func New(store blob.Store) *Reports { return &Reports{store} }

func key(name string) string { return prefix + blob.Escape(name) + suffix }

// Put publishes a report, which must be JSON.
func (r *Reports) Put(ctx context.Context, name string, report []byte) error {
	if err := api.CheckName(name); err != nil {
		return fmt.Errorf("report: name %w", err)
	}
	if len(report) > MaxSize || !json.Valid(report) {
		return fmt.Errorf("report %q: must be JSON of at most %d bytes", name, MaxSize)
	}
	if _, err := r.store.Put(ctx, key(name), report, blob.Condition{}); err != nil {
		return fmt.Errorf("report %q: %w", name, err)
	}
	return nil
}

// Get returns a report; the error wraps blob.ErrNotFound when there is none.
func (r *Reports) Get(ctx context.Context, name string) ([]byte, error) {
	if err := api.CheckName(name); err != nil {
		return nil, fmt.Errorf("report: name %w: %w", err, blob.ErrNotFound)
	}
	o, err := r.store.Get(ctx, key(name))
	if err != nil {
		return nil, fmt.Errorf("report %q: %w", name, err)
	}
	if len(o.Data) > MaxSize || !json.Valid(o.Data) { // somebody else may have written it
		return nil, fmt.Errorf("report %q: is no JSON of at most %d bytes", name, MaxSize)
	}
	return o.Data, nil
}

// List returns the reports, the newest first.
func (r *Reports) List(ctx context.Context) ([]api.BacktestEntry, error) {
	entries := []api.BacktestEntry{}
	for info, err := range r.store.List(ctx, prefix, "") {
		if err != nil {
			return nil, fmt.Errorf("reports: %w", err)
		}
		escaped, ours := strings.CutSuffix(strings.TrimPrefix(info.Key, prefix), suffix)
		name, err := blob.Unescape(escaped)
		if !ours || err != nil || blob.Escape(name) != escaped || api.CheckName(name) != nil {
			continue // somebody else's
		}
		entries = append(entries, api.BacktestEntry{Name: name, Published: info.Modified.UTC().Truncate(time.Second), SizeBytes: info.Size})
	}
	slices.SortStableFunc(entries, func(a, b api.BacktestEntry) int { return b.Published.Compare(a.Published) })
	return entries[:min(len(entries), most)], nil
}
