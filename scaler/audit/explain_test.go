package audit

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/tools/txtar"

	"github.com/forescale/forescale/api"
)

var update = flag.Bool("update", false, "rewrite the explanations in testdata")

// recordOf reads the file record of a txtar archive.
func recordOf(t *testing.T, ar *txtar.Archive) api.TickRecord {
	t.Helper()
	if len(ar.Files) != 2 || ar.Files[0].Name != "record" || ar.Files[1].Name != "explained" {
		t.Fatal("an archive must have the files record and explained")
	}
	dec := json.NewDecoder(bytes.NewReader(ar.Files[0].Data))
	dec.DisallowUnknownFields()
	var rec api.TickRecord
	if err := dec.Decode(&rec); err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestExplanations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no records: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			rec := recordOf(t, ar)
			got := Explain(rec, rec.Decisions[0])
			if *update {
				ar.Files[1].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := string(ar.Files[1].Data); got != want {
				t.Errorf("got\n%s, want\n%s", got, want)
			}
			for line := range strings.Lines(got) {
				line = strings.TrimSuffix(line, "\n")
				if strings.ContainsFunc(line, unicode.IsControl) || strings.TrimRight(line, " ") != line {
					t.Errorf("the line %q has control characters, or blanks at its end", line)
				}
			}
		})
	}
}

// Whatever a record holds, explaining it does not fall over.
func FuzzExplain(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatalf("no records: %v", err)
	}
	for _, file := range files {
		ar, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(ar.Files[0].Data)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var rec api.TickRecord
		if json.Unmarshal(raw, &rec) != nil {
			return
		}
		for _, d := range rec.Decisions {
			if !strings.Contains(Explain(rec, d), "What came of it") {
				t.Error("the explanation has no end")
			}
		}
		Replay(rec)
	})
}
