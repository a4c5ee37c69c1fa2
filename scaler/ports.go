package scaler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
)

// Target is a provider of groups. Implementations are safe for concurrent use
// and end their calls with ctx.
type Target interface {
	// Capacities returns what it could learn of the named groups. A group that is
	// absent from the result is unknown, and the error says why; the result counts
	// whether or not there is an error. ObservedAt may be left zero: the scaler
	// enters its own time then.
	Capacities(ctx context.Context, groups []string) (map[string]api.Capacity, error)
	// Scale sets the desired capacity and returns nil only when the provider has
	// accepted it. ErrRefused means that it has certainly not; after any other
	// error it may have.
	Scale(ctx context.Context, group string, desired int) error
}

// Launches is what a Target may offer besides: how long its instances took to
// start. A group without any is absent from the result.
type Launches interface {
	Launches(ctx context.Context, groups []string, since time.Time) (map[string][]api.Launch, error)
}

// The errors of a Target that a caller decides upon.
var (
	// ErrRefused: the provider has looked at the change and will not make it. An
	// error that wraps one of the next three wraps this one too.
	ErrRefused = errors.New("refused by the provider")
	// ErrBounds: the number lies outside of the provider's bounds.
	ErrBounds = fmt.Errorf("%w: outside of the group's bounds", ErrRefused)
	// ErrUnknownGroup: the provider has no such group.
	ErrUnknownGroup = fmt.Errorf("%w: no such group", ErrRefused)
	// ErrBusy: another change is in progress. The next tick may try again.
	ErrBusy = fmt.Errorf("%w: busy with another change", ErrRefused)
)

// Forecaster answers windows with forecasts; api/client is one.
type Forecaster interface {
	Predict(ctx context.Context, req api.PredictRequest) (api.PredictResponse, error)
}

// History is the data lake; dataset.Dataset is one. Samples that it returns
// beside an error count.
type History interface {
	Scan(ctx context.Context, q dataset.Query) ([]api.Sample, error)
}

// Specs says which model serves a group; models.Registry is one.
type Specs interface {
	ForGroup(ctx context.Context, group string) (models.Manifest, error)
	Champion(ctx context.Context, name string) (models.Manifest, error)
	Manifest(ctx context.Context, name string, version int) (models.Manifest, error)
}

// Controls are the orders that people gave; scaler/control keeps them.
type Controls interface {
	// List returns all orders, expired ones too.
	List(ctx context.Context) ([]api.Control, error)
}

// Deps are what a Scaler works with.
type Deps struct {
	Store   blob.Store // lease, state and audit log
	History History
	Specs   Specs
	// Forecaster and Specs may be nil when every group is scaled on observed load.
	Forecaster Forecaster
	Target     Target
	Controls   Controls     // nil: there are no orders
	Flags      window.Flags // the business calendar; nil: the lake's own flag columns
	Log        *slog.Logger // nil: none
	// Now is the clock, nil: time.Now. Once takes its starting time as an argument
	// and uses Now only to see time pass from there.
	Now func() time.Time
	// Shard sets this scaler apart from all others on the same store: it has a
	// lease, a state and an audit log of its own, and ticks that it runs are not
	// run for them. Empty: journal.Default.
	Shard string
	// Instance tells this process from its predecessor of the same Config.ID.
	// Empty: random.
	Instance string
	// Version names the program in the audit log.
	Version string
	// OnTick, when set, is called by Run with each record, in order.
	OnTick func(api.TickRecord)
}
