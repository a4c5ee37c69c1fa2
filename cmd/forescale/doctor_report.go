package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// level says how bad a finding is.
type level string

// The levels, from the best to the worst.
const (
	levelOK      level = "ok"
	levelNote    level = "note"
	levelWarning level = "warning"
	levelError   level = "error"
)

// diagnosis is all that the doctor found; its JSON is the output of -o json.
type diagnosis struct {
	CheckedAt time.Time `json:"checked_at"`
	Config    string    `json:"config"`
	Errors    int       `json:"errors"`
	Warnings  int       `json:"warnings"`
	Notes     int       `json:"notes"`
	OK        int       `json:"ok"`
	Findings  []symptom `json:"findings"`
}

// symptom is one finding.
type symptom struct {
	// Check is a stable identifier of what was looked at: EXAMINATION.ASPECT.
	Check string `json:"check"`
	Level level  `json:"level"`
	// Groups are those that are meant, all of them; none: the installation.
	Groups []string `json:"groups,omitempty"`
	Found  string   `json:"found"`
	Means  string   `json:"means,omitempty"` // for whoever runs the installation; empty when ok
	Do     []string `json:"do,omitempty"`    // sentences or commands, one of which helps
}

func (d *diagnosis) add(found []symptom) {
	for _, s := range found {
		*map[level]*int{levelOK: &d.OK, levelNote: &d.Notes, levelWarning: &d.Warnings, levelError: &d.Errors}[s.Level]++
	}
	d.Findings = append(d.Findings, found...)
}

// section gathers the findings of one examination.
type section struct {
	check string
	found []symptom
}

// tell adds a finding about the installation.
func (s *section) tell(l level, aspect, found, means string, do ...string) {
	s.found = append(s.found, symptom{Check: s.check + "." + aspect, Level: l, Found: printable(found), Means: means, Do: do})
}

// ok adds that something is as it should be.
func (s *section) ok(aspect, format string, args ...any) {
	s.tell(levelOK, aspect, fmt.Sprintf(format, args...), "")
}

// group adds a finding about one group. Groups of which the same is to be said, but
// for the detail, share a finding: a fleet has a thousand of them.
func (s *section) group(l level, aspect, group, detail, means string, do ...string) {
	check := s.check + "." + aspect
	i := slices.IndexFunc(s.found, func(f symptom) bool { return f.Check == check && f.Level == l && f.Means == means && len(f.Groups) > 0 })
	if i < 0 {
		s.found = append(s.found, symptom{Check: check, Level: l, Groups: []string{group}, Found: printable(group + ": " + detail), Means: means, Do: do})
		return
	}
	f := &s.found[i]
	if !slices.Contains(f.Groups, group) {
		f.Groups = append(f.Groups, group)
	}
	switch n := len(f.Groups); {
	case n <= groupsTold:
		f.Found += "; " + printable(group+": "+detail)
	case !strings.HasSuffix(f.Found, moreGroups):
		f.Found += moreGroups
	}
}

// groupsTold is how many groups a finding tells the details of; -o json names all.
const (
	groupsTold = 5
	moreGroups = "; and others"
)

// worst returns the worst level found so far.
func (s *section) worst() level {
	order := []level{levelOK, levelNote, levelWarning, levelError}
	worst := levelOK
	for _, f := range s.found {
		if slices.Index(order, f.Level) > slices.Index(order, worst) {
			worst = f.Level
		}
	}
	return worst
}

// doctorMargin is the column at which the sentences of a finding begin.
const doctorMargin = 9

// printSymptoms writes findings for people.
func printSymptoms(out io.Writer, page terminal, found []symptom) error {
	var b strings.Builder
	for _, s := range found {
		colour := map[level]string{levelOK: green, levelNote: faint, levelWarning: yellow, levelError: red}[s.Level]
		groups := ""
		if n := len(s.Groups); n > groupsTold {
			groups = fmt.Sprintf(" (%d groups)", n)
		}
		label := page.paint(colour, fmt.Sprintf("%-*s", doctorMargin, strings.ToUpper(string(s.Level))))
		write := func(text string) {
			for _, line := range page.wrap(doctorMargin, text) {
				fmt.Fprintf(&b, "%s%s\n", label, line)
				label = strings.Repeat(" ", doctorMargin)
			}
		}
		write(s.Check + groups + ": " + s.Found)
		if s.Means != "" {
			write(s.Means)
		}
		for _, do := range s.Do {
			// A command stays on one line, whatever its length, so that it can be copied.
			fmt.Fprintf(&b, "%s%s\n", label, page.paint(faint, "-> ")+do)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
