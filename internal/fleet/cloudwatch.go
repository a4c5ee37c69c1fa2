package fleet

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// Limits of GetMetricData.
const (
	maxQueries        = 500
	maxPageDatapoints = 100_800
	listMetricsPage   = 500
)

// Status codes of a MetricDataResult.
const (
	statusComplete = "Complete"
	statusPartial  = "PartialData"
)

var queryID = regexp.MustCompile(`^[a-z][A-Za-z0-9_]*$`)

// query is one MetricDataQuery.
type query struct {
	ID         string
	Label      string
	Namespace  string
	Metric     string
	Dimensions map[string]string
	Period     time.Duration
	Stat       string
	Return     bool
}

// pageToken is where the next page of GetMetricData begins: with the points of
// query Query that lie beyond After in the order of the scan.
type pageToken struct {
	Query   int    `json:"q"`
	After   int64  `json:"t,omitempty"` // Unix seconds; 0: from the beginning
	Request uint64 `json:"r"`           // the request that the token belongs to
}

// getMetricData answers the operation GetMetricData; the caller holds mu.
func (c *Cloud) getMetricData(from caller, in cbor.Map) (cbor.Map, *apiError) {
	start, end, err := readRange(in)
	if err != nil {
		return nil, err
	}
	queries, err := readQueries(in)
	if err != nil {
		return nil, err
	}
	ascending, page, err := c.readPaging(in)
	if err != nil {
		return nil, err
	}
	request := hash(strconv.FormatInt(start.Unix(), 10), strconv.FormatInt(end.Unix(), 10), strconv.FormatBool(ascending), fmt.Sprint(queries))
	token := pageToken{Request: request}
	if s := text(in, "NextToken"); s != "" {
		if token, err = readToken(s, request, len(queries)); err != nil {
			return nil, err
		}
	}
	var results cbor.List
	out := cbor.Map{"Messages": cbor.List{}}
	for i := token.Query; i < len(queries); i++ {
		if page == 0 {
			out["NextToken"] = cbor.String(pageToken{Query: i, Request: request}.String())
			break
		}
		q := queries[i]
		r := c.read(from, q, start, end, ascending, token.After, page)
		token.After = 0
		page -= len(r.times)
		if q.Return {
			results = append(results, r.encode(q))
		}
		if r.status == statusPartial {
			out["NextToken"] = cbor.String(pageToken{Query: i, After: r.times[len(r.times)-1].Unix(), Request: request}.String())
			break
		}
	}
	out["MetricDataResults"] = results
	return out, nil
}

// result is the part of a series that fits on a page.
type result struct {
	times   []time.Time
	values  []float64
	status  string
	message string
}

// read returns at most limit points of a query in the order of the scan,
// beyond the time after (Unix seconds; 0: from the beginning).
func (c *Cloud) read(from caller, q query, start, end time.Time, ascending bool, after int64, limit int) result {
	mt, g, ok := c.lookup(from, q.Namespace, q.Metric, q.Dimensions)
	if !ok {
		return result{status: statusComplete} // CloudWatch does not tell an unknown series from a silent one
	}
	if status := c.traps.series(g.Name, q.Metric); status != "" {
		return result{status: status, message: "The series cannot be read: " + status}
	}
	// Nothing older is kept and nothing newer is there: without these bounds a
	// request for all of time would keep the cloud busy.
	oldest, newest := c.clock.Add(-retained(q.Period)), c.clock.Add(q.Period)
	if start = roundStart(start, c.clock); start.Before(oldest) {
		start = oldest
	}
	if end.After(newest) {
		end = newest
	}
	first := start.Truncate(q.Period)
	if first.Before(start) {
		first = first.Add(q.Period)
	}
	count := int((end.Sub(first) + q.Period - 1) / q.Period)
	reduce := findStatistic(q.Stat)
	r := result{status: statusComplete}
	for i := range max(0, count) {
		t := first.Add(time.Duration(i) * q.Period)
		if !ascending {
			t = first.Add(time.Duration(count-1-i) * q.Period)
		}
		if after != 0 && (ascending && t.Unix() <= after || !ascending && t.Unix() >= after) {
			continue
		}
		points := mt.period(g, t, q.Period)
		if len(points) == 0 {
			continue
		}
		if len(r.times) == limit {
			r.status = statusPartial
			break
		}
		r.times, r.values = append(r.times, t), append(r.values, reduce(points))
	}
	return r
}

