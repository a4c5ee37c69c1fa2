package main

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// terminal is where a command writes for people: how wide it is, and whether it has
// colours.
type terminal struct {
	width   int // columns
	colours bool
}

const (
	usualWidth = 100 // of what is no terminal: a file, a pipe
	leastWidth = 40
)

// terminalOf returns what is behind a writer. Colours are for terminals alone, and
// not for one whose owner has set NO_COLOR (no-color.org) or TERM=dumb.
func terminalOf(out io.Writer, getenv func(string) string) terminal {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return terminal{width: usualWidth}
	}
	t := terminal{width: usualWidth, colours: getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		t.width = max(width, leastWidth)
	}
	return t
}

// The colours that have a meaning here (ECMA-48, "Select graphic rendition").
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	faint  = "2"
)

// paint returns the text in a colour, "" for none, where there are colours.
func (t terminal) paint(colour, text string) string {
	if !t.colours || colour == "" || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// wrap breaks a sentence at blanks into lines that fit beside a margin of so many
// columns. A word that is longer than a line, such as a command to copy, stays whole.
func (t terminal) wrap(margin int, text string) []string {
	var lines []string
	room := max(t.width-margin, leastWidth/2)
	line, used := "", 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		if used > 0 && used+1+n > room {
			lines = append(lines, line)
			line, used = "", 0
		}
		if used > 0 {
			line, used = line+" ", used+1
		}
		line, used = line+word, used+n
	}
	if used > 0 {
		lines = append(lines, line)
	}
	return lines
}

// fit cuts a text to so many columns.
func fit(text string, columns int) string {
	if utf8.RuneCountInString(text) <= columns {
		return text
	}
	r := []rune(text)
	return strings.TrimRight(string(r[:max(columns-1, 0)]), " ") + "…"
}

// printable returns a text that others wrote without what would move the cursor or
// begin a line.
func printable(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return r <= ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError
	}), " ")
}
