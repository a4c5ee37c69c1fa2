package models

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/forescale/forescale/internal/blob"
)

// verdictFile holds what was found when a version was judged as a challenger.
const verdictFile = "verdict.json"

// PutVerdict keeps what was found when a version was judged, beside its manifest
// as NAME/VERSION/verdict.json, whether or not it was promoted. It is written once:
// ErrConflict means that somebody else has judged the version meanwhile.
// ErrNoModel: there is no such version.
func (r *Registry) PutVerdict(ctx context.Context, name string, version int, verdict json.RawMessage) error {
	if _, err := r.Manifest(ctx, name, version); err != nil {
		return err
	}
	if len(verdict) > maxManifestSize { // what nobody would read again
		return fmt.Errorf("model %q: the verdict is %d bytes long, at most %d are read", name, len(verdict), maxManifestSize)
	}
	_, err := r.store.Put(ctx, versionKey(name, version, verdictFile), verdict, blob.IfAbsent())
	if errors.Is(err, blob.ErrConflict) {
		return fmt.Errorf("model %q: version %d has been judged by another one: %w", name, version, ErrConflict)
	}
	return err
}

// Verdict returns what PutVerdict kept; the error wraps blob.ErrNotFound when the
// version has not been judged.
func (r *Registry) Verdict(ctx context.Context, name string, version int) (json.RawMessage, error) {
	key := versionKey(name, version, verdictFile)
	o, err := r.store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	if len(o.Data) > maxManifestSize || !json.Valid(o.Data) {
		return nil, fmt.Errorf("%s: is no JSON of at most %d bytes", key, maxManifestSize)
	}
	return o.Data, nil
}

// Explain keeps c as the record of a name's first champion, which Put made one
// without saying why. c.Version must be that version; From, At and FromSince are
// set. ErrConflict: it is not the champion, or not the first one, or explained
// already.
func (r *Registry) Explain(ctx context.Context, name string, c Change) error {
	pointer, _, err := r.pointer(ctx, name)
	switch {
	case errors.Is(err, blob.ErrNotFound):
		return fmt.Errorf("model %q: %w", name, ErrNoModel)
	case err != nil:
		return err
	case pointer.Version != c.Version || pointer.Previous != 0:
		return fmt.Errorf("model %q: version %d is not its first champion: %w", name, c.Version, ErrConflict)
	}
	c.From, c.At = 0, pointer.Since.UTC()
	return r.record(ctx, name, c)
}
