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
	RouteGroups    = "/api/v1/groups"  // GET: every group, newest decision each
	RouteGroup     = "/api/v1/groups/" // GET, with the group's name escaped as one segment
	RouteDashboard = "/"               // GET: the web page
)

// ProblemType is the media type of every error body.
const ProblemType = "application/problem+json"
