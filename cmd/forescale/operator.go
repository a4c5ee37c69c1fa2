package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/scaler"
)

// place says where the data lake is, which holds the orders and the audit log:
// by its URL, or by the configuration of the scaler that works on it.
type place struct {
	store, config string
	// What check finds in the configuration.
	url    string
	groups []string // as configured; nil when only the store is known
}

func (p *place) flags(fs *flag.FlagSet) {
	fs.StringVar(&p.store, "store", "", "`URL` of the data lake, as data: in the configuration: file:///DIR or s3://BUCKET/PREFIX")
	fs.StringVar(&p.config, "config", "", "configuration `FILE` of the scaler, instead of -store; group names are then checked against it")
}

// check returns every fault of the two flags and of what they name.
func (p *place) check() error {
	switch {
	case p.store == "" && p.config == "":
		return errors.New("-store URL or -config FILE is needed: it says which installation is meant")
	case p.store != "" && p.config != "":
		return errors.New("-store and -config exclude each other")
	case p.store != "":
		p.url = p.store
	default:
		section := scaler.DefaultConfig()
		common, err := conf.Load(p.config, "scaler", &section)
		if err != nil {
			return err
		}
		if p.url = common.Data; p.url == "" {
			return fmt.Errorf("configuration %s: data: the URL of the data lake is missing", p.config)
		}
		p.groups = []string{}
		for _, g := range section.Groups {
			p.groups = append(p.groups, g.Name)
		}
	}
	return blob.Check(context.Background(), p.url)
}

// open returns the data lake. It must be there: a misspelt path would otherwise be
// an empty lake, in which an order is heard by nobody.
func (p *place) open(ctx context.Context) (blob.Store, error) {
	if dir := blob.Directory(p.url); dir != "" {
		if _, err := os.Stat(dir); err != nil { // Open would make it
			return nil, err
		}
	}
	store, err := blob.Open(ctx, p.url)
	if err != nil {
		return nil, err
	}
	for _, err := range store.List(ctx, "", "") {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.url, err)
		}
		return store, nil
	}
	return nil, fmt.Errorf("%s is empty: no collector and no scaler has worked there", p.url)
}

// unknown returns an error that names the first of names that the configuration
// does not list, nil when there is none, or no configuration.
func (p *place) unknown(names []string) error {
	if p.groups == nil {
		return nil
	}
	for _, name := range names {
		if err := notAmong(name, p.groups); err != nil {
			return fmt.Errorf("configuration %s: %w", p.config, err)
		}
	}
	return nil
}

// namesShown is how many names an error lists.
const namesShown = 10

// notAmong returns an error that names some of the groups when name is none of them.
func notAmong(name string, groups []string) error {
	for _, g := range groups {
		if g == name {
			return nil
		}
	}
	if len(groups) == 0 {
		return fmt.Errorf("there is no group %q, nor any other", name)
	}
	list := strings.Join(groups[:min(namesShown, len(groups))], ", ")
	if more := len(groups) - namesShown; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Errorf("there is no group %q; there is %s", name, list)
}

// parseLength reads a length of time as Go writes it, or in days (7d).
func parseLength(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * day, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no length of time such as 90m, 2h or 7d", text)
	}
	return d, nil
}

// parseTime reads a moment: RFC 3339, or without its seconds or its zone, which
// is then UTC, as all that Forescale prints.
func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time such as 2026-03-02T12:05Z", text)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
