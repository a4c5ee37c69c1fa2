package fleet

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Order sets the desired capacity from the minute that holds Time on.
type Order struct {
	Time    time.Time
	Desired int
}

// Plan is a list of orders. Orders of one minute are carried out in the order of
// the list; otherwise the list need not be sorted.
type Plan []Order

// maxDesired bounds what a capacity file may ask for, so that a slip of the pen
// is an error and not an overflow. The replay clips to MaxInstances anyway.
const maxDesired = 1_000_000

// ReadPlan reads a capacity file: CSV with the columns timestamp (RFC 3339) and
// desired (a number, its fraction dropped), a row per change or per minute.
// Other columns are ignored. Errors name the line and the column.
func ReadPlan(r io.Reader) (Plan, error) {
	rows := csv.NewReader(r)
	header, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("capacity file: is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("capacity file: %w", err)
	}
	at, desired := slices.Index(header, "timestamp"), slices.Index(header, "desired")
	if at < 0 || desired < 0 {
		return nil, fmt.Errorf("capacity file: header %q lacks timestamp or desired", strings.Join(header, ","))
	}
	var plan Plan
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return plan, nil
		}
		if err != nil {
			return nil, fmt.Errorf("capacity file: %w", err)
		}
		line, _ := rows.FieldPos(at)
		t, err := time.Parse(time.RFC3339, strings.TrimSpace(row[at]))
		if err != nil {
			return nil, fmt.Errorf("capacity file: line %d: timestamp %q is not RFC 3339", line, row[at])
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(row[desired]), 64)
		if err != nil || !(math.Abs(n) <= maxDesired) {
			return nil, fmt.Errorf("capacity file: line %d: desired %q is not a number of instances", line, row[desired])
		}
		plan = append(plan, Order{Time: t.UTC(), Desired: int(n)})
	}
}

// Write writes the plan as a capacity file that ReadPlan and the reference
// implementation read.
func (p Plan) Write(w io.Writer) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"timestamp", "desired"}); err != nil {
		return err
	}
	for _, o := range p {
		if err := out.Write([]string{o.Time.UTC().Format(time.RFC3339), strconv.Itoa(o.Desired)}); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}
