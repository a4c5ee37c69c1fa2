package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
)

// maxPages bounds the pages of one call. A page may be short for reasons of
// CloudWatch's own, so that the bound only ends a token that leads nowhere.
const maxPages = 10_000

// reading is what the pages have told of one series so far.
type reading struct {
	points map[int64]float64 // by Unix seconds; a point may come twice, at the seam of two pages
	status types.StatusCode
	fault  string // why the series cannot be relied on; empty: no reason
}

// fetch reads all pages of a call. A *collector.SeriesError in the error names
// series that failed among others that did not; any other error means that the
// call as a whole was refused. The samples read so far are returned in each case.
func (s *Source) fetch(ctx context.Context, c call) ([]api.Sample, error) {
	readings := make([]reading, len(c.queries))
	in := s.input(c)
	var callErr error
	for page := 0; ; page++ {
		out, err := c.place.metrics.GetMetricData(ctx, in)
		if err != nil {
			callErr = fmt.Errorf("GetMetricData, page %d: %w", page+1, err)
			break
		}
		for _, m := range out.Messages {
			s.log.Warn("message from CloudWatch", "code", aws.ToString(m.Code), "message", aws.ToString(m.Value))
		}
		for _, r := range out.MetricDataResults {
			s.take(readings, r)
		}
		token := aws.ToString(out.NextToken)
		if token == "" {
			break
		}
		if token == aws.ToString(in.NextToken) || page+1 == maxPages {
			callErr = fmt.Errorf("GetMetricData, page %d: the pages do not end", page+1)
			break
		}
		in.NextToken = aws.String(token)
	}
	return samplesOf(c.queries, readings), judge(c.queries, readings, callErr)
}

func (s *Source) input(c call) *cloudwatch.GetMetricDataInput {
	in := &cloudwatch.GetMetricDataInput{
		StartTime: aws.Time(c.from),
		EndTime:   aws.Time(c.to),
		ScanBy:    types.ScanByTimestampAscending,
	}
	for i, q := range c.queries {
		var dims []types.Dimension
		for _, d := range q.dimensions {
			dims = append(dims, types.Dimension{Name: aws.String(d.name), Value: aws.String(d.value)})
		}
		in.MetricDataQueries = append(in.MetricDataQueries, types.MetricDataQuery{
			Id: aws.String("q" + strconv.Itoa(i)),
			MetricStat: &types.MetricStat{
				Metric: &types.Metric{Namespace: aws.String(q.namespace), MetricName: aws.String(q.name), Dimensions: dims},
				Period: aws.Int32(int32(s.step / time.Second)),
				Stat:   aws.String(q.statistic),
			},
		})
	}
	return in
}

// take adds one result of one page to the reading of its series.
func (s *Source) take(readings []reading, r types.MetricDataResult) {
	id := aws.ToString(r.Id)
	i, err := strconv.Atoi(strings.TrimPrefix(id, "q"))
	if err != nil || i < 0 || i >= len(readings) {
		s.log.Warn("CloudWatch answered a query that was not asked", "source", s.name, "id", id)
		return
	}
	rd := &readings[i]
	rd.status = r.StatusCode
	switch r.StatusCode {
	case types.StatusCodeComplete, types.StatusCodePartialData:
	default: // Forbidden, InternalError, and what the API may add
		rd.fault = string(r.StatusCode)
		for _, m := range r.Messages {
			rd.fault += ": " + aws.ToString(m.Code) + " " + aws.ToString(m.Value)
		}
	}
	if len(r.Timestamps) != len(r.Values) {
		rd.fault = fmt.Sprintf("%d timestamps with %d values", len(r.Timestamps), len(r.Values))
		return
	}
	if rd.points == nil {
		rd.points = make(map[int64]float64, len(r.Values))
	}
	for k, t := range r.Timestamps {
		if v := r.Values[k]; !math.IsNaN(v) && !math.IsInf(v, 0) {
			rd.points[t.Unix()] = v
		}
	}
}

func samplesOf(queries []query, readings []reading) []api.Sample {
	var out []api.Sample
	for i, rd := range readings {
		q := queries[i].series
		for _, at := range slices.Sorted(maps.Keys(rd.points)) {
			out = append(out, api.Sample{Group: q.Group, Metric: q.Metric, Stat: q.Stat,
				Time: time.Unix(at, 0).UTC(), Value: queries[i].scale * rd.points[at]})
		}
	}
	return out
}

// judge turns the state of each series after the last page into one error for
// each cause. A series that was complete before the call broke off is not failed.
func judge(queries []query, readings []reading, callErr error) error {
	causes := map[string][]collector.Series{}
	complete := 0
	for i, rd := range readings {
		cause := rd.fault
		switch {
		case cause != "":
		case rd.status == types.StatusCodeComplete:
			complete++
			continue
		case callErr != nil:
			cause = callErr.Error()
		case rd.status == types.StatusCodePartialData:
			cause = "PartialData on the last page: points are missing"
		default:
			cause = "no result for the query"
		}
		causes[cause] = append(causes[cause], queries[i].series)
	}
	if callErr != nil && (complete == 0 || len(causes) == 0) {
		return callErr
	}
	var errs []error
	for _, cause := range slices.Sorted(maps.Keys(causes)) {
		err := errors.New(cause)
		if callErr != nil && cause == callErr.Error() {
			err = callErr // keeps its type
		}
		errs = append(errs, &collector.SeriesError{Series: causes[cause], Err: err})
	}
	return errors.Join(errs...)
}
