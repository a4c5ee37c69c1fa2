package conf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Secret says where a secret is to be found. The secret itself is never in the
// configuration file, and a Secret can therefore be printed and logged.
type Secret struct {
	Env  string `yaml:"env"`  // name of an environment variable
	File string `yaml:"file"` // path of a file; a line break at its end is not part of the secret
}

// quoted is the part of a decoder's error that repeats a value.
var quoted = regexp.MustCompile("`[^`]*`")

// UnmarshalYAML keeps what stands in the place of a reference out of the error: it is
// most likely the secret itself.
func (s *Secret) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Secret
	err := unmarshal((*plain)(s))
	var wrong *yaml.TypeError
	if errors.As(err, &wrong) {
		hidden := &yaml.TypeError{}
		for _, text := range wrong.Errors {
			hidden.Errors = append(hidden.Errors, quoted.ReplaceAllLiteralString(text, "`a secret itself`"))
		}
		return hidden
	}
	return err
}

// maxSecretSize bounds a file with a secret, in bytes.
const maxSecretSize = 64 << 10

// IsZero reports whether s refers to nothing.
func (s Secret) IsZero() bool { return s == Secret{} }

// Validate returns an error unless s refers to nothing or to one place.
func (s Secret) Validate() error {
	if s.Env != "" && s.File != "" {
		return errors.New("env and file exclude each other")
	}
	return nil
}

// Read returns the secret as it is now: files are read again at each call, so
// that a secret may be exchanged while the process runs. A Secret that refers to
// nothing is the empty string. No error holds the secret.
func (s Secret) Read() (string, error) {
	if s.Env != "" {
		value := os.Getenv(s.Env)
		if value == "" {
			return "", fmt.Errorf("the environment variable %s is empty", s.Env)
		}
		return value, nil
	}
	if s.File == "" {
		return "", nil
	}
	f, err := os.Open(s.File)
	if err != nil {
		return "", err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxSecretSize+1))
	if err != nil {
		return "", err
	}
	value := strings.TrimRight(string(raw), "\r\n")
	if value == "" || len(raw) > maxSecretSize {
		return "", fmt.Errorf("%s: must hold 1 to %d bytes", s.File, maxSecretSize)
	}
	return value, nil
}
