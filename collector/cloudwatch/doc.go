// Package cloudwatch reads the metrics of Auto Scaling Groups and load balancers
// from Amazon CloudWatch with GetMetricData, for any number of groups. It only
// reads: the one action that it needs is cloudwatch:GetMetricData.
//
// The limits and rules of the API that it works by, from the reference of
// GetMetricData:
//
//   - A call takes at most 500 queries and answers at most 100,800 points; the
//     rest follows by NextToken, which may cut a series in its middle.
//   - StartTime is inclusive, EndTime exclusive. The order of points is not relied on.
//   - Each series has a StatusCode of its own. Forbidden and InternalError fail
//     that series only; PartialData is followed to the last page.
//   - Points with a period of 60 s are kept for 15 days, of 300 s for 63 days, of
//     3600 s for 455 days. A back-fill begins there (see Oldest).
//   - A load balancer emits no RequestCount without requests. That is a missing
//     value, not a zero and not an error.
package cloudwatch
