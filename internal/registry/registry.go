// Package registry opens the model registry as the configuration file has it: where
// it is, whose signatures are trusted and, for those who write, what is signed with.
package registry

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/models"
)

// Open opens the registry for reading: where keys are trusted, nothing is read that
// none of them has signed.
func Open(ctx context.Context, c conf.Common, options ...blob.Option) (*models.Registry, error) {
	return open(ctx, c, nil, options)
}

// OpenToWrite opens the registry for those who put models into it, too, and sign them
// where the configuration names a key for that.
func OpenToWrite(ctx context.Context, c conf.Common, options ...blob.Option) (*models.Registry, error) {
	signer, err := signer(c)
	if err != nil {
		return nil, err
	}
	return open(ctx, c, signer, options)
}

func open(ctx context.Context, c conf.Common, signer ed25519.PrivateKey, options []blob.Option) (*models.Registry, error) {
	keys, err := trusted(c)
	if err != nil {
		return nil, err
	}
	store, err := blob.Open(ctx, c.Models, options...)
	if err != nil {
		return nil, fmt.Errorf("models: %w", err)
	}
	with := []models.Option{models.WithTrust(keys...)}
	if signer != nil {
		with = append(with, models.WithSigner(signer))
	}
	return models.NewRegistry(store, with...), nil
}

// Check returns all faults of what readers need of the configuration. It does not
// look at the registry's URL.
func Check(c conf.Common) error {
	_, err := trusted(c)
	if invalid := c.ModelSigningKey.Validate(); invalid != nil {
		err = errors.Join(err, fmt.Errorf("model_signing_key: %w", invalid))
	}
	return err
}

// CheckToWrite is Check for those who write: it reads the key to sign with, and makes
// sure that it is trusted where any key is.
func CheckToWrite(c conf.Common) error {
	keys, err := trusted(c)
	private, signErr := signer(c)
	if err = errors.Join(err, signErr); err != nil || len(keys) == 0 {
		return err
	}
	if private == nil {
		return errors.New("model_signing_key: is not set, and with model_keys nobody would serve what is not signed")
	}
	for _, key := range keys {
		if key.Equal(private.Public()) {
			return nil
		}
	}
	return fmt.Errorf("model_signing_key: its public key %s is not among model_keys, so that nobody would serve what it signs",
		models.FormatPublicKey(private.Public().(ed25519.PublicKey)))
}

func trusted(c conf.Common) (keys []ed25519.PublicKey, err error) {
	for i, text := range c.ModelKeys {
		key, keyErr := models.ParsePublicKey(text)
		if keyErr != nil {
			err = errors.Join(err, fmt.Errorf("model_keys[%d]: %w", i, keyErr))
		}
		keys = append(keys, key)
	}
	return keys, err
}

// PublicKey returns the public half of a key to sign with, as model_keys has it.
func PublicKey(private conf.Secret) (string, error) {
	key, err := signer(conf.Common{ModelSigningKey: private})
	switch {
	case err != nil:
		return "", err
	case key == nil:
		return "", errors.New("model_signing_key: is not set")
	}
	return models.FormatPublicKey(key.Public().(ed25519.PublicKey)), nil
}

// signer returns the key to sign with, nil when there is none.
func signer(c conf.Common) (ed25519.PrivateKey, error) {
	if err := c.ModelSigningKey.Validate(); err != nil {
		return nil, fmt.Errorf("model_signing_key: %w", err)
	}
	text, err := c.ModelSigningKey.Read()
	if err != nil || text == "" {
		if err != nil {
			err = fmt.Errorf("model_signing_key: %w", err)
		}
		return nil, err
	}
	key, err := models.ParsePrivateKey([]byte(text + "\n"))
	if err != nil {
		return nil, fmt.Errorf("model_signing_key: %w", err)
	}
	return key, nil
}
