package prometheus

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/forescale/forescale/api"
)

var (
	headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$") // RFC 9110 section 5.6.2
	labelName  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

// template makes a group's name out of labels. Literal parts and label names take
// turns, beginning with a literal part.
type template []string

// parseTemplate reads text in which {label} stands for a label's value.
func parseTemplate(text string) (template, error) {
	if text == "" || len(text) > api.MaxNameLen {
		return nil, fmt.Errorf("must be 1 to %d bytes long, for example \"{service}\"", api.MaxNameLen)
	}
	var out template
	for rest := text; ; {
		before, after, found := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return nil, fmt.Errorf("%q has a } without a {", text)
		}
		out = append(out, before)
		if !found {
			return out, nil
		}
		label, after, found := strings.Cut(after, "}")
		if !found || !labelName.MatchString(label) {
			return nil, fmt.Errorf("%q: between { and } belongs the name of a label", text)
		}
		out, rest = append(out, label), after
	}
}

// group returns the name of the group that a series with these labels is of. The
// error says which label is missing.
func (t template) group(labels map[string]string) (string, error) {
	var b strings.Builder
	for i, part := range t {
		if i%2 == 1 {
			value := labels[part]
			if value == "" { // to Prometheus an empty label is none
				return "", fmt.Errorf("it has no label %q", part)
			}
			part = value
		}
		b.WriteString(part)
	}
	if b.Len() > api.MaxNameLen {
		return "", fmt.Errorf("its group's name is longer than %d bytes", api.MaxNameLen)
	}
	return b.String(), nil
}

// deriving are the functions that make something of a counter that speaks of a
// window, or do not look at its value. last_over_time is how one says that a name
// looks like a counter's and is none.
var deriving = []string{"rate", "irate", "increase", "resets", "changes", "count", "group", "absent", "absent_over_time",
	"present_over_time", "count_over_time", "last_over_time", "timestamp"}

// maxExpr bounds an expression, in bytes.
const maxExpr = 16 << 10

// checkExpr refuses expressions whose fault can be seen without parsing PromQL: raw
// counters, and looks into the future. What else is wrong the server says.
func checkExpr(text string) error {
	if strings.TrimSpace(text) == "" || len(text) > maxExpr {
		return fmt.Errorf("must be 1 to %d bytes long", maxExpr)
	}
	var open []string // the functions whose parentheses are open; "" for others
	last := ""        // the token before
	for rest := text; rest != ""; {
		token, kind := next(rest)
		rest = rest[len(token):]
		switch {
		case kind == blank:
			continue
		case kind == broken:
			return fmt.Errorf("what begins with %.20q does not end", token)
		case token == "(":
			open = append(open, last)
		case token == ")":
			if len(open) == 0 {
				return errors.New("has a ) without a (")
			}
			open = open[:len(open)-1]
		case token == "-" && strings.EqualFold(last, "offset"):
			return errors.New("a negative offset looks into the future, which is not known when the slot ends")
		case token == "@":
			return errors.New("@ evaluates at a time of its own, so that the values do not belong to their slots")
		case (strings.HasSuffix(token, "_total") || strings.HasSuffix(token, "_bucket")) && kind == word:
			if !slices.ContainsFunc(open, func(f string) bool { return slices.Contains(deriving, f) }) {
				return fmt.Errorf("%s is a counter, whose value says nothing of a slot: put it in increase(…[$step]) or rate(…[$step]), or in last_over_time(…[$step]) if it is none", token)
			}
		}
		last = token
	}
	if len(open) > 0 {
		return errors.New("has a ( without a )")
	}
	return nil
}

// The kinds of what next returns.
const (
	blank  = iota // space, a comment, a text, label matchers or a range: nothing to look at
	word          // a name, keyword or number
	sign          // one other character
	broken        // a text, matchers or a range without an end
)

// next returns what text begins with, up to where it ends.
func next(text string) (token string, kind int) {
	switch c := text[0]; {
	case c == '#':
		line, _, _ := strings.Cut(text, "\n")
		return line, blank
	case strings.IndexByte(" \t\r\n", c) >= 0:
		return text[:1], blank
	case strings.IndexByte("\"'`", c) >= 0:
		return quoted(text)
	case c == '{' || c == '[':
		end := byte('}')
		if c == '[' {
			end = ']'
		}
		for i := 1; i < len(text); {
			if text[i] == end {
				return text[:i+1], blank
			}
			if strings.IndexByte("\"'`", text[i]) >= 0 {
				inner, kind := quoted(text[i:])
				if kind == broken {
					return text, broken
				}
				i += len(inner)
				continue
			}
			i++
		}
		return text, broken
	}
	n := strings.IndexFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != ':'
	})
	switch n {
	case -1:
		return text, word
	case 0:
		return text[:1], sign
	}
	return text[:n], word
}

// quoted returns the text in quotes that text begins with.
func quoted(text string) (string, int) {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == text[0]:
			return text[:i+1], blank
		case text[i] == '\\' && text[0] != '`':
			i++
		}
	}
	return text, broken
}
