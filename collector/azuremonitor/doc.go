// Package azuremonitor reads the platform metrics of Azure resources from Azure
// Monitor's REST interface (Metrics - List, api-version 2018-01-01), one or more
// resources a group. It only reads: the role Monitoring Reader on the resources is
// enough.
//
// The rules of the interface that it works by:
//
//   - One GET asks for up to 20 metrics of one namespace of one resource, over a
//     timespan of start/end and in intervals of a fixed set of lengths. The point of
//     an interval carries the time at which it begins. Whether the end belongs to
//     the timespan is not relied on: points beyond it are left out.
//   - A point without the aggregate that was asked for is a missing value, and so is
//     one where it is null. Neither is zero.
//   - Each metric has an errorCode of its own. One name that the resource does not
//     know makes the whole call a 400: the metrics are then asked for one by one.
//   - Calls to the Resource Manager are limited; 429 comes with Retry-After, which
//     the SDK's retries keep.
//   - Metrics are kept for 93 days (see Oldest).
//
// Pipeline, retries and credentials are the SDK's core (azcore, azidentity): the
// default chain knows workload identity, managed identity, a service principal's
// environment variables and the command line's login. The generated client of the
// metrics is not used, because it would read an answer of any size into memory.
package azuremonitor
