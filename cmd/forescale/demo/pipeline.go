package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/api/client"
	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/collector/cloudwatch"
	"github.com/forescale/forescale/collector/sources"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/tell"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/scaler/plan"
	"github.com/forescale/forescale/scaler/targets"
	"github.com/forescale/forescale/trainer"
)

// stores are the places that the services share.
type stores struct {
	lakeURL, modelsURL string
	lake               blob.Store
	data               *dataset.Dataset
	registry           *models.Registry
}

func (d *demo) openStores(ctx context.Context) error {
	s := &d.stores
	var err error
	if s.lakeURL, err = blob.DirURL(filepath.Join(d.dir, "data")); err != nil {
		return err
	}
	if s.modelsURL, err = blob.DirURL(filepath.Join(d.dir, "models")); err != nil {
		return err
	}
	lake, err := blob.Open(ctx, s.lakeURL)
	if err != nil {
		return err
	}
	registry, err := blob.Open(ctx, s.modelsURL)
	if err != nil {
		return err
	}
	s.lake, s.data, s.registry = lake, dataset.New(lake), models.NewRegistry(registry)
	return nil
}

// useCloud points every AWS client of this process at the simulated cloud, with
// credentials of its own, so that the user's are neither needed nor sent.
func useCloud(endpoint string) (conf.AWS, error) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "simulated", "AWS_SECRET_ACCESS_KEY": "simulated", "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE": "", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_EC2_METADATA_DISABLED": "true",
	} {
		if err := os.Setenv(name, value); err != nil {
			return conf.AWS{}, err
		}
	}
	return conf.AWS{Region: "eu-central-1", CloudWatchEndpoint: endpoint, AutoScalingEndpoint: endpoint}, nil
}

// collect starts the collector and back-fills the history.
func (d *demo) collect(ctx context.Context) error {
	if err := d.openStores(ctx); err != nil {
		return err
	}
	cfg := sources.DefaultConfig()
	group := func(name string) cloudwatch.Group {
		return cloudwatch.Group{Name: name, LoadBalancer: "app/" + name}
	}
	cfg.Sources = []sources.Source{{CloudWatch: &cloudwatch.Config{
		Groups: []cloudwatch.Group{group(groupPredictive), group(groupReactive)},
	}}}
	step := d.load.demand.Step
	if err := cfg.Validate(step); err != nil {
		return err
	}
	opened, err := sources.Open(ctx, cfg, sources.Deps{AWS: d.aws, Step: step, Log: d.log})
	if err != nil {
		return err
	}
	if err := d.startSensors(); err != nil {
		return fmt.Errorf("sensors: %w", err)
	}
	d.collector, err = collector.New(cfg.Config, collector.Deps{
		Sources: opened, Streams: []collector.Stream{d.sensors.stream}, Readings: d.sensors.disk, Lake: d.stores.data, State: d.stores.lake, Calendar: d.load.plans,
		Step: step, Now: d.cloud.Now, Log: d.log,
	})
	if err != nil {
		return err
	}
	d.sensors.receive(ctx, d.collector)
	return d.collector.Backfill(ctx, d.load.demand.Start, d.begin, nil)
}

// train fits a model to the history of the group that is to be steered by it.
func (d *demo) train(ctx context.Context) error {
	step := d.load.demand.Step
	samples, err := d.stores.data.Scan(ctx, dataset.Query{
		Groups: []string{groupPredictive}, From: d.load.demand.Start, To: d.begin,
	})
	if err != nil {
		return err
	}
	grid := window.FromSamples(samples, step, d.load.demand.Start, d.begin)[groupPredictive]
	if grid == nil || !grid.AddDemand() {
		return fmt.Errorf("the lake has no CPU and size of group %s", groupPredictive)
	}
	cfg := trainer.DefaultConfig()
	cfg.Preset, cfg.Target, cfg.Seed, cfg.Now = trainer.PresetFast, api.SeriesDemand, d.Seed, time.Now
	cfg.Progress = d.trainingProgress()
	result, err := trainer.Train(ctx, cfg, trainer.Data{Grid: grid, Flags: d.load.plans, FlagNames: d.load.plans.Flags(), CalendarHash: d.load.plans.Hash()})
	if err != nil {
		return err
	}
	m := result.Manifest
	m.Name, m.Groups = groupPredictive, []string{groupPredictive}
	_, err = d.stores.registry.Put(ctx, m, result.Model)
	return err
}