func (r result) encode(q query) cbor.Map {
	times, values := make(cbor.List, len(r.times)), make(cbor.List, len(r.times))
	for i := range r.times {
		times[i] = &cbor.Tag{ID: 1, Value: cbor.Float64(r.times[i].Unix())}
		values[i] = cbor.Float64(r.values[i])
	}
	m := cbor.Map{
		"Id": cbor.String(q.ID), "Label": cbor.String(q.Label),
		"StatusCode": cbor.String(r.status), "Timestamps": times, "Values": values,
	}
	if r.message != "" {
		m["Messages"] = cbor.List{cbor.Map{"Code": cbor.String(r.status), "Value": cbor.String(r.message)}}
	}
	return m
}

// readRange reads StartTime and EndTime.
func readRange(in cbor.Map) (start, end time.Time, _ *apiError) {
	for _, f := range []struct {
		name string
		into *time.Time
	}{{"StartTime", &start}, {"EndTime", &end}} {
		v, ok := in[f.name]
		if !ok {
			return start, end, missingParameter(f.name)
		}
		t, err := cbor.AsTime(v)
		if err != nil {
			return start, end, invalid("The parameter %s is not a timestamp: %v.", f.name, err)
		}
		*f.into = t.UTC()
	}
	if !start.Before(end) {
		return start, end, invalid("The parameter StartTime must be less than the parameter EndTime.")
	}
	return start, end, nil
}

func readQueries(in cbor.Map) ([]query, *apiError) {
	list, _ := in["MetricDataQueries"].(cbor.List)
	switch {
	case len(list) == 0:
		return nil, missingParameter("MetricDataQueries")
	case len(list) > maxQueries:
		return nil, invalid("The collection MetricDataQueries must not have a size greater than %d.", maxQueries)
	}
	queries := make([]query, 0, len(list))
	seen := map[string]bool{}
	for i, v := range list {
		m, _ := v.(cbor.Map)
		q, err := readQuery(m, fmt.Sprintf("MetricDataQueries.member.%d", i+1))
		if err != nil {
			return nil, err
		}
		if seen[q.ID] {
			return nil, invalid("The values for parameter id in MetricDataQueries are not unique: %s.", q.ID)
		}
		seen[q.ID] = true
		queries = append(queries, q)
	}
	return queries, nil
}

func readQuery(m cbor.Map, where string) (query, *apiError) {
	stat, _ := m["MetricStat"].(cbor.Map)
	mt, _ := stat["Metric"].(cbor.Map)
	q := query{
		ID: text(m, "Id"), Label: text(m, "Label"),
		Namespace: text(mt, "Namespace"), Metric: text(mt, "MetricName"), Stat: text(stat, "Stat"),
		Dimensions: map[string]string{}, Return: true,
	}
	setDefault(&q.Label, q.Metric)
	if r, ok := m["ReturnData"].(cbor.Bool); ok {
		q.Return = bool(r)
	}
	period, err := cbor.AsInt64(orNil(stat["Period"]))
	switch {
	case !queryID.MatchString(q.ID):
		return q, invalid("The value %q for parameter %s.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$.", q.ID, where)
	case m["Expression"] != nil:
		return q, invalid("%s.Expression: this simulation knows no metric math.", where)
	case q.Namespace == "" || q.Metric == "":
		return q, missingParameter(where + ".MetricStat.Metric")
	case err != nil || period < 60 || period%60 != 0 || period > 86400:
		return q, invalid("The parameter %s.MetricStat.Period must be a multiple of 60 and at most 86400.", where)
	case findStatistic(q.Stat) == nil:
		return q, invalid("The value %q for parameter %s.MetricStat.Stat is not a statistic that this simulation knows.", q.Stat, where)
	}
	q.Period = time.Duration(period) * time.Second
	dimensions, _ := mt["Dimensions"].(cbor.List)
	for _, v := range dimensions {
		d, _ := v.(cbor.Map)
		q.Dimensions[text(d, "Name")] = text(d, "Value")
	}
	return q, nil
}

