package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/catalog"
	"github.com/forescale/forescale/server/oip"
	"github.com/forescale/forescale/server/tensor"
)

// This file is the Open Inference Protocol for any transport; v2.go speaks it over
// HTTP, grpc_service.go over gRPC.

// What the server says of itself in its metadata.
const (
	serverName = "forescale"
	platform   = "onnxruntime_onnx"
)

// extensions are the parts of the protocol beyond its core.
var extensions = []string{"binary_tensor_data", "model_repository"}

// infer answers an inference request to a version of a model; version "" is the
// champion. The tensors go to the graph as they are and come as it answers them:
// for our own models nothing is encoded, calibrated or put in order, but whatever is
// not finite is refused on both sides.
func (s *Server) infer(ctx context.Context, name, version string, req oip.Request) (oip.Response, error) {
	v, err := s.version(ctx, name, version)
	if err != nil {
		return oip.Response{}, err
	}
	defer v.Release()
	inputs, err := req.Bind(v.Session().Inputs())
	if err != nil {
		return oip.Response{}, err
	}
	if err := req.CheckOutputs(v.Session().Outputs()); err != nil {
		return oip.Response{}, err
	}
	if !v.Foreign() {
		for i, t := range inputs {
			if err := t.CheckFinite(); err != nil {
				return oip.Response{}, problem(http.StatusBadRequest, fmt.Sprintf("input %q", v.Session().Inputs()[i].Name), "%v; the model reads finite values only", err)
			}
		}
	}
	outputs, err := s.runTensors(ctx, v, inputs)
	if err != nil {
		return oip.Response{}, err
	}
	if !v.Foreign() {
		for i, t := range outputs {
			if err := t.CheckFinite(); err != nil {
				return oip.Response{}, s.modelFault(v, fmt.Errorf("its output %s is not finite: %w", v.Session().Outputs()[i].Name, err))
			}
		}
	}
	return oip.Response{Model: v.Manifest.Name, Version: strconv.Itoa(v.Manifest.Version), ID: req.ID,
		Outputs: req.Select(v.Session().Outputs(), outputs)}, nil
}

// runTensors runs a version on its inputs. The error is fit for the client.
func (s *Server) runTensors(ctx context.Context, v *catalog.Version, inputs []tensor.Tensor) ([]tensor.Tensor, error) {
	b := batch.Batch{Inputs: inputs}
	if tensor.Batched(v.Session().Inputs(), v.Session().Outputs()) {
		b.Rows = inputs[0].Rows()
	}
	outputs, err := s.run(v).Run(ctx, b)
	if err != nil && ctx.Err() == nil && !errors.Is(err, batch.ErrFull) {
		return nil, s.modelFault(v, err)
	}
	if err != nil {
		return nil, err
	}
	if err := s.checkAnswer(v, outputs); err != nil {
		return nil, err
	}
	s.mirrorTensors(v, b, outputs)
	return outputs, nil
}

// checkAnswer refuses an answer of more elements than server.body_limit has bytes. There
// are models that answer as much as one number of their input says, and writing it
// would take minutes and many times its memory.
func (s *Server) checkAnswer(v *catalog.Version, outputs []tensor.Tensor) error {
	for i, t := range outputs {
		if n := int64(t.Len()); n > s.cfg.BodyLimit {
			return problem(http.StatusBadRequest, fmt.Sprintf("output %q", v.Session().Outputs()[i].Name),
				"has %d elements, at most %d are sent (server.body_limit); ask for less at a time", n, s.cfg.BodyLimit)
		}
	}
	return nil
}

// version returns the version of a model that a request names; the caller releases
// it.
func (s *Server) version(ctx context.Context, name, version string) (*catalog.Version, error) {
	if version == "" {
		return s.catalog.Named(ctx, name)
	}
	n, err := strconv.Atoi(version)
	if err != nil || n < 1 || strconv.Itoa(n) != version {
		return nil, fmt.Errorf("model %q version %.40q (versions are numbers from 1 on): %w", name, version, models.ErrNoModel)
	}
	return s.catalog.At(ctx, name, n)
}

// modelMetadata describes a model. Axes of any length are -1.
type modelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions"`
	Platform string           `json:"platform"`
	Inputs   []tensorMetadata `json:"inputs"`
	Outputs  []tensorMetadata `json:"outputs"`
}

type tensorMetadata struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// metadata describes a version of a model, loading it if necessary.
func (s *Server) metadata(ctx context.Context, name, version string) (modelMetadata, error) {
	v, err := s.version(ctx, name, version)
	if err != nil {
		return modelMetadata{}, err
	}
	defer v.Release()
	m := modelMetadata{Name: name, Platform: platform,
		Inputs: describe(v.Session().Inputs()), Outputs: describe(v.Session().Outputs())}
	known, err := s.catalog.Versions(ctx, name)
	if ctx.Err() != nil {
		return m, err
	}
	if err != nil { // what is loaded can be described without the registry, too
		known = []int{v.Manifest.Version}
	}
	for _, n := range known {
		m.Versions = append(m.Versions, strconv.Itoa(n))
	}
	return m, nil
}

func describe(infos []tensor.Info) []tensorMetadata {
	all := make([]tensorMetadata, len(infos))
	for i, info := range infos {
		all[i] = tensorMetadata{info.Name, oip.Datatype(info.Type), info.Shape}
		if info.Shape == nil {
			all[i].Shape = []int64{}
		}
	}
	return all
}

// indexEntry is one version in the repository index.
type indexEntry struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
}

// The states of the repository index.
const (
	stateReady       = "READY"
	stateUnavailable = "UNAVAILABLE"
)

// repositoryIndex lists the versions that serve, would serve, or should; with
// onlyReady those alone that a request can be sent to.
func (s *Server) repositoryIndex(onlyReady bool) []indexEntry {
	list := []indexEntry{}
	for _, item := range s.catalog.Index() {
		if onlyReady && !item.Ready {
			continue
		}
		e := indexEntry{Name: item.Name, State: stateUnavailable, Reason: item.Reason}
		if item.Ready {
			e.State = stateReady
		}
		if item.Version > 0 {
			e.Version = strconv.Itoa(item.Version)
		}
		list = append(list, e)
	}
	return list
}

// errNoControl answers those who would load or unload models and may not.
var errNoControl = problem(http.StatusForbidden, "", "models are not loaded or unloaded by request here; server.model_control: true permits it")

func (s *Server) loadModel(ctx context.Context, name string) error {
	if !s.cfg.ModelControl {
		return errNoControl
	}
	return s.catalog.Load(ctx, name)
}

func (s *Server) unloadModel(name string) error {
	if !s.cfg.ModelControl {
		return errNoControl
	}
	return s.catalog.Unload(name)
}

// readiness returns a problem unless the server can serve.
func (s *Server) readiness() error {
	switch {
	case s.draining.Load():
		return problem(http.StatusServiceUnavailable, "", "the server is shutting down")
	case !s.catalog.Ready():
		return problem(http.StatusServiceUnavailable, "", "the model registry has not been read yet")
	}
	return nil
}

// isUnready reports whether an error says that a model is there and cannot serve.
func isUnready(err error) bool {
	var load *catalog.LoadError
	return errors.As(err, &load) || errors.Is(err, catalog.ErrUnloaded)
}
