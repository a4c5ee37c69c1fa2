// Forescale-collector brings metrics into the data lake.
//
//	forescale-collector -config FILE                     every step, until stopped
//	forescale-collector -config FILE -once [-at TIME]    one tick, for cron and Lambda
//	forescale-collector -config FILE -backfill 14d       a range of the past, then exit
//	forescale-collector -config FILE -backfill 2026-03-01T00:00:00Z/2026-03-08T00:00:00Z
//	forescale-collector -config FILE -compact            the daily upkeep of the lake, for cron and Lambda
//	forescale-collector -config FILE -check              what is wrong, and what a month costs
//	forescale-collector -data URL -import FILE -group NAME [-column METRIC=COLUMN ...]
//
// A tick asks each source for the newest slots, three of them because points may
// come late, and stores what the lake lacks. What was missed while the collector
// was down is fetched at the next start, as far back as collector.catch_up says;
// stopping it at any moment, kill -9 included, loses and doubles nothing.
//
// -at sets the moment that -once acts at: the newest slot collected ends there or
// before. Without it, -once acts collector.settle in the past, so that the
// provider has had time to publish.
//
// A tick that the lake does not take is kept on a spool on the local disk and
// delivered when the lake is back, oldest first. What sensors send is there too,
// before their messages are acknowledged. The spool is in collector.spool.dir;
// without one, in $STATE_DIRECTORY, $XDG_STATE_HOME/forescale or
// ~/.local/state/forescale, and nowhere on AWS Lambda. It takes at most
// collector.spool.max_bytes (512 MiB); when it is full the oldest go, which is
// counted and logged, and sources are asked for them again. "off" turns it off:
// sources are then asked again by a later run, and sensors are not possible.
// -once receives nothing from sensors; it stores what they have sent to a running
// collector before.
//
// Sensors' readings become each slot's count, mean, minimum, maximum and 95th
// percentile. A slot takes late readings for collector.stream.keep (25h); a sensor's
// clock may be ahead by collector.stream.skew (5m). How many groups, sensors,
// metrics and readings there may be is bounded by collector.stream.max_groups,
// max_sensors, max_metrics and max_readings; what exceeds a bound is dropped and
// counted in the metrics (collector.metrics_listen).
//
// -backfill may be repeated and interrupted, kill -9 included: what is in the lake
// stays, and the same command goes on where it was stopped. With -source NAME it
// asks one source only, so that each can have a range of its own. CloudWatch keeps
// slots of 5 minutes for 63 days and of one minute for 15; what is older it has by
// the hour only, and no slots are made up from that.
//
// -check also prints what the sources cost: calls and what is billed for them, each
// tick and each month, and with -backfill for that. It asks nobody, so that groups
// that are found by their tags are not in the sum.
//
// -import reads a CSV or CSV.gz file with a column timestamp. Each other column
// becomes a metric of the group, is_* columns become flags, *_label columns are
// left out. With -column only the columns named (and flags) are taken. All columns
// must hold numbers; 'forescale import' reads other files, and Parquet.
//
// While it runs, the collector compacts each UTC day collector.lake.compact_after
// its end (6h; 0: never) into few large files, and removes days that are older than
// collector.lake.keep (0: never). -compact does so once, for those who run -once.
// Several collectors on one lake do each other no harm.
//
// Beside the samples it keeps in recent/ what windows need of each shard of the
// groups (collector.recent: off, newest, lags, ahead, shards), so that a scaler that
// starts need not read weeks. Each tick writes a part of it; -backfill and -compact
// make all of it anew. It may be deleted at any time.
//
// As a function of AWS Lambda, under the name bootstrap and without arguments, it runs
// the tick of -once at each invocation, or the upkeep of -compact with
// FORESCALE_COMPACT=1, with the configuration that FORESCALE_CONFIG names: a path, or
// env:NAME for a variable that holds the text; else the forescale.yaml beside it
// (docs/aws.md).
//
// Credentials come from the AWS SDK's default chain, never from the file. A
// configuration:
//
//	data: s3://my-lake/forescale?region=eu-central-1
//	calendar: business_calendar.json
//	aws: {region: eu-central-1}
//	collector:
//	  sources:
//	    - cloudwatch:
//	        groups:
//	          - name: web
//	            auto_scaling_group: web-production
//	            load_balancer: app/web/50dc6c495c0c9188
package main

import (
	_ "embed"
	"os"

	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/function"
)

//go:embed main.go
var source string

func main() {
	if env, ok := function.Detect(os.Getenv); ok {
		function.Serve(env, lambdaMargin, os.Stdout, lambdaRun(env, os.Getenv("FORESCALE_COMPACT") == "1"))
		return
	}
	cli.Main(new(program).command())
}
