package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
)

const (
	// parallelCalls bounds the calls under way at a time.
	parallelCalls = 8
	// maxSplits bounds how often the calls of one Fetch are cut in halves. It is
	// enough to find a few queries that CloudWatch refuses among any number, and to
	// come down from 500 queries a call to what a slow day allows.
	maxSplits = 64
)

// call is one GetMetricData with all its pages.
type call struct {
	place    *place
	queries  []query
	from, to time.Time
}

// plan cuts the series x slots to read into calls whose answers fit one page, as
// far as CloudWatch cuts pages by its limit only.
func (s *Source) plan(parts []asked, from, to time.Time) []call {
	var calls []call
	for from.Before(to) {
		end := from.Add(maxPoints * s.step)
		if end.After(to) {
			end = to
		}
		slots := s.slots(from, end)
		for _, a := range parts {
			size := max(1, min(a.place.size(), maxPoints/slots))
			for some := range slices.Chunk(a.queries, size) {
				calls = append(calls, call{a.place, some, from, end})
			}
		}
		from = end
	}
	return calls
}

// slots returns the number of slots in [from, to).
func (s *Source) slots(from, to time.Time) int { return int((to.Sub(from) + s.step - 1) / s.step) }

// size returns the number of queries that a call may have for now.
func (p *place) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.batch
}

// cope takes in that CloudWatch has answered a call, or has been overtaxed by one.
// Size halves with the latter and comes back by an eighth with each call of full
// size that is answered.
func (p *place) cope(queries int, answered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !answered:
		p.batch = max(1, min(p.batch, queries/2))
	case queries >= p.batch:
		p.batch = min(maxQueries, p.batch+p.batch/8+1)
	}
}

// answer is what came of a call.
type answer struct {
	samples []api.Sample
	failed  []error // *collector.SeriesError: of series that failed among others
	refused []refusal
}

// refusal is a part of a call that brought nothing, because of err.
type refusal struct {
	queries []query
	err     error
}

// fetchAll reads the parts for [from, to), as Fetch says.
func (s *Source) fetchAll(ctx context.Context, parts []asked, from, to time.Time) ([]api.Sample, error) {
	calls := s.plan(parts, from, to)
	answers := make([]answer, len(calls))
	var splits atomic.Int32
	var g errgroup.Group
	g.SetLimit(parallelCalls)
	for i, c := range calls {
		g.Go(func() error {
			answers[i] = s.ask(ctx, c, &splits)
			return nil
		})
	}
	_ = g.Wait() // the errors are in the answers
	return merge(calls, answers)
}

// merge joins the answers. When nothing came of any call the error is that of the
// whole range; otherwise what was refused are series that failed.
func merge(calls []call, answers []answer) ([]api.Sample, error) {
	var all []api.Sample
	var errs []error
	asked, refused := 0, 0
	causes := map[string]*collector.SeriesError{}
	for i, a := range answers {
		asked += len(calls[i].queries)
		all = append(all, a.samples...)
		errs = append(errs, a.failed...)
		for _, r := range a.refused {
			refused += len(r.queries)
			e := causes[r.err.Error()] // the same cause of many calls is said once
			if e == nil {
				e = &collector.SeriesError{Err: r.err}
				causes[r.err.Error()] = e
				errs = append(errs, e)
			}
			e.Series = append(e.Series, seriesOf(r.queries)...)
		}
	}
	if asked > 0 && refused == asked {
		first := slices.IndexFunc(answers, func(a answer) bool { return len(a.refused) > 0 })
		return all, fmt.Errorf("all %d calls: %w", len(calls), answers[first].refused[0].err)
	}
	return all, errors.Join(errs...)
}

// ask makes a call, and repeats it in halves when CloudWatch does not cope with its
// size, or refuses one of its queries, which then costs no other its values.
func (s *Source) ask(ctx context.Context, c call, splits *atomic.Int32) answer {
	slots := s.slots(c.from, c.to)
	if err := c.place.pace.waitPoints(ctx, len(c.queries)*slots, s.now().Sub(c.from) > recentRange); err != nil {
		return answer{refused: []refusal{{c.queries, err}}}
	}
	samples, err := s.fetch(ctx, c)
	tooMuch := overtaxed(ctx, err)
	if err == nil || tooMuch {
		c.place.cope(len(c.queries), err == nil)
	}
	if (tooMuch || invalid(err)) && len(c.queries) > 1 && splits.Add(1) <= maxSplits {
		half := len(c.queries) / 2
		s.log.Info("repeating a call in halves", "source", s.name, "place", c.place.String(), "queries", len(c.queries), "err", err)
		left := s.ask(ctx, call{c.place, c.queries[:half], c.from, c.to}, splits)
		right := s.ask(ctx, call{c.place, c.queries[half:], c.from, c.to}, splits)
		return answer{append(left.samples, right.samples...), append(left.failed, right.failed...), append(left.refused, right.refused...)}
	}
	var series *collector.SeriesError
	switch {
	case err == nil:
		return answer{samples: samples}
	case errors.As(err, &series):
		return answer{samples: samples, failed: []error{err}}
	}
	return answer{samples: samples, refused: []refusal{{c.queries, err}}}
}

// overtaxed reports whether a call failed for its size: an attempt took too long,
// though the caller has time left, or request or answer were too large.
func overtaxed(ctx context.Context, err error) bool {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return true
	}
	var response *smithyhttp.ResponseError
	return errors.As(err, &response) && response.HTTPStatusCode() == http.StatusRequestEntityTooLarge
}

// invalid reports whether CloudWatch refused a call for what it asks.
func invalid(err error) bool {
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		return false
	}
	switch code := answer.ErrorCode(); code {
	case "ValidationError", "ValidationException", "MissingRequiredParameterException", "MissingParameter":
		return true
	default: // InvalidParameterValue(Exception), InvalidParameterCombination(Exception)
		return strings.HasPrefix(code, "InvalidParameter")
	}
}

func seriesOf(queries []query) []collector.Series {
	out := make([]collector.Series, len(queries))
	for i, q := range queries {
		out[i] = q.series
	}
	return out
}
