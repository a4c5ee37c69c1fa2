package calendar

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The examples of docs/calendar.md are calendars.
func TestTheExamplesOfTheDocumentationAreSound(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "calendar.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"sales.json":   `{"events": [{"name": "sale", "start": "2026-07-01T00:00:00Z", "end": "2026-07-02T00:00:00Z", "flag": "is_sale_active"}]}`,
		"releases.ics": vevent("DTSTART:20260702T100000\nDURATION:PT1H"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for block := range strings.SplitSeq(string(raw), "\n```") {
		kind, text, _ := strings.Cut(block, "\n")
		if kind != "json" && kind != "ics" {
			continue
		}
		n++
		path := filepath.Join(dir, "example."+kind)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		if err != nil {
			t.Errorf("%v\n%s", err, text)
			continue
		}
		if len(c.Flags()) == 0 || len(c.Always()) == 0 && len(c.Events(utc(t, "2026-01-01"), utc(t, "2027-01-01"))) == 0 {
			t.Errorf("an example plans nothing:\n%s", text)
		}
	}
	if n < 6 {
		t.Errorf("only %d examples were found", n)
	}
}
