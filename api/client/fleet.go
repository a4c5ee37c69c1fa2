package client

import (
	"context"
	"fmt"
	"net/http"

	"github.com/forescale/forescale/api"
)

// Fleet returns how every group stands, what needs attention first. The error is an
// *api.Problem when the server answered with one.
func (c *Client) Fleet(ctx context.Context) (api.Fleet, error) {
	var fleet api.Fleet
	if err := c.call(ctx, http.MethodGet, api.RouteFleet, nil, &fleet); err != nil {
		return api.Fleet{}, fmt.Errorf("fleet: %w", err)
	}
	return fleet, nil
}
