package models

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/forescale/forescale/internal/blob"
)

// The errors that a caller decides upon; test with errors.Is.
var (
	// ErrNoModel: there is no such model, version or group.
	ErrNoModel = errors.New("no such model")
	// ErrConflict: the champion is not the one that the caller took it for. Read
	// again and decide anew.
	ErrConflict = errors.New("the champion has changed")
)

// Registry keeps immutable versions of models, by name, on a blob store:
//
//	NAME/VERSION/model.onnx      the model, one self-contained file
//	NAME/VERSION/manifest.json   written last: it makes the version visible
//	NAME/VERSION/manifest.sig    written before it, where manifests are signed
//	NAME/champion.json           the version that serves, moved by compare-and-swap
//	NAME/orders.json             pinned versions and the shadow (Orders), likewise
//	NAME/VERSION/verdict.json    what was found when it was judged as a challenger
//	NAME/VERSION/champion-….json when, by whom and why it became champion (Change)
//
// Names are escaped (blob.Escape), versions count from 1. champion.json is there
// before the first version of a name is, and says 0 until that is complete: the
// lowest version then serves. That is also the layout
// of a model repository as inference servers read it, and models of other origin
// may be put there by hand as NAME/VERSION/model.onnx alone: a name without any
// manifest and champion is such a foreign model, its highest version serves, and
// its Manifest has no Spec.
//
// A Registry holds no state of its own and is safe for concurrent use, by any
// number of processes.
type Registry struct {
	store   blob.Store
	signer  ed25519.PrivateKey  // nil: manifests are not signed
	trusted []ed25519.PublicKey // none: no signature is asked for
}

// NewRegistry returns the registry on a store.
func NewRegistry(store blob.Store, options ...Option) *Registry {
	r := &Registry{store: store}
	for _, option := range options {
		option(r)
	}
	return r
}

// Bounds of what is read from a registry: somebody else may have written it.
const (
	maxManifestSize = 16 << 20
	maxModelSize    = 1 << 30
	putAttempts     = 100 // versions tried before a Put gives up against racing ones
)

const (
	modelFile    = "model.onnx"
	manifestFile = "manifest.json"
	championFile = "champion.json"
)

// Champion is the pointer to the version that serves.
type Champion struct {
	Version int       `json:"version"` // 0: the lowest that is visible
	Since   time.Time `json:"since,omitzero"`
	// Previous is the version that it replaced, 0 for the first.
	Previous int `json:"previous,omitempty"`
}

func versionKey(name string, version int, file string) string {
	return blob.Escape(name) + "/" + strconv.Itoa(version) + "/" + file
}

func championKey(name string) string { return blob.Escape(name) + "/" + championFile }

// Put stores a model as the next version of m.Name and returns its manifest with
// Version, SHA256 and SizeBytes filled in. The first version of a name becomes
// its champion; a later one is a challenger until it is promoted. A Put that dies
// half-way leaves nothing visible.
func (r *Registry) Put(ctx context.Context, m Manifest, model []byte) (Manifest, error) {
	sum := sha256.Sum256(model)
	m.SHA256, m.SizeBytes = hex.EncodeToString(sum[:]), int64(len(model))
	if err := errors.Join(m.check(), r.mayPut(m.Name)); err != nil {
		return Manifest{}, err
	}
	last, err := r.adopt(ctx, m.Name)
	if err != nil {
		return Manifest{}, err
	}
	first := last + 1
	for m.Version = first; m.Version < first+putAttempts; m.Version++ {
		err := r.putVersion(ctx, m, model)
		switch {
		case err == nil:
			return m, r.crown(ctx, m)
		case !errors.Is(err, blob.ErrConflict): // a racing Put took the number
			return Manifest{}, err
		}
	}
	return Manifest{}, fmt.Errorf("model %q: versions %d to %d were all taken by others meanwhile", m.Name, first, m.Version-1)
}

func (r *Registry) putVersion(ctx context.Context, m Manifest, model []byte) error {
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("model %q: %w", m.Name, err)
	}
	if len(raw) > maxManifestSize { // what nobody would read again
		return fmt.Errorf("manifest of %q: is %d bytes long, at most %d are read", m.Name, len(raw), maxManifestSize)
	}
	if _, err := r.store.Put(ctx, versionKey(m.Name, m.Version, modelFile), model, blob.IfAbsent()); err != nil {
		return err
	}
	if r.signer != nil {
		if err := r.sign(ctx, m.Name, m.Version, raw, blob.IfAbsent()); err != nil {
			return err
		}
	}
	_, err = r.store.Put(ctx, versionKey(m.Name, m.Version, manifestFile), raw, blob.IfAbsent())
	return err
}

