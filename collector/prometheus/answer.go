package prometheus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answer is what query_range says ("HTTP API", "Range queries").
type answer struct {
	Status    string   `json:"status"`
	ErrorType string   `json:"errorType"`
	Error     string   `json:"error"`
	Warnings  []string `json:"warnings"`
	IsPartial bool     `json:"isPartial"` // of VictoriaMetrics, when a part of the store did not answer
	Data      struct {
		ResultType string   `json:"resultType"`
		Result     []series `json:"result"`
	} `json:"data"`
}

// series is one result series, with its points in any order.
type series struct {
	Labels     map[string]string `json:"metric"`
	Points     []point           `json:"values"`
	Histograms []json.RawMessage `json:"histograms"` // native ones, which are no numbers
}

// point is an evaluation: at in Unix milliseconds, and a value that may be NaN or
// infinite.
type point struct {
	at    int64
	value float64
}

// UnmarshalJSON reads [seconds, "value"].
func (p *point) UnmarshalJSON(raw []byte) error {
	inner, ok := bytes.CutPrefix(bytes.TrimSpace(raw), []byte("["))
	inner, ok2 := bytes.CutSuffix(inner, []byte("]"))
	first, second, ok3 := bytes.Cut(inner, []byte(","))
	if !ok || !ok2 || !ok3 {
		return fmt.Errorf("%.40q is not a point", raw)
	}
	seconds, err := strconv.ParseFloat(string(bytes.TrimSpace(first)), 64)
	if err != nil || !(math.Abs(seconds) < 1e11) {
		return fmt.Errorf("%.40q is not a point: its time", raw)
	}
	text := bytes.TrimSpace(second)
	if len(text) < 2 || text[0] != '"' || text[len(text)-1] != '"' {
		return fmt.Errorf("%.40q is not a point: its value is no text", raw)
	}
	p.at = int64(math.Round(seconds * 1000))
	p.value, err = strconv.ParseFloat(string(text[1:len(text)-1]), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // too large becomes an infinity
		return fmt.Errorf("%.40q is not a point: its value", raw)
	}
	return nil
}

// errTooMuch means that the range or the answer is larger than the server or we
// allow: a part of the range may do.
var errTooMuch = errors.New("too much for one answer")

// decode reads an answer that came with 200 OK.
func decode(raw []byte, hide secrets) (answer, error) {
	var a answer
	if len(raw) > maxAnswer {
		return a, final("%w: it is larger than %d bytes", errTooMuch, maxAnswer)
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return answer{}, final("an odd answer, not of query_range: %s", hide.hidden(err.Error(), maxText))
	}
	switch {
	case a.Status != "success":
		return answer{}, final("an odd answer: 200 OK with the status %q", hide.hidden(a.Status, maxText))
	case a.Data.ResultType != "matrix":
		return answer{}, final("an odd answer: its type is %q, not matrix", hide.hidden(a.Data.ResultType, maxText))
	case a.IsPartial:
		return answer{}, errors.New("the answer is marked as partial")
	}
	for i, w := range a.Warnings {
		a.Warnings[i] = hide.hidden(w, maxText)
		// What Prometheus has to say about the expression begins so (since version 2.48);
		// everything else is about data that could not be read.
		if !strings.HasPrefix(w, "PromQL warning") && !strings.HasPrefix(w, "PromQL info") {
			return answer{}, fmt.Errorf("the answer is incomplete: %s", a.Warnings[i])
		}
	}
	return a, nil
}

// maxText bounds what is repeated of a server's words, in bytes.
const maxText = 500

// refusal is an answer other than 200 OK.
type refusal struct {
	code  int           // of HTTP
	kind  string        // errorType; empty: it was no answer of Prometheus
	text  string        // what it said, without secrets
	after time.Duration // when to try again; 0: nothing was said
}

// Error tells what the server said, and what to do where that is known.
func (r *refusal) Error() string {
	text := fmt.Sprintf("%d %s", r.code, http.StatusText(r.code))
	if r.kind != "" {
		text += " (" + r.kind + ")"
	}
	switch {
	case r.text != "":
		text += ": " + r.text
	case r.code == http.StatusUnauthorized || r.code == http.StatusForbidden:
		text += ": the credentials are missing or refused"
	case r.code/100 == 3, r.code == http.StatusNotFound, r.code == http.StatusMethodNotAllowed:
		text += ": no query_range at this url; it must end before /api/v1"
	}
	return text
}

// final reports whether the same call would be refused again: the faults of
// Prometheus 400 bad_data and 422 execution are in the question, 503 timeout and
// all other 5xx are not.
func (r *refusal) final() bool {
	return r.code != http.StatusTooManyRequests && r.code != http.StatusRequestTimeout && r.code < 500 || r.code == http.StatusNotImplemented
}

// Is makes a refusal for the amount of data an errTooMuch.
func (r *refusal) Is(target error) bool {
	if target != errTooMuch {
		return false
	}
	return r.code == http.StatusRequestEntityTooLarge ||
		(r.code == http.StatusUnprocessableEntity || r.code == http.StatusBadRequest) &&
			(strings.Contains(r.text, "too many samples") || strings.Contains(r.text, "exceeded maximum resolution"))
}

// refuse reads an answer other than 200 OK. Only what has the form of a Prometheus
// answer is repeated: pages of what stands between may hold anything.
func refuse(resp *http.Response, raw []byte, hide secrets) error {
	r := &refusal{code: resp.StatusCode}
	var a struct {
		Status    string `json:"status"`
		ErrorType string `json:"errorType"`
		Error     string `json:"error"`
	}
	if json.Unmarshal(raw, &a) == nil && a.Status == "error" {
		r.kind, r.text = hide.hidden(a.ErrorType, maxText), hide.hidden(a.Error, maxText)
	}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		r.after = time.Duration(min(n, 3600)) * time.Second
	}
	return r
}
