package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/registry"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server/access"
)

const tokenManual = `forescale token makes a token for a client of the inference server, at random.

  forescale token                          print the token, and the hash for server.clients
  forescale token -out /etc/forescale/t    write the token into a new file; print only the hash

The token is for the client (scaler.server_token, or Authorization: Bearer TOKEN) and
is shown once. The server knows its hash alone:

  server:
    clients:
      - {name: scaler, token: "sha256:…", rights: [predict]}   # or read, metrics, admin`

const keyManual = `forescale key makes a key to sign models with (ed25519).

  forescale key -out /etc/forescale/models.key     write a new private key; print the public one
  forescale key -public /etc/forescale/models.key  print the public key of one that is there

  model_signing_key: {file: /etc/forescale/models.key}   # where models are trained
  model_keys: ["ed25519:…"]                              # where they are served and used

With model_keys set, nothing is served that none of the keys has signed.`

const signManual = `forescale sign signs versions of models that are in the registry already.

  forescale sign -config FILE NAME…             every version of these models
  forescale sign -config FILE -only 3 NAME      one version

It needs model_signing_key in the configuration. Whoever signs a model says that it
may be served: sign only what you know where it comes from.`

func tokenCommand() cli.Command { return (&secretTool{out: os.Stdout}).tokenCommand() }
func keyCommand() cli.Command   { return (&secretTool{out: os.Stdout}).keyCommand() }
func signCommand() cli.Command  { return (&secretTool{out: os.Stdout}).signCommand() }

// secretTool is one run of token, key or sign.
type secretTool struct {
	out io.Writer

	path, public, config string // flags
	version              int
	common               conf.Common
}

func (s *secretTool) tokenCommand() cli.Command {
	return cli.Command{Name: "forescale token", Manual: tokenManual,
		Flags: func(fs *flag.FlagSet) {
			fs.StringVar(&s.path, "out", "", "write the token into this new `FILE`, which only its owner may read")
		},
		Run: func(_ context.Context, args []string) error {
			if len(args) > 0 {
				return cli.Usagef("unexpected argument %q", args[0])
			}
			token, hash := access.NewToken()
			if s.path == "" {
				fmt.Fprintf(s.out, "token: %s\nhash:  %s\n", token, hash)
				return nil
			}
			if err := writeSecret(s.path, []byte(token+"\n")); err != nil {
				return err
			}
			fmt.Fprintf(s.out, "hash:  %s\n", hash)
			return nil
		}}
}

func (s *secretTool) keyCommand() cli.Command {
	return cli.Command{Name: "forescale key", Manual: keyManual,
		Flags: func(fs *flag.FlagSet) {
			fs.StringVar(&s.path, "out", "", "write a private key into this new `FILE`, which only its owner may read")
			fs.StringVar(&s.public, "public", "", "print the public key of the private key in this `FILE`")
		},
		Check: func() error {
			if (s.path == "") == (s.public == "") {
				return errors.New("give -out FILE or -public FILE")
			}
			return nil
		},
		Run: func(_ context.Context, args []string) error {
			if len(args) > 0 {
				return cli.Usagef("unexpected argument %q", args[0])
			}
			public, err := s.key()
			if err != nil {
				return err
			}
			fmt.Fprintln(s.out, public)
			return nil
		}}
}

// key makes or reads the key, and returns its public half.
func (s *secretTool) key() (string, error) {
	if s.path != "" {
		private, public, err := models.NewPrivateKey()
		if err != nil {
			return "", err
		}
		return models.FormatPublicKey(public), writeSecret(s.path, private)
	}
	return registry.PublicKey(conf.Secret{File: s.public})
}

func (s *secretTool) signCommand() cli.Command {
	return cli.Command{Name: "forescale sign", Manual: signManual, Arguments: true,
		Flags: func(fs *flag.FlagSet) {
			fs.StringVar(&s.config, "config", "", "configuration `FILE`")
			fs.IntVar(&s.version, "only", 0, "sign only this `VERSION`; 0: all of them")
		},
		Check: s.checkSign, Run: s.sign}
}

func (s *secretTool) checkSign() error {
	if s.config == "" {
		return errors.New("-config: a configuration file is needed; it has models and model_signing_key")
	}
	var none struct{} // no section is needed, and any may be there
	var err error
	if s.common, err = conf.Load(s.config, "", &none); err != nil {
		return err
	}
	if s.common.ModelSigningKey.IsZero() {
		return errors.New("model_signing_key: is not set; forescale key makes a key")
	}
	if err := blob.Check(context.Background(), s.common.Models); err != nil {
		return fmt.Errorf("models: %w", err)
	}
	return registry.CheckToWrite(s.common)
}

func (s *secretTool) sign(ctx context.Context, names []string) error {
	if len(names) == 0 || s.version != 0 && len(names) > 1 {
		return cli.Usagef("name the models to sign, and with -only one")
	}
	r, err := registry.OpenToWrite(ctx, s.common)
	if err != nil {
		return err
	}
	for _, name := range names {
		versions := []int{s.version}
		if s.version == 0 {
			if versions, err = r.Versions(ctx, name); err != nil {
				return err
			}
			if len(versions) == 0 {
				return fmt.Errorf("model %q: %w", name, models.ErrNoModel)
			}
		}
		for _, version := range versions {
			if err := r.Sign(ctx, name, version); err != nil {
				return err
			}
			fmt.Fprintf(s.out, "signed %s version %d\n", name, version)
		}
	}
	return nil
}

// writeSecret writes a new file that only its owner may read. One that is there
// already is left alone: somebody may depend on it.
func writeSecret(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path) // the first error is the one worth telling
	}
	return err
}