// adopt makes sure that a name has a champion.json before it gets another
// version, and returns the highest version that was begun, 0 for none. Without
// it, a Put that died after the model would look like a foreign model and be
// served unchecked, and a challenger would serve as the highest version for as
// long as its elder had not been made champion.
func (r *Registry) adopt(ctx context.Context, name string) (last int, err error) {
	c, err := r.scan(ctx, name)
	if err != nil {
		return 0, err
	}
	if c.foreign() {
		return 0, fmt.Errorf("model %q: the name belongs to a model without manifests; choose another one", name)
	}
	last = max(highest(c.models), highest(c.manifests))
	if c.champion {
		return last, nil
	}
	return last, r.point(ctx, name, Champion{Version: highest(c.manifests)}, blob.IfAbsent())
}

// crown makes the lowest version the champion of a name whose champion.json
// says 0. A Put that died before this point is completed by the next one.
func (r *Registry) crown(ctx context.Context, m Manifest) error {
	pointer, etag, err := r.pointer(ctx, m.Name)
	if err != nil || pointer.Version != 0 {
		return err
	}
	c, err := r.scan(ctx, m.Name)
	if err != nil {
		return err
	}
	return r.point(ctx, m.Name, Champion{Version: slices.Min(c.manifests), Since: m.CreatedAt}, blob.IfMatch(etag))
}

// point writes champion.json if cond holds; when it does not, another process
// was quicker, which is as good.
func (r *Registry) point(ctx context.Context, name string, c Champion, cond blob.Condition) error {
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if _, err = r.store.Put(ctx, championKey(name), raw, cond); errors.Is(err, blob.ErrConflict) {
		return nil
	}
	return err
}

// highest returns the last of ascending versions, 0 for none.
func highest(versions []int) int {
	if len(versions) == 0 {
		return 0
	}
	return versions[len(versions)-1]
}

// checkName returns an error unless a model may have the name. JSON and labels of
// metrics hold no other text than UTF-8.
func checkName(name string) error {
	if name == "" || len(blob.Escape(name)) > 255 || !utf8.ValidString(name) {
		return fmt.Errorf("name %.40q must be 1 to 255 bytes long when escaped, and valid UTF-8", name)
	}
	return nil
}

// check returns an error that names the first field of a manifest at fault.
func (m Manifest) check() error {
	if err := checkName(m.Name); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	switch {
	case len(m.Groups) == 0:
		return fmt.Errorf("manifest of %q: groups is empty; name the groups served, or %q for all", m.Name, AnyGroup)
	case m.SizeBytes <= 0 || m.SizeBytes > maxModelSize:
		return fmt.Errorf("manifest of %q: size_bytes is %d, must be 1 to %d", m.Name, m.SizeBytes, maxModelSize)
	case len(m.SHA256) != 2*sha256.Size:
		return fmt.Errorf("manifest of %q: sha256 %q is no digest", m.Name, m.SHA256)
	}
	if err := m.Spec.Validate(); err != nil {
		return fmt.Errorf("manifest of %q: %w", m.Name, err)
	}
	if err := m.checkCalibration(); err != nil {
		return fmt.Errorf("manifest of %q: %w", m.Name, err)
	}
	return nil
}

// Champion returns the manifest of the version that serves, or ErrNoModel.
func (r *Registry) Champion(ctx context.Context, name string) (Manifest, error) {
	pointer, _, err := r.pointer(ctx, name)
	if err == nil && pointer.Version > 0 { // the usual case needs no listing
		return r.Manifest(ctx, name, pointer.Version)
	}
	if err != nil && !errors.Is(err, blob.ErrNotFound) {
		return Manifest{}, err
	}
	c, err := r.scan(ctx, name)
	if err != nil {
		return Manifest{}, err
	}
	serving := c.serving(0)
	switch {
	case serving == 0:
		return Manifest{}, fmt.Errorf("model %q: %w", name, ErrNoModel)
	case c.foreign():
		return Manifest{Name: name, Version: serving}, r.trustForeign(name)
	}
	return r.Manifest(ctx, name, serving)
}

// pointer reads champion.json.
func (r *Registry) pointer(ctx context.Context, name string) (Champion, string, error) {
	o, err := r.store.Get(ctx, championKey(name))
	if err != nil {
		return Champion{}, "", err
	}
	var c Champion
	if err := decode(o.Data, &c); err != nil || c.Version < 0 {
		return Champion{}, "", fmt.Errorf("%s: names no version: %w", championKey(name), errors.Join(err, ErrNoModel))
	}
	return c, o.ETag, nil
}

