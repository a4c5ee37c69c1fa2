package batch

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/forescale/forescale/internal/file"
	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/models"
)

// Summary is what became of a run.
type Summary struct {
	Shard    string    `json:"shard,omitempty"` // i/n
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	Results  []Result  `json:"results"`
}

// Count returns the number of groups with a status.
func (s Summary) Count(status Status) (n int) {
	for _, r := range s.Results {
		if r.Status == status {
			n++
		}
	}
	return n
}

// Samples returns the number of windows that this run learned from.
func (s Summary) Samples() (n int) {
	for _, r := range s.Results {
		if r.Status == Trained {
			n += r.Samples
		}
	}
	return n
}

// firstFailures returns a line for each of the first groups that failed.
func (s Summary) firstFailures() (lines []string) {
	const most = 5
	for _, r := range s.Results {
		if r.Status == Failed && len(lines) < most {
			lines = append(lines, r.Label()+": "+firstLine(r.Error))
		}
	}
	return lines
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// Skill returns 1 - MAE/MAE of persistence, NaN where it is not defined.
func Skill(h *models.HorizonScore) float64 {
	if h == nil {
		return math.NaN()
	}
	naive, ok := h.Baselines[score.Persistence]
	if !ok || !(naive.MAE > 0) {
		return math.NaN()
	}
	return 1 - h.Model.MAE/naive.MAE
}

// header names the columns of both tables; errors are those of the first and the
// last horizon.
var header = []string{
	"group", "status", "version",
	"first_minutes", "first_mae", "first_persistence_mae", "first_wape", "first_persistence_wape",
	"last_minutes", "last_mae", "last_persistence_mae", "last_wape", "last_persistence_wape",
	"samples", "seconds", "note",
}

// WriteCSV writes a row per group, in the order of the jobs; what is not known is
// empty.
func (s Summary) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	number := func(v float64) string {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return ""
		}
		return strconv.FormatFloat(v, 'g', 6, 64)
	}
	rows := [][]string{header}
	for _, r := range s.Results {
		row := []string{r.Group, string(r.Status), ""}
		if r.Version > 0 {
			row[2] = strconv.Itoa(r.Version)
		}
		for _, h := range []*models.HorizonScore{r.First, r.Last} {
			if h == nil {
				row = append(row, "", "", "", "", "")
				continue
			}
			naive := persistence(h)
			row = append(row, number(h.Minutes), number(h.Model.MAE), number(naive.MAE), number(h.Model.WAPE), number(naive.WAPE))
		}
		rows = append(rows, append(row, strconv.Itoa(r.Samples), number(r.Seconds), r.remark()))
	}
	return out.WriteAll(rows)
}

// persistence returns the baseline of a score, NaN where it has none.
func persistence(h *models.HorizonScore) models.Score {
	if s, ok := h.Baselines[score.Persistence]; ok {
		return s
	}
	return models.Score{MAE: math.NaN(), WAPE: math.NaN()}
}

// remark is the last column: why a group failed, or what there is to know of it.
func (r Result) remark() string { return cmp.Or(r.Error, r.Note) }

// WriteFiles writes the whole summary as base.json and base.csv.
func (s Summary) WriteFiles(base string) error {
	if err := writeJSON(base+".json", s); err != nil {
		return err
	}
	var table bytes.Buffer
	if err := s.WriteCSV(&table); err != nil {
		return err
	}
	return file.Replace(base+".csv", table.Bytes())
}

// WriteTable writes at most rows groups for people, those that failed or were
// stopped first, and a closing line that counts them all.
func (s Summary) WriteTable(w io.Writer, rows int) error {
	shown := slices.Clone(s.Results)
	rank := map[Status]int{Failed: 0, Stopped: 1, Trained: 2, Skipped: 3}
	slices.SortStableFunc(shown, func(a, b Result) int { return cmp.Compare(rank[a.Status], rank[b.Status]) })
	shown = shown[:min(rows, len(shown))]
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "group\tstatus\tversion\tahead\tMAE (persistence)\tWAPE (persistence)\tahead\tMAE (persistence)\tWAPE (persistence)\tseconds\tnote")
	for _, r := range shown {
		version := ""
		if r.Version > 0 {
			version = strconv.Itoa(r.Version)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%.1f\t%s\n", r.Label(), r.Status, version, errorCells(r.First), errorCells(r.Last),
			r.Seconds, shorten(firstLine(r.remark())))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if more := len(s.Results) - len(shown); more > 0 {
		if _, err := fmt.Fprintf(w, "… and %d more\n", more); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, s.closing())
	return err
}

// errorCells returns the three cells of a horizon.
func errorCells(h *models.HorizonScore) string {
	if h == nil {
		return "\t\t"
	}
	naive := persistence(h)
	return fmt.Sprintf("%g min\t%.4g (%.4g)\t%.4f (%.4f)", h.Minutes, h.Model.MAE, naive.MAE, h.Model.WAPE, naive.WAPE)
}

// shorten keeps a row on a line of a terminal; the files have all of it.
func shorten(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// closing counts the groups, and says how much better than persistence they are.
func (s Summary) closing() string {
	seconds := s.Finished.Sub(s.Started).Seconds()
	text := fmt.Sprintf("%d groups in %.1f s: %d trained, %d skipped, %d failed", len(s.Results), seconds,
		s.Count(Trained), s.Count(Skipped), s.Count(Failed))
	if n := s.Count(Stopped); n > 0 {
		text += fmt.Sprintf(", %d not reached", n)
	}
	if seconds > 0 && s.Samples() > 0 {
		text += fmt.Sprintf("; %.0f samples/s", float64(s.Samples())/seconds)
	}
	var skills []float64
	for _, r := range s.Results {
		if skill := Skill(r.Last); !math.IsNaN(skill) {
			skills = append(skills, skill)
		}
	}
	if len(skills) > 0 {
		slices.Sort(skills)
		text += fmt.Sprintf("; median skill over persistence at the last horizon %.0f%%", 100*skills[len(skills)/2])
	}
	return text
}
