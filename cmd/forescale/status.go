package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/scaler"
)

const statusManual = `forescale status tells how every group stands, what needs attention first: load,
forecast at the lead time, capacity, state and why, the age of data and model, and
the next event of the calendar.

  forescale status -config forescale.yaml            from the stores alone
  forescale status web -store s3://lake/prod         one group; without the models and the calendar
  forescale status -server https://forescale:8650 -token-file token    what the server says
  forescale status -config forescale.yaml -o json    for programs: as GET /api/v1/fleet answers

A row begins with ! when it does not work or too little capacity is foreseen, with *
when it works worse than it should, with - when somebody gave an order. It exits with
3 when any group needs attention (! or *), with 1 when that cannot be told.`

// exitAttention is the exit code of a status in which a group needs a person.
const exitAttention = 3

// status is the command line.
type status struct {
	auditLog
	url, tokenFile, caFile string // of the server
	output                 string
	common                 conf.Common // of -config
	client                 scaler.Config
	out, errOut            io.Writer
	getenv                 func(string) string
	now                    func() time.Time
}

func statusCommand() cli.Command {
	s := &status{out: os.Stdout, errOut: os.Stderr, getenv: os.Getenv, now: time.Now}
	return cli.Command{Name: "forescale status", Manual: statusManual, Flags: s.flags, Check: s.check, Run: s.run, Arguments: true}
}

func (s *status) flags(fs *flag.FlagSet) {
	s.auditLog.flags(fs)
	fs.Lookup("at").Usage = "how things stood at this `TIME` (2026-03-02T12:05Z), which ages are reckoned from, instead of now"
	fs.StringVar(&s.url, "server", "", "`URL` of a server to ask, instead of -store or -config")
	fs.StringVar(&s.tokenFile, "token-file", "", "with -server: `FILE` with the token of a client that has the right read")
	fs.StringVar(&s.caFile, "ca-file", "", "with -server: `FILE` with the authorities that may have signed its certificate, in PEM")
	fs.StringVar(&s.output, "o", "table", "`FORM`: table or json")
}

// check returns all faults of the command line at once.
func (s *status) check() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if s.output != "table" && s.output != "json" {
		bad("-o: %q is not table or json", s.output)
	}
	if s.url == "" {
		if s.tokenFile != "" || s.caFile != "" {
			bad("-token-file and -ca-file go with -server")
		}
		faults = append(faults, s.auditLog.check())
		if s.config != "" && len(faults) == 1 && faults[0] == nil {
			section := scaler.DefaultConfig()
			s.common, _ = conf.Load(s.config, "scaler", &section) // place has read it without a fault
		}
		return errors.Join(faults...)
	}
	if s.store != "" || s.config != "" || s.at != "" {
		bad("-server excludes -store, -config and -at")
	}
	s.client = scaler.DefaultConfig()
	s.client.Server, s.client.ServerCAFile, s.client.ServerToken = s.url, s.caFile, conf.Secret{File: s.tokenFile}
	if u, err := url.Parse(s.url); err == nil && u.Scheme == "http" && s.tokenFile != "" && !onThisMachine(u.Hostname()) {
		bad("-token-file: the token would travel to %s in clear text; use https", u.Host)
	}
	if _, err := s.client.NewClient(); err != nil {
		bad("-server: %s", strings.TrimPrefix(err.Error(), "scaler.server: "))
	}
	if _, err := s.client.ServerToken.Read(); err != nil {
		bad("-token-file: %w", err)
	}
	return errors.Join(faults...)
}

func onThisMachine(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (s *status) run(ctx context.Context, groups []string) error {
	fleet, err := s.read(ctx)
	if err != nil {
		return err
	}
	if len(groups) > 0 {
		var known []string
		for _, r := range fleet.Groups {
			known = append(known, r.Group)
		}
		slices.Sort(known)
		for _, group := range groups {
			if err := notAmong(group, known); err != nil {
				return err
			}
		}
		fleet.Groups = slices.DeleteFunc(fleet.Groups, func(r api.FleetRow) bool { return !slices.Contains(groups, r.Group) })
	}
	if s.output == "json" {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		err = e.Encode(fleet)
	} else {
		err = printFleet(s.out, terminalOf(s.out, s.getenv), fleet)
	}
	if err != nil {
		return err
	}
	return needed(fleet)
}

// needed returns the error whose exit code says that a group needs attention, or nil.
func needed(fleet api.Fleet) error {
	var names []string
	for _, r := range fleet.Groups {
		if r.Attention >= api.AttentionWarning {
			names = append(names, r.Group)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return &cli.StatusError{Code: exitAttention, Err: fmt.Errorf("%d of %s to look at: %s", len(names), counted(len(fleet.Groups), "group"),
		fit(printable(strings.Join(names, ", ")), usualWidth))}
}

// read asks the server, or the stores.
func (s *status) read(ctx context.Context) (api.Fleet, error) {
	if s.url != "" {
		c, err := s.client.NewClient()
		if err != nil {
			return api.Fleet{}, err
		}
		return c.Fleet(ctx)
	}
	return s.fromStores(ctx)
}
