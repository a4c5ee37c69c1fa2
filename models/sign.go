package models

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/forescale/forescale/internal/blob"
)

// ErrUntrusted: a version bears no signature of a key that is trusted.
var ErrUntrusted = errors.New("not signed by a trusted key")

// signatureFile holds a Signature of the bytes of manifest.json. It is written before
// that, so that a version is never visible without it.
const signatureFile = "manifest.sig"

const (
	// signatureContext keeps a signature from being taken for one of anything else.
	signatureContext = "forescale model manifest v1\n"
	maxSignatureSize = 4 << 10
	publicPrefix     = "ed25519:"
	pemPrivateKey    = "PRIVATE KEY"
)

// signature is the content of a signatureFile.
type signature struct {
	Key       string `json:"key"`       // the public key, as FormatPublicKey writes it
	Signature string `json:"signature"` // ed25519 over signatureContext and the manifest's bytes, base64
}

// Option changes a Registry.
type Option func(*Registry)

// WithSigner signs the manifests that Put writes. A manifest holds the name, the
// version, whom the model serves and the model's checksum: all of it is signed.
func WithSigner(key ed25519.PrivateKey) Option { return func(r *Registry) { r.signer = key } }

// WithTrust makes every reading of a manifest an error that is ErrUntrusted, unless
// one of the keys has signed it. Foreign models, which have none, are not read.
func WithTrust(keys ...ed25519.PublicKey) Option {
	return func(r *Registry) { r.trusted = append(r.trusted, keys...) }
}

// FormatPublicKey returns a key as the configuration spells it: "ed25519:" and its
// 32 bytes in base64.
func FormatPublicKey(key ed25519.PublicKey) string {
	return publicPrefix + base64.StdEncoding.EncodeToString(key)
}

// ParsePublicKey reads what FormatPublicKey writes.
func ParsePublicKey(text string) (ed25519.PublicKey, error) {
	digits, ok := strings.CutPrefix(text, publicPrefix)
	raw, err := base64.StdEncoding.DecodeString(digits)
	if !ok || err != nil || len(raw) != ed25519.PublicKeySize {
		return nil, errors.New("is not ed25519: followed by 32 bytes in base64; forescale key prints one")
	}
	return raw, nil
}

// NewPrivateKey returns a key to sign with, in PEM (PKCS #8), and its public half.
func NewPrivateKey() (private []byte, public ed25519.PublicKey, err error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPrivateKey, Bytes: der}), public, nil
}

// ParsePrivateKey reads an ed25519 key in PEM (PKCS #8), as NewPrivateKey and
// `openssl genpkey -algorithm ed25519` write it. No error holds any of it.
func ParsePrivateKey(text []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemPrivateKey {
		return nil, errors.New("is no private key in PEM (PKCS #8); forescale key makes one")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := key.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, errors.New("is no ed25519 key; forescale key makes one")
	}
	return private, nil
}

// mayPut returns why what Put would write could not be read again.
func (r *Registry) mayPut(name string) error {
	if len(r.trusted) == 0 {
		return nil
	}
	if r.signer == nil {
		return fmt.Errorf("model %q: no key to sign with, and nobody would serve what is not signed; set model_signing_key", name)
	}
	if public := r.signer.Public().(ed25519.PublicKey); !r.trusts(public) {
		return fmt.Errorf("model %q: the key to sign with, %s, is none of those that are trusted", name, FormatPublicKey(public))
	}
	return nil
}

func (r *Registry) trusts(key ed25519.PublicKey) bool {
	return slices.ContainsFunc(r.trusted, func(k ed25519.PublicKey) bool { return k.Equal(key) })
}

// trustForeign returns why a model without a manifest is not read; nil: it is.
func (r *Registry) trustForeign(name string) error {
	if len(r.trusted) == 0 {
		return nil
	}
	return fmt.Errorf("model %q: %w: it has no manifest that could be", name, ErrUntrusted)
}

// sign writes the signature of a manifest if cond holds.
func (r *Registry) sign(ctx context.Context, name string, version int, manifest []byte, cond blob.Condition) error {
	raw, err := json.Marshal(signature{
		Key:       FormatPublicKey(r.signer.Public().(ed25519.PublicKey)),
		Signature: base64.StdEncoding.EncodeToString(ed25519.Sign(r.signer, slices.Concat([]byte(signatureContext), manifest))),
	})
	if err != nil {
		return err
	}
	_, err = r.store.Put(ctx, versionKey(name, version, signatureFile), raw, cond)
	return err
}

// verify returns an error that is ErrUntrusted unless a trusted key has signed the
// manifest, or there is nobody to trust.
func (r *Registry) verify(ctx context.Context, name string, version int, manifest []byte) error {
	if len(r.trusted) == 0 {
		return nil
	}
	key := versionKey(name, version, signatureFile)
	o, err := r.store.Get(ctx, key)
	switch {
	case errors.Is(err, blob.ErrNotFound):
		return fmt.Errorf("%s: %w: there is no %s", versionKey(name, version, manifestFile), ErrUntrusted, signatureFile)
	case err != nil:
		return err
	case len(o.Data) > maxSignatureSize:
		return fmt.Errorf("%s: %w: larger than %d bytes", key, ErrUntrusted, maxSignatureSize)
	}
	return r.verifySignature(key, o.Data, manifest)
}

// verifySignature judges the content of a signatureFile.
func (r *Registry) verifySignature(key string, raw, manifest []byte) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w: %s", key, ErrUntrusted, fmt.Sprintf(format, args...))
	}
	var s signature
	if err := decode(raw, &s); err != nil {
		return bad("%v", err)
	}
	public, err := ParsePublicKey(s.Key)
	if err != nil {
		return bad("key %v", err)
	}
	if !r.trusts(public) {
		return bad("the key is %s, which is none of the trusted", s.Key)
	}
	sum, err := base64.StdEncoding.DecodeString(s.Signature)
	if err != nil || !ed25519.Verify(public, slices.Concat([]byte(signatureContext), manifest), sum) {
		return bad("the signature is not that of the manifest: one of them was changed")
	}
	return nil
}

// Sign signs a version that is there already, whoever wrote it, once its model agrees
// with its checksum. It needs WithSigner. Whatever signature there was is replaced.
func (r *Registry) Sign(ctx context.Context, name string, version int) error {
	if r.signer == nil {
		return errors.New("there is no key to sign with; set model_signing_key")
	}
	unverified := &Registry{store: r.store}
	m, model, err := unverified.Get(ctx, name, version)
	if err != nil {
		return err
	}
	if m.Spec.Target == "" {
		return fmt.Errorf("model %q: has no manifest to sign", name)
	}
	raw, err := r.store.Get(ctx, versionKey(name, version, manifestFile))
	if err != nil {
		return err
	}
	// What is signed is what was just judged, should somebody change it meanwhile.
	var again Manifest
	sum := sha256.Sum256(model)
	if err := decode(raw.Data, &again); err != nil || again.SHA256 != hex.EncodeToString(sum[:]) {
		return fmt.Errorf("model %q version %d: was changed while it was read", name, version)
	}
	return r.sign(ctx, name, version, raw.Data, blob.Condition{})
}
