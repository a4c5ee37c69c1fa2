// Package cloudwatch reads the metrics of Auto Scaling Groups and load balancers
// from Amazon CloudWatch with GetMetricData, for any number of groups, in any
// number of accounts and regions. It only reads.
//
// # Which groups
//
// Groups are named in the configuration, or found: DescribeAutoScalingGroups tells
// those that carry some tags, or all. It is asked again every Config.Refresh, ten
// calls a second at most, because the scaler needs the same allowance more. A search
// that fails leaves the groups that were known; what a group had before it was found
// comes by a back-fill. Where requests are wanted too, DescribeTargetGroups tells the
// load balancer of a group's target group.
//
// # Rules of GetMetricData
//
// The limits and rules of the API that it works by, from its reference:
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
//   - An account and region may make 50 calls a second, and ask for 180,000 points a
//     second, or 396,000 where the range begins more than three hours ago.
//   - Each query is billed, whatever the number of points that it asks for. So a
//     back-fill asks for some groups and a day at a time, not for all and an hour.
//
// # What gives way
//
// All sources of a process keep to one token bucket for each account and region
// (see [Paces]), tries included; below that, the SDK's adaptive retries follow what
// CloudWatch refuses, with jitter. A call that takes too long or is too large is
// repeated in halves, and the calls after it are smaller until calls succeed again.
// A call that is refused for one of its queries is halved until that query is
// alone: the others are read, and its series is named in the error.
package cloudwatch