// Manifest returns the manifest of a version, or ErrNoModel.
func (r *Registry) Manifest(ctx context.Context, name string, version int) (Manifest, error) {
	key := versionKey(name, version, manifestFile)
	o, err := r.store.Get(ctx, key)
	if errors.Is(err, blob.ErrNotFound) {
		return Manifest{}, fmt.Errorf("model %q version %d: %w", name, version, ErrNoModel)
	}
	if err != nil {
		return Manifest{}, err
	}
	if err := r.verify(ctx, name, version, o.Data); err != nil {
		return Manifest{}, err
	}
	var m Manifest
	if err := decode(o.Data, &m); err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", key, err)
	}
	if m.Name != name || m.Version != version {
		return Manifest{}, fmt.Errorf("%s: speaks of model %q version %d", key, m.Name, m.Version)
	}
	if err := m.check(); err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", key, err)
	}
	return m, nil
}

// decode reads JSON strictly: what this version does not know, it must not drop.
func decode(raw []byte, into any) error {
	if len(raw) > maxManifestSize {
		return fmt.Errorf("larger than %d bytes", maxManifestSize)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

// Get returns a version's manifest and model, whose size and checksum agree, or
// ErrNoModel. For a foreign model the manifest holds name, version, size and
// checksum alone.
func (r *Registry) Get(ctx context.Context, name string, version int) (Manifest, []byte, error) {
	m, err := r.Manifest(ctx, name, version)
	foreign := false
	if errors.Is(err, ErrNoModel) {
		c, e := r.scan(ctx, name)
		if e != nil {
			return Manifest{}, nil, e
		}
		if foreign = c.foreign() && slices.Contains(c.models, version); foreign {
			m, err = Manifest{Name: name, Version: version}, r.trustForeign(name)
		}
	}
	if err != nil {
		return Manifest{}, nil, err
	}
	key := versionKey(name, version, modelFile)
	// The file is somebody else's: it is judged before it takes its length of memory.
	switch size, err := r.size(ctx, key); {
	case err != nil:
		return Manifest{}, nil, err
	case size > maxModelSize:
		return Manifest{}, nil, fmt.Errorf("%s: %d bytes are more than a model may have (%d)", key, size, maxModelSize)
	case size > m.SizeBytes && !foreign:
		return Manifest{}, nil, fmt.Errorf("%s: %d bytes, but its manifest says %d: the file was changed or damaged", key, size, m.SizeBytes)
	}
	o, err := r.store.Get(ctx, key)
	if err != nil {
		return Manifest{}, nil, err
	}
	sum := sha256.Sum256(o.Data)
	digest := hex.EncodeToString(sum[:])
	switch {
	case foreign:
		m.SHA256, m.SizeBytes = digest, int64(len(o.Data))
	case int64(len(o.Data)) != m.SizeBytes || digest != m.SHA256:
		return Manifest{}, nil, fmt.Errorf("%s: %d bytes with sha256 %s, but its manifest says %d bytes with %s: the file was changed or damaged",
			key, len(o.Data), digest, m.SizeBytes, m.SHA256)
	}
	return m, o.Data, nil
}

// size returns the length of an object in bytes, as the listing has it; 0: there is none.
func (r *Registry) size(ctx context.Context, key string) (int64, error) {
	for info, err := range r.store.List(ctx, key, "") {
		if err != nil {
			return 0, fmt.Errorf("list the model registry: %w", err)
		}
		if info.Key == key {
			return info.Size, nil
		}
	}
	return 0, nil
}

// ForGroup returns the champion that serves a group: the model of the group's own
// name, else the first by name that lists the group, else the first that serves
// AnyGroup. ErrNoModel: there is none. A champion that cannot be read is passed
// over when another one serves the group; otherwise its error is returned.
func (r *Registry) ForGroup(ctx context.Context, group string) (Manifest, error) {
	own, err := r.Champion(ctx, group)
	if err == nil && (slices.Contains(own.Groups, group) || slices.Contains(own.Groups, AnyGroup)) {
		return own, nil
	}
	names, err := r.Names(ctx)
	if err != nil {
		return Manifest{}, err
	}
	var faults []error
	var any *Manifest
	for _, name := range names { // the group's own again: if it cannot be read, its error is among the faults
		m, err := r.Champion(ctx, name)
		switch {
		case err != nil:
			faults = append(faults, err)
		case slices.Contains(m.Groups, group):
			return m, nil
		case any == nil && slices.Contains(m.Groups, AnyGroup):
			any = &m
		}
	}
	if any != nil {
		return *any, nil
	}
	return Manifest{}, errors.Join(append(faults, fmt.Errorf("group %q: %w", group, ErrNoModel))...)
}
