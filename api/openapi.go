package api

import _ "embed"

// OpenAPI is the description of the server's interface that it serves at
// RouteOpenAPI. The server's tests hold its requests and answers to it.
//
//go:embed openapi.yaml
var OpenAPI []byte
