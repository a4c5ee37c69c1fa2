// Forescale-scaler changes the size of groups before their load arrives.
//
//	forescale-scaler -config FILE                      every step, until stopped
//	forescale-scaler -config FILE -once [-at TIME]     one tick, for cron and Lambda
//	forescale-scaler -config FILE -dry-run             decide and record, change nothing
//
// A tick reads the newest metrics from the data lake, asks the prediction server
// for forecasts, decides for every group, sets the desired capacity of those that
// are in live mode, and writes one object to the audit log. Every decision is
// printed as one line. A group is in dry-run mode until its configuration says
// mode: live.
//
// -dry-run is safe beside a scaler that is at work on the same store. When it
// turns groups in live mode off, it keeps lease, state and audit records apart
// from that scaler's (audit/…-dry-run.json), without its cooldowns.
//
// Stopping it at any moment, kill -9 included, loses and doubles no decision and
// no cooldown: all of its state is in the data lake's store, under scaler/ and
// audit/. Several may run on the same store; one of them acts. On Kubernetes they may
// elect it by a Lease, so that the others need not look at every tick
// (scaler.election; docs/kubernetes.md):
//
//	scaler:
//	  election: {lease: forescale-scaler, namespace: forescale, duration: 15s}
//
// -at sets the clock to a moment, at which it then stands still: the tick is the
// end of the last slot that was complete then. Without it, -once takes the newest
// slot that ended at least scaler.settle ago.
//
// Orders to freeze or pause groups (forescale freeze, pause, resume) are read at
// every tick. While they cannot be read, the last known hold; a scaler that has never
// read them freezes every group.
//
// With -listen, or scaler.metrics_listen, GET /metrics tells Prometheus of the last
// tick: decisions, safety states, sizes, coverage, alerts, the brake, errors of the
// provider. Groups have series of their own in a fleet of up to a thousand, in a
// larger one with scaler.metrics_by_group: true. deploy/prometheus has alert rules.
//
// As a function of AWS Lambda, under the name bootstrap and without arguments, it runs
// the tick of -once at each invocation, with the configuration that FORESCALE_CONFIG
// names: a path, or env:NAME for a variable that holds the text; else the
// forescale.yaml beside it (docs/aws.md). Each execution environment is a scaler of
// its own to the lease.
//
// Credentials come from the AWS SDK's default chain, never from the file. A
// configuration:
//
//	data: s3://my-lake/forescale?region=eu-central-1
//	models: s3://my-lake/models?region=eu-central-1
//	calendar: business_calendar.json
//	aws: {region: eu-central-1}
//	scaler:
//	  server: http://127.0.0.1:8650
//	  brake: 0.2                          # of the fleet may wish to scale in at once
//	  groups:
//	    - name: web
//	      target_name: web-production     # the Auto Scaling Group
//	      mode: dry-run                   # or live
//	      min: 2
//	      max: 20
//	      lead_time: 5m
//	      cooldown: {out: 5m, in: 10m}
//	      policy: {rule: threshold, signal: predicted, out: 70, in: 35, step: 1}
//	      shadow: {rule: cost}            # what it would do is recorded beside
//
// A group of Kubernetes names its object by namespace, resource and name. The
// cluster is the one that the scaler runs in, as its service account
// (deploy/kubernetes), or the kubeconfig's:
//
//	kubernetes: {kubeconfig: /etc/forescale/kubeconfig, context: production}
//	scaler:
//	  groups:
//	    - name: shop
//	      target: kube
//	      target_name: shop/deployments/web   # or shop/rollouts.argoproj.io/web
package main

import (
	"os"

	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/function"
)

func main() {
	if env, ok := function.Detect(os.Getenv); ok {
		function.Serve(env, lambdaMargin, os.Stdout, lambdaRun(env, os.Stdout, os.Stderr))
		return
	}
	cli.Main((&program{out: os.Stdout, errOut: os.Stderr}).command())
}
