// Package render makes the page of package manual of an OpenAPI document. It stands by
// itself because the server, which only hands the page out, would grow by a template
// engine and a reader of OpenAPI.
package render

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/forescale/forescale/api"
)

//go:embed page.html
var page string

// Page returns the page for an OpenAPI document, which loads the style sheet at the URL
// style.
func Page(document []byte, style string) ([]byte, error) {
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	if err := doc.Validate(context.Background(), openapi3.DisableExamplesValidation()); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	t, err := template.New("page").Parse(page)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{"Info": doc.Info, "Style": style, "Raw": api.RouteOpenAPI,
		"Operations": operations(doc), "Schemas": schemas(doc)})
	return out.Bytes(), err
}

// operation is one of the page.
type operation struct {
	ID, Method, Path, Summary, Description string
	Rights                                 string // that let a request through, any of them; empty: none is needed
	Parameters                             []parameter
	Body                                   []content
	Responses                              []response
}

type parameter struct{ Name, In, Type, Description string }

type response struct {
	Status, Description string
	Content             []content
}

// content is a body of one media type.
type content struct {
	Type, Ref, Schema string // Ref is the name of the schema; else Schema is it, as JSON
	Examples          []string
}

// order is how the methods of a path are listed.
var order = []string{http.MethodGet, http.MethodPost}

// operations lists those of the document, by path. HEAD is left out: it is GET
// without a body.
func operations(doc *openapi3.T) []operation {
	var all []operation
	for _, path := range doc.Paths.InMatchingOrder() {
		methods := doc.Paths.Value(path).Operations()
		for _, method := range order {
			if o := methods[method]; o != nil {
				all = append(all, newOperation(method, path, o))
			}
		}
	}
	slices.SortStableFunc(all, func(a, b operation) int { return strings.Compare(a.Path, b.Path) })
	return all
}

func newOperation(method, path string, o *openapi3.Operation) operation {
	op := operation{ID: o.OperationID, Method: method, Path: path, Summary: o.Summary, Description: o.Description}
	if list, ok := o.Extensions["x-rights"].([]any); ok {
		var rights []string
		for _, right := range list {
			rights = append(rights, fmt.Sprint(right))
		}
		op.Rights = strings.Join(rights, " or ")
	}
	for _, p := range o.Parameters {
		op.Parameters = append(op.Parameters, parameter{p.Value.Name, p.Value.In, compact(p.Value.Schema), p.Value.Description})
	}
	if o.RequestBody != nil {
		op.Body = contents(o.RequestBody.Value.Content)
	}
	responses := o.Responses.Map()
	for _, status := range sorted(responses) {
		r := responses[status].Value
		description := ""
		if r.Description != nil {
			description = *r.Description
		}
		op.Responses = append(op.Responses, response{status, description, contents(r.Content)})
	}
	return op
}

func contents(types openapi3.Content) []content {
	var all []content
	for _, name := range sorted(types) {
		media := types[name]
		c := content{Type: name}
		if media.Schema != nil {
			if c.Ref = refName(media.Schema.Ref); c.Ref == "" {
				c.Schema = compact(media.Schema)
			}
		}
		for _, example := range sorted(media.Examples) {
			c.Examples = append(c.Examples, indented(media.Examples[example].Value.Value))
		}
		all = append(all, c)
	}
	return all
}

type schema struct{ Name, Text string }

func schemas(doc *openapi3.T) []schema {
	var all []schema
	for _, name := range sorted(doc.Components.Schemas) {
		all = append(all, schema{name, indented(doc.Components.Schemas[name].Value)})
	}
	return all
}

// refName returns the name of the schema that a reference leads to, "" for none.
func refName(ref string) string {
	name, ok := strings.CutPrefix(ref, "#/components/schemas/")
	if !ok {
		return ""
	}
	return name
}

func compact(s *openapi3.SchemaRef) string {
	if s == nil {
		return ""
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func indented(value any) string {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
