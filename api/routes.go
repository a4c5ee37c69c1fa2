package api

// The routes of the server. openapi.yaml describes them.
const (
	RoutePredict   = "/predict"        // POST
	RouteHealth    = "/healthz"        // GET: the process is alive
	RouteReady     = "/readyz"         // GET: it can serve; 503 while it starts and drains
	RouteMetrics   = "/metrics"        // GET: Prometheus exposition format
	RouteOpenAPI   = "/openapi.yaml"   // GET: this interface, as OpenAPI 3
	RouteDocs      = "/docs"           // GET: the same, to be read in a browser
	RouteModels    = "/api/v1/models"  // GET: every model and how it stands
	RouteModel     = "/api/v1/models/" // GET, with the name escaped as one segment; POST with the change after it
	RouteGroups    = "/api/v1/groups"  // GET: every group, newest decision each
	RouteGroup     = "/api/v1/groups/" // GET, with the group's name escaped as one segment
	RouteFleet     = "/api/v1/fleet"   // GET: every group in a row, what needs attention first
	RouteStream    = "/api/v1/stream"  // GET: server-sent events, see Changed
	RouteNotify    = "/api/v1/notify"  // POST: something new is in the stores
	RouteSession   = "/api/v1/session" // GET, POST: log in, DELETE: log out
	RouteBacktests = "/api/v1/backtests"
	RouteBacktest  = "/api/v1/backtests/" // GET, with the report's name
	RouteDashboard = "/"                  // GET: the web page
)

// ProblemType is the media type of every error body.
const ProblemType = "application/problem+json"