// trainingProgress prints a line every few seconds.
func (d *demo) trainingProgress() func(trainer.Progress) {
	last := time.Now()
	return func(p trainer.Progress) {
		if time.Since(last) < 5*time.Second {
			return
		}
		last = time.Now()
		fmt.Fprintf(d.Out, "         %.0f %%, %s left\n", 100*p.Done, p.Left.Round(time.Second))
	}
}

// serve starts the server as a child process, and the scaler against it.
func (d *demo) serve(ctx context.Context) error {
	step := d.load.demand.Step
	config := filepath.Join(d.dir, "server.yaml")
	plans := filepath.Join(d.dir, "calendar.json") // for the page
	events, err := json.Marshal(d.load.plans)
	if err == nil {
		err = os.WriteFile(plans, events, 0o644)
	}
	if err != nil {
		return err
	}
	text := fmt.Sprintf("data: %q\nmodels: %q\nstep: %s\ncalendar: %q\nserver:\n  replay: true\n  model_control: true\n", d.stores.lakeURL, d.stores.modelsURL, step, plans)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return err
	}
	logs, err := os.Create(filepath.Join(d.dir, "logs", "server.log"))
	if err != nil {
		return err
	}
	d.files = append(d.files, logs)
	if d.server, err = startChild(ctx, d.Server, []string{"-config", config}, logs); err != nil {
		return fmt.Errorf("%w%s", err, lastLine(logs.Name()))
	}
	return d.newScaler(ctx)
}

// lastLine returns the end of a log for an error, because the log itself may be
// in a folder that is about to be removed.
func lastLine(path string) string {
	raw, err := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	if last := lines[len(lines)-1]; err == nil && last != "" {
		return "; the last line of its log: " + last
	}
	return ""
}

// serverAttempts is how often the scaler's client calls in one forecast: enough
// for all of client.DefaultTimeout.
const serverAttempts = 16

// newScaler configures one group as a newcomer gets it, and the other one under
// the reference rule on observed CPU.
func (d *demo) newScaler(ctx context.Context) (err error) {
	cfg := scaler.DefaultConfig()
	cfg.Server, cfg.ID = d.server.URL(), "demo"
	for _, of := range []struct { // in an order of their own, as the records list them
		name   string
		signal plan.Signal
	}{{groupPredictive, plan.SignalPredicted}, {groupReactive, plan.SignalObserved}} {
		g := scaler.DefaultGroup()
		g.Name, g.Mode, g.Policy.Signal = of.name, api.ModeLive, of.signal
		g.LeadTime = d.Lead
		if of.signal == plan.SignalObserved { // the reference rule, as it is usually set up
			g.Policy.Rule = scaler.Rules{"threshold"}
			g.Cooldown = scaler.Cooldown{Out: d.load.demand.Step, In: d.load.demand.Step}
		}
		cfg.Groups = append(cfg.Groups, g)
	}
	aws := d.aws
	aws.CallsPerSecond = 1e6 // the pace is kept in real time, and two days pass in seconds here
	target, err := targets.Open(ctx, cfg, conf.Common{AWS: aws}, d.log)
	if err != nil {
		return err
	}
	// Days pass in seconds here, and a server that is started again is away for
	// one or two: its client waits as long as any call may take.
	forecaster, err := client.New(cfg.Server, client.WithAttempts(serverAttempts))
	if err != nil {
		return err
	}
	d.teller = tell.New(forecaster, time.Now, d.log)
	d.scaler, err = scaler.New(cfg, d.load.demand.Step, scaler.Deps{
		Store: d.stores.lake, History: d.stores.data, Specs: d.stores.registry, Forecaster: forecaster,
		Target: target, Flags: d.load.plans, Log: d.log, Now: d.cloud.Now, Version: cli.Version,
	})
	return err
}
