package server

import (
	"context"
	"maps"
	"slices"

	"github.com/forescale/forescale/api/inference"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/server/oip"
)

// inferenceService is the Open Inference Protocol over gRPC. Its errors become
// statuses in the interceptor.
type inferenceService struct {
	inference.UnimplementedGRPCInferenceServiceServer
	server *Server
}

// ServerLive implements inference.GRPCInferenceServiceServer, as do all below.
func (i *inferenceService) ServerLive(context.Context, *inference.ServerLiveRequest) (*inference.ServerLiveResponse, error) {
	return &inference.ServerLiveResponse{Live: true}, nil
}

func (i *inferenceService) ServerReady(context.Context, *inference.ServerReadyRequest) (*inference.ServerReadyResponse, error) {
	return &inference.ServerReadyResponse{Ready: i.server.readiness() == nil}, nil
}

// ModelReady loads the model, as v2ModelReady does. A model that there is and that
// cannot serve is not ready, which is no error.
func (i *inferenceService) ModelReady(ctx context.Context, r *inference.ModelReadyRequest) (*inference.ModelReadyResponse, error) {
	v, err := i.server.version(ctx, r.GetName(), r.GetVersion())
	switch {
	case err == nil:
		v.Release()
		return &inference.ModelReadyResponse{Ready: true}, nil
	case isUnready(err):
		return &inference.ModelReadyResponse{}, nil
	}
	return nil, err
}

func (i *inferenceService) ServerMetadata(context.Context, *inference.ServerMetadataRequest) (*inference.ServerMetadataResponse, error) {
	return &inference.ServerMetadataResponse{Name: serverName, Version: cli.Version, Extensions: extensions}, nil
}

func (i *inferenceService) ModelMetadata(ctx context.Context, r *inference.ModelMetadataRequest) (*inference.ModelMetadataResponse, error) {
	m, err := i.server.metadata(ctx, r.GetName(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	return &inference.ModelMetadataResponse{Name: m.Name, Versions: m.Versions, Platform: m.Platform,
		Inputs: tensorMessages(m.Inputs), Outputs: tensorMessages(m.Outputs)}, nil
}

func tensorMessages(all []tensorMetadata) []*inference.ModelMetadataResponse_TensorMetadata {
	messages := make([]*inference.ModelMetadataResponse_TensorMetadata, len(all))
	for i, t := range all {
		messages[i] = &inference.ModelMetadataResponse_TensorMetadata{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape}
	}
	return messages
}

func (i *inferenceService) ModelInfer(ctx context.Context, r *inference.ModelInferRequest) (*inference.ModelInferResponse, error) {
	req, err := oip.FromMessage(r)
	if err != nil {
		return nil, err
	}
	response, err := i.server.infer(ctx, r.GetModelName(), r.GetModelVersion(), req)
	if err != nil {
		return nil, err
	}
	return response.Message(), nil
}

func (i *inferenceService) RepositoryIndex(_ context.Context, r *inference.RepositoryIndexRequest) (*inference.RepositoryIndexResponse, error) {
	if err := i.server.readiness(); err != nil && !i.server.draining.Load() {
		return nil, err // an empty list would say that there is nothing
	}
	answer := &inference.RepositoryIndexResponse{}
	for _, e := range i.server.repositoryIndex(r.GetReady()) {
		answer.Models = append(answer.Models, &inference.RepositoryIndexResponse_ModelIndex{
			Name: e.Name, Version: e.Version, State: e.State, Reason: e.Reason})
	}
	return answer, nil
}

func (i *inferenceService) RepositoryModelLoad(ctx context.Context, r *inference.RepositoryModelLoadRequest) (*inference.RepositoryModelLoadResponse, error) {
	if err := oip.CheckControl(slices.Collect(maps.Keys(r.GetParameters()))); err != nil {
		return nil, err
	}
	return &inference.RepositoryModelLoadResponse{}, i.server.loadModel(ctx, r.GetModelName())
}

func (i *inferenceService) RepositoryModelUnload(_ context.Context, r *inference.RepositoryModelUnloadRequest) (*inference.RepositoryModelUnloadResponse, error) {
	if err := oip.CheckControl(slices.Collect(maps.Keys(r.GetParameters()))); err != nil {
		return nil, err
	}
	return &inference.RepositoryModelUnloadResponse{}, i.server.unloadModel(r.GetModelName())
}
