// Package fleet holds two things that share one model of a fleet of instances:
// the replay that judges a capacity plan against a demand, and a simulated cloud
// that the real CloudWatch and Auto Scaling clients can talk to.
//
// # The model
//
// Demand is measured in instance-equivalents: the work that one instance does at
// 100 % CPU. It is constant within a slot ([Demand]). Time runs in whole minutes;
// minute 0 is the first minute of the demand's first slot. At the start of minute
// m, in this order:
//
//  1. instances that are ready at m come into service,
//  2. the controller decides from what is visible at m,
//  3. its order is carried out,
//
// and then minute m runs with the instances that are in service. An order for
// more launches the difference at once; an order for less cancels starting
// instances, the newest first, and then terminates instances in service. Every
// instance, starting or in service, is billed for each minute that it exists.
//
// A minute is a violation when demand exceeds [Objective] of what is in service.
//
// # The parts
//
//   - [Demand], [Plan], [Replay], [Simulate], [Measure], [Oracle] and [Judge] are
//     pure: they evaluate a plan or a [Controller] and agree with the project's
//     independent reference implementation to every printed digit.
//   - [Static], [Rule], [TargetTracking], [HPA] and [AWSPredictive] are the
//     controllers that a policy is held against, [Curve] is what can be reached by
//     turning a knob.
//   - [Generate] makes realistic, seeded workloads.
//   - [Cloud] runs any number of groups on an injected clock, and [Handler]
//     serves it as CloudWatch (Smithy RPC v2 CBOR), EC2 Auto Scaling and the
//     Security Token Service (AWS Query), with the failures of the real services on demand ([Fault], [Gap]).
//
// The package is a simulation and a judge. It decides nothing in production, and
// nothing in production imports it.
package fleet
