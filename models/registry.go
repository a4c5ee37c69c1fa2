package models

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

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
//	NAME/champion.json           the version that serves, moved by compare-and-swap
//
// Names are escaped (blob.Escape), versions count from 1. That is also the layout
// of a model repository as inference servers read it, and models of other origin
// may be put there by hand as NAME/VERSION/model.onnx alone: a name without any
// manifest and champion is such a foreign model, its highest version serves, and
// its Manifest has no Spec.
//
// A Registry holds no state of its own and is safe for concurrent use, by any
// number of processes.
type Registry struct{ store blob.Store }

// NewRegistry returns the registry on a store.
func NewRegistry(store blob.Store) *Registry { return &Registry{store} }

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
	Version int       `json:"version"`
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
	if err := m.check(); err != nil {
		return Manifest{}, err
	}
	scan, err := r.scan(ctx, m.Name)
	if err != nil {
		return Manifest{}, err
	}
	first := max(0, slices.Max(append(scan.models, 0))) + 1
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
	if _, err := r.store.Put(ctx, versionKey(m.Name, m.Version, modelFile), model, blob.IfAbsent()); err != nil {
		return err
	}
	_, err = r.store.Put(ctx, versionKey(m.Name, m.Version, manifestFile), raw, blob.IfAbsent())
	return err
}

// crown makes the lowest version the champion of a name that has none. A Put that
// died before this point is thereby completed by the next one.
func (r *Registry) crown(ctx context.Context, m Manifest) error {
	scan, err := r.scan(ctx, m.Name)
	if err != nil || scan.champion {
		return err
	}
	raw, err := json.Marshal(Champion{Version: slices.Min(scan.manifests), Since: m.CreatedAt})
	if err != nil {
		return err
	}
	if _, err = r.store.Put(ctx, championKey(m.Name), raw, blob.IfAbsent()); errors.Is(err, blob.ErrConflict) {
		return nil // a racing Put was quicker
	}
	return err
}

// check returns an error that names the first field of a manifest at fault.
func (m Manifest) check() error {
	switch {
	case m.Name == "" || len(m.Name) > 255:
		return fmt.Errorf("manifest: name %.40q must be 1 to 255 bytes long", m.Name)
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
	return nil
}

// contents is what a listing shows of one name.
type contents struct {
	models    []int // versions with a model file, ascending
	manifests []int // versions with a manifest, ascending
	champion  bool
}

func (c contents) foreign() bool { return !c.champion && len(c.manifests) == 0 && len(c.models) > 0 }

// visible returns the versions that may serve, ascending.
func (c contents) visible() []int {
	if c.foreign() {
		return c.models
	}
	return c.manifests
}

func (r *Registry) scan(ctx context.Context, name string) (contents, error) {
	all, err := r.scanPrefix(ctx, blob.Escape(name)+"/")
	return all[name], err
}

// scanPrefix lists the registry under a prefix, by name. Keys that are none of
// ours are passed over.
func (r *Registry) scanPrefix(ctx context.Context, prefix string) (map[string]contents, error) {
	found := map[string]contents{}
	for info, err := range r.store.List(ctx, prefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list the model registry: %w", err)
		}
		parts := strings.Split(info.Key, "/")
		name, err := blob.Unescape(parts[0])
		if err != nil || len(parts) < 2 || len(parts) > 3 {
			continue
		}
		c := found[name]
		if len(parts) == 2 {
			if c.champion = c.champion || parts[1] == championFile; c.champion {
				found[name] = c
			}
			continue
		}
		version, err := strconv.Atoi(parts[1])
		if err != nil || version < 1 || strconv.Itoa(version) != parts[1] {
			continue
		}
		switch parts[2] {
		case modelFile:
			c.models = append(c.models, version)
		case manifestFile:
			c.manifests = append(c.manifests, version)
		default:
			continue
		}
		found[name] = c
	}
	for name, c := range found { // keys are in byte order, versions are not: 10 comes before 9
		slices.Sort(c.models)
		slices.Sort(c.manifests)
		found[name] = c
	}
	return found, nil
}

// Names returns the names of all models with a version that may serve, sorted.
func (r *Registry) Names(ctx context.Context) ([]string, error) {
	all, err := r.scanPrefix(ctx, "")
	if err != nil {
		return nil, err
	}
	var names []string
	for name, c := range all {
		if len(c.visible()) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Versions returns the versions of a model that may serve, ascending; none for a
// name that does not exist.
func (r *Registry) Versions(ctx context.Context, name string) ([]int, error) {
	c, err := r.scan(ctx, name)
	return c.visible(), err
}

// Champion returns the manifest of the version that serves, or ErrNoModel.
func (r *Registry) Champion(ctx context.Context, name string) (Manifest, error) {
	pointer, _, err := r.pointer(ctx, name)
	if err == nil {
		return r.Manifest(ctx, name, pointer.Version)
	}
	if !errors.Is(err, blob.ErrNotFound) {
		return Manifest{}, err
	}
	c, err := r.scan(ctx, name)
	if err != nil {
		return Manifest{}, err
	}
	visible := c.visible()
	if len(visible) == 0 {
		return Manifest{}, fmt.Errorf("model %q: %w", name, ErrNoModel)
	}
	highest := slices.Max(visible)
	if c.foreign() {
		return Manifest{Name: name, Version: highest}, nil
	}
	return r.Manifest(ctx, name, highest)
}

// pointer reads champion.json.
func (r *Registry) pointer(ctx context.Context, name string) (Champion, string, error) {
	o, err := r.store.Get(ctx, championKey(name))
	if err != nil {
		return Champion{}, "", err
	}
	var c Champion
	if err := decode(o.Data, &c); err != nil || c.Version < 1 {
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
			m, err = Manifest{Name: name, Version: version}, nil
		}
	}
	if err != nil {
		return Manifest{}, nil, err
	}
	key := versionKey(name, version, modelFile)
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

// Promote makes version the champion if the champion still is from (0: there is
// no pointer yet). ErrConflict: it is another one; ErrNoModel: no such version.
func (r *Registry) Promote(ctx context.Context, name string, version, from int, at time.Time) error {
	if _, err := r.Manifest(ctx, name, version); err != nil {
		return err
	}
	cond := blob.IfAbsent()
	current, etag, err := r.pointer(ctx, name)
	switch {
	case err == nil && current.Version == version:
		return nil
	case err == nil && current.Version != from, errors.Is(err, blob.ErrNotFound) && from != 0:
		return fmt.Errorf("model %q: champion is version %d, not %d: %w", name, current.Version, from, ErrConflict)
	case err == nil:
		cond = blob.IfMatch(etag)
	case !errors.Is(err, blob.ErrNotFound):
		return err
	}
	raw, err := json.Marshal(Champion{Version: version, Since: at.UTC(), Previous: from})
	if err != nil {
		return err
	}
	if _, err = r.store.Put(ctx, championKey(name), raw, cond); errors.Is(err, blob.ErrConflict) {
		return fmt.Errorf("model %q: %w", name, ErrConflict)
	}
	return err
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
	var faults []error
	if err != nil && !errors.Is(err, ErrNoModel) {
		faults = append(faults, err)
	}
	names, err := r.Names(ctx)
	if err != nil {
		return Manifest{}, err
	}
	var any *Manifest
	for _, name := range names {
		if name == group {
			continue
		}
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
