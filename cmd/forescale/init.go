package main

import (
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/server/access"
)

const initManual = `forescale init makes the secrets of an installation, at random, one folder for each
program that reads them:

  forescale init -dir /secrets                  make what is missing; change nothing that is there
  forescale init -dir /secrets -show operator   print the operator's token for the web page and the API
  forescale init -dir /secrets -show sensor     print the sensors' password for the broker

  NAME/server-token         tokens for the server: scaler, prometheus, operator
  server/NAME.hash          their hashes, for server.clients[].token_file
  s3/access-key, secret-key the account of the S3 server
  aws/credentials           the same, as the AWS SDK reads it
  NAME/mqtt-password        for the broker: collector, sensor
  mosquitto/passwords       their hashes, as mosquitto reads them

Only owner and group may read them. To exchange a token or a password, remove its file,
run the command and start again those who read it: hashes follow.`

func initCommand() cli.Command {
	return (&installer{out: os.Stdout}).command()
}

// The programs that have a token of the server, and those that log in to the broker.
var (
	serverClients = []string{"scaler", "prometheus", "operator"}
	brokerClients = []string{"collector", "sensor"}
)

// The names of a client's token of the server, and of its password of the broker, in
// its folder.
const (
	tokenFile    = "server-token"
	passwordFile = "mqtt-password"
)

// installer is one run of forescale init.
type installer struct {
	out       io.Writer
	dir, show string // flags
}

func (i *installer) command() cli.Command {
	return cli.Command{Name: "forescale init", Manual: initManual,
		Flags: func(fs *flag.FlagSet) {
			fs.StringVar(&i.dir, "dir", "", "`FOLDER` of the secrets, which must be there")
			fs.StringVar(&i.show, "show", "", "print the secret of this `CLIENT`: "+knownClients())
		},
		Check: func() error {
			if i.dir == "" {
				return errors.New("-dir: name the folder of the secrets")
			}
			return nil
		},
		Run: func(_ context.Context, args []string) error {
			if len(args) > 0 {
				return cli.Usagef("unexpected argument %q", args[0])
			}
			if i.show != "" {
				return i.print(i.show)
			}
			return i.run()
		}}
}

// knownClients names those whose secrets can be shown.
func knownClients() string { return strings.Join(slices.Concat(serverClients, brokerClients), ", ") }

// print shows the token of a client of the server, or the password of one of the
// broker.
func (i *installer) print(name string) error {
	file := tokenFile
	switch {
	case slices.Contains(serverClients, name):
	case slices.Contains(brokerClients, name):
		file = passwordFile
	default:
		return cli.Usagef("-show %q: want one of %s", name, knownClients())
	}
	secret, err := i.read(name, file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; without -show the command makes it", err)
	}
	if err == nil {
		_, err = fmt.Fprintln(i.out, secret)
	}
	return err
}

// run makes the secrets that are missing, and what is derived from them anew where
// it does not agree. Stopped at any moment, it is finished by the next run.
func (i *installer) run() error {
	if info, err := os.Stat(i.dir); err != nil || !info.IsDir() {
		return fmt.Errorf("-dir %s: is not a folder; make it, or mount the volume there", i.dir)
	}
	for _, name := range serverClients {
		token, err := i.keep(name, tokenFile, func() string { token, _ := access.NewToken(); return token })
		if err != nil {
			return err
		}
		if err := i.derive("server", name+".hash", access.HashToken(token)+"\n"); err != nil {
			return err
		}
	}
	id, err := i.keep("s3", "access-key", func() string { return "FORESCALE" + rand.Text()[:11] })
	if err != nil {
		return err
	}
	secret, err := i.keep("s3", "secret-key", randomPassword)
	if err != nil {
		return err
	}
	credentials := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", id, secret)
	if err := i.derive("aws", "credentials", credentials); err != nil {
		return err
	}
	return i.broker()
}

// broker makes the passwords of the broker's clients, and the file that it knows
// them by.
func (i *installer) broker() error {
	old, err := os.ReadFile(filepath.Join(i.dir, "mosquitto", "passwords"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	known := map[string]string{}
	for line := range strings.Lines(string(old)) {
		name, hash, _ := strings.Cut(strings.TrimSpace(line), ":")
		known[name] = hash
	}
	var file strings.Builder
	for _, name := range brokerClients {
		password, err := i.keep(name, passwordFile, randomPassword)
		if err != nil {
			return err
		}
		hash := known[name]
		if !isMosquittoHash(hash, password) {
			if hash, err = mosquittoHash(password); err != nil {
				return err
			}
		}
		fmt.Fprintf(&file, "%s:%s\n", name, hash)
	}
	return i.derive("mosquitto", "passwords", file.String())
}

// randomPassword returns 192 random bits that need no quoting anywhere.
func randomPassword() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the process instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (i *installer) read(dir, name string) (string, error) {
	return conf.Secret{File: filepath.Join(i.dir, dir, name)}.Read()
}

// keep returns the secret that is there, or makes it.
func (i *installer) keep(dir, name string, random func() string) (string, error) {
	secret, err := i.read(dir, name)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	secret = random()
	return secret, i.derive(dir, name, secret+"\n")
}

// derive gives a file its content, whole or not at all. One that has it already is
// left alone.
func (i *installer) derive(dir, name, content string) error {
	folder := filepath.Join(i.dir, dir)
	path := filepath.Join(folder, name)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, []byte(content)) {
		return nil
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	t, err := os.CreateTemp(folder, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(t.Name()) // it is gone when it has been renamed
	_, err = t.WriteString(content)
	if err = errors.Join(err, t.Chmod(0o440), t.Sync(), t.Close()); err != nil {
		return err
	}
	if err := os.Rename(t.Name(), path); err != nil {
		return err
	}
	_, err = fmt.Fprintln(i.out, "made", path)
	return err
}

// mosquitto's hashes are $7$ITERATIONS$SALT$HASH, PBKDF2 with HMAC-SHA-512
// (mosquitto_passwd(1)). There is no need for many iterations: what is random
// cannot be guessed.
const (
	mosquittoIterations = 101
	mosquittoSalt       = 12
	mosquittoKey        = sha512.Size
)

// mosquittoHash returns a password as mosquitto's password file wants it.
func mosquittoHash(password string) (string, error) {
	salt := make([]byte, mosquittoSalt)
	_, _ = rand.Read(salt) // never fails: it ends the process instead
	key, err := pbkdf2.Key(sha512.New, password, salt, mosquittoIterations, mosquittoKey)
	if err != nil {
		return "", err
	}
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("$7$%d$%s$%s", mosquittoIterations, encode(salt), encode(key)), nil
}

// isMosquittoHash reports whether hash is one of the password that mosquittoHash
// has made.
func isMosquittoHash(hash, password string) bool {
	parts := strings.Split(hash, "$")
	if len(parts) != 5 || parts[0] != "" || parts[1] != "7" || parts[2] != strconv.Itoa(mosquittoIterations) {
		return false
	}
	salt, err1 := base64.StdEncoding.DecodeString(parts[3])
	want, err2 := base64.StdEncoding.DecodeString(parts[4])
	if err1 != nil || err2 != nil {
		return false
	}
	key, err := pbkdf2.Key(sha512.New, password, salt, mosquittoIterations, mosquittoKey)
	return err == nil && subtle.ConstantTimeCompare(key, want) == 1
}
