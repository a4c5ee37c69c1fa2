package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/journal"
)

// probePrefix is below which the doctor writes, in each store. Nothing else does.
const probePrefix = "doctor/"

// stores looks into the data lake and the registry: whether they can be reached, and
// keep what everything rests on.
func (d *doctor) stores(ctx context.Context, s *section) {
	d.lake = d.store(ctx, s, "data", d.common.Data)
	if d.common.Models != d.common.Data {
		d.store(ctx, s, "models", d.common.Models)
	}
}

// store probes one store, and returns it if it can be read.
func (d *doctor) store(ctx context.Context, s *section, key, url string) blob.Store {
	if url == "" {
		s.tell(levelError, key, key+": the URL is missing in "+d.config, unreachable, "write "+key+": s3://BUCKET/PREFIX into it")
		return nil
	}
	if dir := blob.Directory(url); dir != "" {
		if _, err := os.Stat(dir); err != nil { // Open would make it
			s.tell(levelError, key, fmt.Sprintf("%s: %v", key, err), unreachable, "correct "+key+": in "+d.config+", or make the directory: mkdir -p "+shellWord(dir))
			return nil
		}
	}
	store, err := blob.Open(ctx, url)
	if err == nil {
		err = listable(ctx, store)
	}
	if err != nil {
		s.tell(levelError, key, fmt.Sprintf("%s: %v", url, err), unreachable, "look at the URL, the credentials and the permissions s3:ListBucket and s3:GetObject")
		return nil
	}
	d.try(ctx, s, key, url, store)
	return store
}

// unreachable is what it means that a store cannot be used.
const unreachable = "Nothing works without it: samples wait on the collector's disk, and the scaler decides nothing."

// try tells whether a store keeps its promises.
func (d *doctor) try(ctx context.Context, s *section, key, url string, store blob.Store) {
	p := probe{store: store, now: d.now}
	faults, err := p.run(ctx)
	switch {
	case len(faults) > 0:
		s.tell(levelError, key, fmt.Sprintf("%s: %s", url, strings.Join(faults, "; ")),
			"Two scalers could both believe that they may act, and records be overwritten: the store must not be used.",
			"use a store that honours If-None-Match and If-Match on PUT, as S3 does; older servers that speak its protocol ignore them")
	case key == "models" && denied(err): // the scaler's role, for one, may only read there
		s.tell(levelNote, key, fmt.Sprintf("%s can be read; these credentials may not write there, so that conditional writes were not tried: %v", url, err), "",
			"run the doctor with a role that has deploy/aws/operator.json, as forescale retrain needs it")
	case err != nil:
		s.tell(levelError, key, fmt.Sprintf("%s can be listed, and not used: %v", url, err), unreachable,
			"allow s3:GetObject, s3:PutObject and s3:DeleteObject below the prefix; a directory must belong to the user that the programs run as")
	default:
		s.ok(key, "%s: conditional writes are refused and accepted as they must be", url)
	}
	for _, key := range p.left {
		s.tell(levelWarning, "rest", "the probe "+key+" could not be removed from "+url, "It does no harm.", "allow s3:DeleteObject below doctor/, as deploy/aws/operator.json does, and run the doctor again in an hour: it removes what is old")
	}
	d.skew(s, "the store "+key, p.skew, time.Second)
}

// listable reads the first entry of a listing.
func listable(ctx context.Context, store blob.Store) error {
	for _, err := range store.List(ctx, "", "") {
		return err
	}
	return nil
}

// probe is a try of a store's promises with an object of its own.
type probe struct {
	store blob.Store
	now   func() time.Time

	skew *time.Duration // of the store's clock against ours, positive: ahead; nil: unknown
	left []string       // keys that could not be removed
}

const (
	cleanTime = 5 * time.Second // for taking the probe away, whatever happened before
	probeAge  = time.Hour       // of what a doctor that was killed has left behind
)

