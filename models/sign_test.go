package models

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/blob"
)

// key returns a key to sign with that is the same for the same seed.
func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// overwrite replaces an object, as someone would who can write the registry.
func overwrite(t *testing.T, store blob.Store, key string, data []byte) {
	t.Helper()
	if _, err := store.Put(ctx, key, data, blob.Condition{}); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, store blob.Store, key string) []byte {
	t.Helper()
	o, err := store.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	return o.Data
}

func TestWhatATrustedKeyHasSignedIsReadAndNothingElse(t *testing.T) {
	ours, theirs := key(1), key(2)
	for name, c := range map[string]struct {
		attack func(t *testing.T, store blob.Store)
		want   string // in the error; empty: it is read
	}{
		"nothing was done to it": {func(*testing.T, blob.Store) {}, ""},
		"another model in its place": {func(t *testing.T, s blob.Store) {
			overwrite(t, s, "web/1/model.onnx", []byte("evil"))
		}, "was changed or damaged"},
		"another model with its checksum in the manifest": {func(t *testing.T, s blob.Store) {
			put(t, NewRegistry(s), manifest("web", "web"), "evil")
			overwrite(t, s, "web/1/model.onnx", []byte("evil"))
			changed := bytes.Replace(content(t, s, "web/2/manifest.json"), []byte(`"version": 2`), []byte(`"version": 1`), 1)
			overwrite(t, s, "web/1/manifest.json", changed)
		}, "the signature is not that of the manifest"},
		"other groups in the manifest": {func(t *testing.T, s blob.Store) {
			overwrite(t, s, "web/1/manifest.json", bytes.Replace(content(t, s, "web/1/manifest.json"), []byte(`"web"`), []byte(`"*"`), 2))
		}, "the signature is not that of the manifest"},
		"no signature any more": {func(t *testing.T, s blob.Store) {
			if err := s.Delete(ctx, "web/1/manifest.sig"); err != nil {
				t.Fatal(err)
			}
		}, "there is no manifest.sig"},
		"a signature by someone else": {func(t *testing.T, s blob.Store) {
			if err := NewRegistry(s, WithSigner(theirs)).Sign(ctx, "web", 1); err != nil {
				t.Fatal(err)
			}
		}, "none of the trusted"},
		"the name of our key under someone else's signature": {func(t *testing.T, s blob.Store) {
			if err := NewRegistry(s, WithSigner(theirs)).Sign(ctx, "web", 1); err != nil {
				t.Fatal(err)
			}
			raw := content(t, s, "web/1/manifest.sig")
			overwrite(t, s, "web/1/manifest.sig", bytes.Replace(raw, []byte(FormatPublicKey(public(theirs))), []byte(FormatPublicKey(public(ours))), 1))
		}, "the signature is not that of the manifest"},
		"another model of ours under its name": {func(t *testing.T, s blob.Store) {
			put(t, NewRegistry(s, WithSigner(ours)), manifest("other", "other"), "other")
			for _, file := range []string{"model.onnx", "manifest.json", "manifest.sig"} {
				overwrite(t, s, "web/1/"+file, content(t, s, "other/1/"+file))
			}
		}, `speaks of model "other"`},
		"a signature that is none": {func(t *testing.T, s blob.Store) { overwrite(t, s, "web/1/manifest.sig", []byte("{}")) }, "web/1/manifest.sig"},
		"an endless signature": {func(t *testing.T, s blob.Store) {
			overwrite(t, s, "web/1/manifest.sig", make([]byte, maxSignatureSize+1))
		}, "larger than"},
		"no manifest at all, as a foreign model": {func(t *testing.T, s blob.Store) {
			for _, file := range []string{"1/manifest.json", "1/manifest.sig", "champion.json"} {
				if err := s.Delete(ctx, "web/"+file); err != nil {
					t.Fatal(err)
				}
			}
		}, "has no manifest"},
	} {
		t.Run(name, func(t *testing.T) {
			store := blob.NewMemory()
			r := NewRegistry(store, WithSigner(ours), WithTrust(public(key(3)), public(ours)))
			put(t, r, manifest("web", "web"), "model")
			c.attack(t, store)
			_, _, err := NewRegistry(store, WithTrust(public(ours))).Get(ctx, "web", 1)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if strings.Contains(c.want, "sign") && !errors.Is(err, ErrUntrusted) {
				t.Errorf("%v is not ErrUntrusted", err)
			}
		})
	}
}