// readPaging reads ScanBy and MaxDatapoints.
func (c *Cloud) readPaging(in cbor.Map) (ascending bool, page int, _ *apiError) {
	switch s := text(in, "ScanBy"); s {
	case "", "TimestampDescending":
	case "TimestampAscending":
		ascending = true
	default:
		return false, 0, invalid("The value %q for parameter ScanBy is not valid.", s)
	}
	page = c.config.PageDatapoints
	if v, ok := in["MaxDatapoints"]; ok {
		n, err := cbor.AsInt32(v)
		if err != nil || n < 1 || n > maxPageDatapoints {
			return false, 0, invalid("The parameter MaxDatapoints must be 1 to %d.", maxPageDatapoints)
		}
		page = min(page, int(n))
	}
	return ascending, page, nil
}

func (t pageToken) String() string {
	b, err := json.Marshal(t)
	if err != nil {
		panic(err) // three numbers always marshal
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func readToken(s string, request uint64, queries int) (pageToken, *apiError) {
	var t pageToken
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err != nil || t.Request != request || t.Query < 0 || t.Query >= queries {
		return t, &apiError{Status: 400, Code: "InvalidNextToken", Shape: "InvalidNextToken", Message: "The next token specified is invalid."}
	}
	return t, nil
}

// listMetrics answers the operation ListMetrics; the caller holds mu.
func (c *Cloud) listMetrics(from caller, in cbor.Map) (cbor.Map, *apiError) {
	first := 0
	if s := text(in, "NextToken"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return nil, &apiError{Status: 400, Code: "InvalidNextToken", Shape: "InvalidNextToken", Message: "The next token specified is invalid."}
		}
		first = n
	}
	filters, _ := in["Dimensions"].(cbor.List)
	var all cbor.List
	for _, g := range c.groups {
		for i := range metrics {
			if !from.sees(g) {
				continue
			}
			if mt := &metrics[i]; matches(text(in, "Namespace"), mt.namespace) && matches(text(in, "MetricName"), mt.name) && g.passes(mt, filters) {
				all = append(all, g.describe(mt))
			}
		}
	}
	out := cbor.Map{}
	page := all[min(first, len(all)):min(first+listMetricsPage, len(all))]
	out["Metrics"] = page
	if next := first + len(page); next < len(all) {
		out["NextToken"] = cbor.String(strconv.Itoa(next))
	}
	return out, nil
}

// passes reports whether a group's metric has all the dimensions of a filter; one
// without a value matches any value.
func (g *group) passes(mt *metric, filters cbor.List) bool {
	for _, v := range filters {
		f, _ := v.(cbor.Map)
		name, value := text(f, "Name"), text(f, "Value")
		if !slices.Contains(mt.dimensions, name) || !matches(value, g.dimension(name)) {
			return false
		}
	}
	return true
}

func (g *group) describe(mt *metric) cbor.Map {
	var dimensions cbor.List
	for _, d := range mt.dimensions {
		dimensions = append(dimensions, cbor.Map{"Name": cbor.String(d), "Value": cbor.String(g.dimension(d))})
	}
	return cbor.Map{"Namespace": cbor.String(mt.namespace), "MetricName": cbor.String(mt.name), "Dimensions": dimensions}
}

// text returns a string member, "" when it is absent.
func text(m cbor.Map, name string) string {
	s, _ := m[name].(cbor.String)
	return string(s)
}

func orNil(v cbor.Value) cbor.Value {
	if v == nil {
		return &cbor.Nil{}
	}
	return v
}