// run returns which promises of blob.Store the store breaks, each as a sentence, and
// the error that kept it from finding out.
func (p *probe) run(ctx context.Context) (broken []string, err error) {
	key := probePrefix + rand.Text()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
		defer cancel()
		p.clean(ctx, key)
	}()
	must := func(cond blob.Condition, text, otherwise string) (string, error) {
		etag, err := p.store.Put(ctx, key, []byte(key+text), cond)
		if errors.Is(err, blob.ErrConflict) {
			return "", fmt.Errorf("%s: %w", otherwise, err)
		}
		return etag, err
	}
	mustNot := func(cond blob.Condition, text, otherwise string) error {
		switch _, err := p.store.Put(ctx, key, []byte(key+text), cond); {
		case err == nil:
			broken = append(broken, otherwise)
			return nil
		case errors.Is(err, blob.ErrConflict):
			return nil
		default:
			return err
		}
	}
	first, err := must(blob.IfAbsent(), "first", "a new object is refused with If-None-Match")
	if err != nil {
		return broken, err
	}
	if err := mustNot(blob.IfAbsent(), "usurper", "PUT with If-None-Match: * replaces an object that is there"); err != nil {
		return broken, err
	}
	if len(broken) == 0 {
		second, err := must(blob.IfMatch(first), "second", "the present version is refused with If-Match")
		if err != nil {
			return broken, err
		}
		if err := mustNot(blob.IfMatch(first), "late", "PUT with If-Match replaces an object that has changed"); err != nil {
			return broken, err
		}
		o, err := p.store.Get(ctx, key)
		if err != nil {
			return broken, err
		}
		if len(broken) == 0 && (string(o.Data) != key+"second" || o.ETag != second) {
			broken = append(broken, "what is read is not what was written last")
		}
	}
	listed, err := p.look(ctx, key)
	if err == nil && !listed {
		broken = append(broken, "an object that was written is not in the listing")
	}
	return broken, err
}

// look finds the probe in the listing, and by it the store's clock.
func (p *probe) look(ctx context.Context, key string) (found bool, err error) {
	for info, err := range p.store.List(ctx, key, "") {
		if err != nil {
			return false, err
		}
		if info.Key == key && !info.Modified.IsZero() {
			ahead := info.Modified.Sub(p.now())
			p.skew = &ahead
		}
		found = found || info.Key == key
	}
	return found, nil
}

// clean removes the probe, and those that doctors who were killed have left behind.
func (p *probe) clean(ctx context.Context, own string) {
	remove := []string{own}
	for info, err := range p.store.List(ctx, probePrefix, "") {
		if err != nil {
			break
		}
		if info.Key != own && p.now().Sub(info.Modified) > probeAge {
			remove = append(remove, info.Key)
		}
	}
	for _, key := range remove {
		if err := p.store.Delete(ctx, key); err != nil {
			p.left = append(p.left, key)
		}
	}
}

// Bounds of what clocks may differ. A scaler decides ninety seconds after the end of a
// slot, unless told otherwise, and AWS refuses what is signed fifteen minutes off.
const (
	skewTold  = 90 * time.Second
	skewWorst = 5 * time.Minute
)

// skew judges a clock by ours; grain is what its answer is exact to.
func (d *doctor) skew(s *section, whose string, ahead *time.Duration, grain time.Duration) {
	if ahead == nil {
		return
	}
	off := *ahead
	side := "ahead of"
	if off < 0 {
		off, side = -off, "behind"
	}
	if off -= grain; off < skewTold {
		s.ok("clock", "this machine and %s agree on the time, within %s", whose, skewTold)
		return
	}
	l := levelWarning
	if off >= skewWorst {
		l = levelError
	}
	s.tell(l, "clock", fmt.Sprintf("the clock of %s is %s %s this machine's", whose, off.Round(time.Second), side),
		"Slots are read before they are complete, or too late; leases end at the wrong time; beyond 15 minutes AWS refuses every call.",
		"let this machine follow a time server: timedatectl set-ntp true, or chronyc makestep")
}

// scaler looks at what the scaler has decided last, and whether it still does.
func (d *doctor) scaler(ctx context.Context, s *section) {
	if d.lake == nil || len(d.scaling.Groups) == 0 {
		return
	}
	now := d.now()
	rec, err := journal.New(d.lake).Latest(ctx, now.Add(skew))
	switch {
	case errors.Is(err, blob.ErrNotFound):
		s.tell(levelNote, "deciding", "the audit log is empty", "No scaler has decided anything here yet.", "forescale-scaler -config "+shellWord(d.config)+" -dry-run")
		return
	case err != nil:
		s.tell(levelError, "deciding", "the newest record of the audit log: "+err.Error(), "What was decided last cannot be told.", "forescale data verify -config "+shellWord(d.config))
		return
	}
	if age := now.Sub(rec.Tick); age > 3*d.common.Step {
		s.tell(levelError, "deciding", fmt.Sprintf("the newest decisions are of %s, %s ago", stamp(rec.Tick), left(age)), "The scaler does not run, or cannot write: groups stay as they are.",
			"look at its log: journalctl -u forescale-scaler -n 50; or run one tick: forescale-scaler -config "+shellWord(d.config)+" -once")
	} else {
		s.ok("deciding", "%s decided on %s at %s", rec.Scaler, counted(len(rec.Decisions), "group"), stamp(rec.Tick))
	}
	for _, fault := range rec.Errors {
		s.tell(levelWarning, "tick", "at "+stamp(rec.Tick)+": "+fault, "The newest tick met this outside of any single group.", "forescale tail -config "+shellWord(d.config)+" shows whether it goes on")
	}
}
