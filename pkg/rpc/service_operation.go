package rpc

import (
	"context"

	"google.golang.org/grpc"

	"github.com/casaeureka/psw-ha/pkg/ha"
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"
)

// operationService answers operators about operations out of the backend.
type operationService struct {
	hav1.UnimplementedOperationServiceServer
	backend Backend
}

// operationAsked decodes a request for an operation and puts down who asks.
func operationAsked(ctx context.Context, m *hav1.OperationRequest) (ha.OperationRequest, error) {
	r, err := decode(m, (*decoder).operationRequest)
	r.By = callerOf(ctx).Name
	return r, err
}

func (s *operationService) PreviewOperation(ctx context.Context, m *hav1.PreviewOperationRequest) (*hav1.PreviewOperationResponse, error) {
	r, err := operationAsked(ctx, m.GetRequest())
	if err != nil {
		return nil, err
	}
	v, err := s.backend.PreviewOperation(ctx, r)
	if err != nil {
		return nil, err
	}
	return legible(&hav1.PreviewOperationResponse{Preview: encodeOperationPreview(v)}), nil
}

func (s *operationService) StartOperation(ctx context.Context, m *hav1.StartOperationRequest) (*hav1.StartOperationResponse, error) {
	r, err := operationAsked(ctx, m.GetRequest())
	if err != nil {
		return nil, err
	}
	v, err := s.backend.StartOperation(ctx, r)
	if err != nil {
		return nil, err
	}
	return legible(&hav1.StartOperationResponse{Operation: encodeOperation(v)}), nil
}

func (s *operationService) CancelOperation(ctx context.Context, m *hav1.CancelOperationRequest) (*hav1.CancelOperationResponse, error) {
	v, err := s.backend.CancelOperation(ctx, m.GetId(), callerOf(ctx).Name)
	if err != nil {
		return nil, err
	}
	return legible(&hav1.CancelOperationResponse{Operation: encodeOperation(v)}), nil
}

func (s *operationService) Operations(ctx context.Context, m *hav1.OperationsRequest) (*hav1.OperationsResponse, error) {
	list, err := s.backend.Operations(ctx, m.GetId())
	if err != nil {
		return nil, err
	}
	return legible(&hav1.OperationsResponse{Operations: each(list, encodeOperationView)}), nil
}

func (s *operationService) WatchOperation(m *hav1.WatchOperationRequest, stream grpc.ServerStreamingServer[hav1.WatchOperationResponse]) error {
	return s.backend.WatchOperation(stream.Context(), m.GetId(), func(v ha.OperationView) error {
		return stream.Send(legible(&hav1.WatchOperationResponse{Operation: encodeOperationView(v)}))
	})
}
