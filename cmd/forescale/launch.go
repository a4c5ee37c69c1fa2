package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/conf"
)

const launchManual = `forescale launch becomes another program, with secrets out of files in its environment.

  forescale launch -env ROOT_SECRET_KEY=/run/secrets/s3/secret-key -- versitygw --port :7070 posix /data

It is for images without a shell, and for programs that take secrets from their
environment alone. The process is replaced: signals and the exit code are the
program's own. Forescale's programs read secrets from files themselves.`

func launchCommand() cli.Command {
	env := secretsFlag{}
	return cli.Command{Name: "forescale launch", Manual: launchManual, Arguments: true,
		Flags: func(fs *flag.FlagSet) {
			fs.Var(env, "env", "set the variable NAME to the content of a file: `NAME=FILE`; may be repeated")
		},
		Run: func(_ context.Context, args []string) error {
			if len(args) == 0 {
				return cli.Usagef("name the program, after --")
			}
			environ, err := env.environ(os.Environ())
			if err != nil {
				return err
			}
			path, err := exec.LookPath(args[0])
			if err != nil {
				return err
			}
			return fmt.Errorf("%s: %w", path, unix.Exec(path, args, environ)) // returns only when it failed
		}}
}

// secretsFlag are files with secrets, by the variables that shall have them.
type secretsFlag map[string]string

// String implements flag.Value.
func (s secretsFlag) String() string { return "" }

// Set implements flag.Value.
func (s secretsFlag) Set(text string) error {
	name, file, ok := strings.Cut(text, "=")
	if !ok || name == "" || file == "" {
		return errors.New("want NAME=FILE")
	}
	if _, twice := s[name]; twice {
		return fmt.Errorf("%s is given twice", name)
	}
	s[name] = file
	return nil
}

// environ returns base with the secrets in place of variables of the same names.
func (s secretsFlag) environ(base []string) ([]string, error) {
	environ := slices.DeleteFunc(slices.Clone(base), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		_, replaced := s[name]
		return replaced
	})
	for _, name := range slices.Sorted(maps.Keys(s)) {
		value, err := conf.Secret{File: s[name]}.Read()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		environ = append(environ, name+"="+value)
	}
	return environ, nil
}