func TestAForeignModelIsNotReadWhereSignaturesAreAskedFor(t *testing.T) {
	store := blob.NewMemory()
	overwrite(t, store, "foreign/1/model.onnx", []byte("x"))
	if _, err := NewRegistry(store).Champion(ctx, "foreign"); err != nil {
		t.Error(err)
	}
	r := NewRegistry(store, WithTrust(public(key(1))))
	if _, err := r.Champion(ctx, "foreign"); !errors.Is(err, ErrUntrusted) {
		t.Error(err)
	}
	if err := NewRegistry(store, WithSigner(key(1))).Sign(ctx, "foreign", 1); err == nil {
		t.Error("there is nothing to sign")
	}
}

func TestAWriterWhomNobodyWouldTrustWritesNothing(t *testing.T) {
	store := blob.NewMemory()
	for _, r := range []*Registry{
		NewRegistry(store, WithTrust(public(key(1)))),
		NewRegistry(store, WithTrust(public(key(1))), WithSigner(key(2))),
	} {
		if _, err := r.Put(ctx, manifest("web", "web"), []byte("x")); err == nil || !strings.Contains(err.Error(), "key to sign with") {
			t.Error(err)
		}
	}
	for info := range store.List(ctx, "", "") {
		t.Errorf("%s was written", info.Key)
	}
}

func TestAVersionThatIsThereCanBeSignedLater(t *testing.T) {
	store := blob.NewMemory()
	put(t, NewRegistry(store), manifest("web", "web"), "model")
	signer := NewRegistry(store, WithSigner(key(1)))
	trusting := NewRegistry(store, WithTrust(public(key(1))))
	if _, err := trusting.Champion(ctx, "web"); !errors.Is(err, ErrUntrusted) {
		t.Error(err)
	}
	if err := signer.Sign(ctx, "web", 1); err != nil {
		t.Fatal(err)
	}
	if _, err := trusting.Champion(ctx, "web"); err != nil {
		t.Error(err)
	}
	overwrite(t, store, "web/1/model.onnx", []byte("evil"))
	if err := signer.Sign(ctx, "web", 1); err == nil {
		t.Error("what does not agree with its checksum must not be signed")
	}
	if err := NewRegistry(store).Sign(ctx, "web", 1); err == nil || !strings.Contains(err.Error(), "model_signing_key") {
		t.Error(err)
	}
}

func TestKeysAreReadAsTheyAreWrittenAndNeverRepeated(t *testing.T) {
	text, pub, err := NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	private, err := ParsePrivateKey(text)
	if err != nil || !pub.Equal(private.Public()) {
		t.Error(err)
	}
	again, err := ParsePublicKey(FormatPublicKey(pub))
	if err != nil || !again.Equal(pub) {
		t.Error(err)
	}
	half := text[:len(text)/2]
	rsa := []byte("-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----\n")
	for _, bad := range [][]byte{nil, half, rsa, bytes.Replace(text, []byte("PRIVATE"), []byte("PUBLIC"), 2)} {
		if _, err := ParsePrivateKey(bad); err == nil || len(bad) > 60 && strings.Contains(err.Error(), string(bad[30:50])) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "ed25519:", "ed25519:AAAA", "x" + FormatPublicKey(pub), FormatPublicKey(pub) + "A"} {
		if _, err := ParsePublicKey(bad); err == nil {
			t.Errorf("%q is a key", bad)
		}
	}
}

// FuzzSignature holds the judgement of a signature to its promise: nothing but what
// the key has signed passes.
func FuzzSignature(f *testing.F) {
	store := blob.NewMemory()
	r := NewRegistry(store, WithSigner(key(1)), WithTrust(public(key(1))))
	if err := r.sign(ctx, "web", 1, []byte("manifest"), blob.Condition{}); err != nil {
		f.Fatal(err)
	}
	o, err := store.Get(ctx, "web/1/manifest.sig")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(o.Data, []byte("manifest"))
	f.Add(o.Data, []byte("Manifest"))
	f.Add([]byte(`{"key":"","signature":""}`), []byte(""))
	f.Add([]byte(fmt.Sprintf(`{"key":%q,"signature":"AAAA"}`, FormatPublicKey(public(key(1))))), []byte("manifest"))
	f.Fuzz(func(t *testing.T, raw, manifest []byte) {
		if err := r.verifySignature("k", raw, manifest); err == nil && string(manifest) != "manifest" {
			t.Fatalf("%q passes with %q", manifest, raw)
		} else if err != nil && !errors.Is(err, ErrUntrusted) {
			t.Fatal(err)
		}
	})
}
