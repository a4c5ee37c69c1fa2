package audit

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	width  = 100 // columns of a terminal, beyond which a sentence is broken
	margin = 13  // column at which sentences begin
)

// text is built of sections of labelled sentences.
type text struct{ b strings.Builder }

// String returns the text, which ends with a line break.
func (t *text) String() string { return t.b.String() }

// line writes a line from the first column on.
func (t *text) line(format string, args ...any) { fmt.Fprintf(&t.b, format+"\n", args...) }

// section begins a new part.
func (t *text) section(title string) { t.line("\n%s", title) }

// entry writes a sentence behind its label, broken at blanks; an empty label goes
// on with the entry before. What others wrote into a record cannot begin a line or
// move the cursor.
func (t *text) entry(label, format string, args ...any) {
	label = fmt.Sprintf("  %-*s", margin-2, label)
	column := 0
	for word := range strings.FieldsSeq(clean(fmt.Sprintf(format, args...))) {
		n := utf8.RuneCountInString(word)
		switch {
		case column == 0:
			t.b.WriteString(label)
			column = margin
		case column+1+n > width:
			t.b.WriteString("\n" + strings.Repeat(" ", margin))
			column = margin
		default:
			t.b.WriteByte(' ')
			column++
		}
		t.b.WriteString(word)
		column += n
	}
	if column > 0 {
		t.b.WriteByte('\n')
	}
}

// clean replaces what is not to be printed by blanks.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
}
