package rpc

import (
	"context"

	"google.golang.org/grpc"

	"github.com/casaeureka/psw-ha/pkg/ha"
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"
)

// operatorService answers operators out of the backend: decode, call, encode.
type operatorService struct {
	hav1.UnimplementedOperatorServiceServer
	backend Backend
}

func (s *operatorService) Status(ctx context.Context, m *hav1.StatusRequest) (*hav1.StatusResponse, error) {
	p, err := decode(m.GetPolicy(), (*decoder).policy)
	if err != nil {
		return nil, err
	}
	v, err := s.backend.Status(ctx, p)
	if err != nil {
		return nil, err
	}
	return legible(&hav1.StatusResponse{Status: encodeClusterStatus(v)}), nil
}

func (s *operatorService) Check(ctx context.Context, m *hav1.CheckRequest) (*hav1.CheckResponse, error) {
	r, err := decode(m, (*decoder).checkRequest)
	if err != nil {
		return nil, err
	}
	r.By = callerOf(ctx).Name
	v, err := s.backend.Check(ctx, r)
	if err != nil {
		return nil, err
	}
	return legible(&hav1.CheckResponse{Readiness: encodeReadiness(v)}), nil
}

func (s *operatorService) Plan(ctx context.Context, m *hav1.PlanRequest) (*hav1.PlanResponse, error) {
	p, err := decode(m.GetPolicy(), (*decoder).policy)
	if err != nil {
		return nil, err
	}
	v, err := s.backend.Plan(ctx, p)
	if err != nil {
		return nil, err
	}
	return legible(&hav1.PlanResponse{Plan: encodePlanView(v)}), nil
}

func (s *operatorService) Facts(ctx context.Context, m *hav1.FactsRequest) (*hav1.FactsResponse, error) {
	p, err := decode(m.GetPolicy(), (*decoder).policy)
	if err != nil {
		return nil, err
	}
	v, err := s.backend.Facts(ctx, p)
	if err != nil {
		return nil, err
	}
	text, err := encodeSnapshot(v)
	if err != nil {
		return nil, err
	}
	return &hav1.FactsResponse{SnapshotJson: text}, nil
}

// request decodes a maintenance request and puts down who asks.
func request(ctx context.Context, m *hav1.MaintenanceRequest) (ha.MaintenanceRequest, error) {
	r, err := decode(m, (*decoder).maintenanceRequest)
	r.By = callerOf(ctx).Name
	return r, err
}

func (s *operatorService) PreviewStart(ctx context.Context, m *hav1.PreviewStartRequest) (*hav1.PreviewStartResponse, error) {
	r, err := request(ctx, m.GetRequest())
	if err != nil {
		return nil, err
	}
	v, err := s.backend.PreviewStart(ctx, r)
	if err != nil {
		return nil, err
	}
	return legible(&hav1.PreviewStartResponse{Preview: encodePreview(v)}), nil
}

func (s *operatorService) PreviewEnd(ctx context.Context, m *hav1.PreviewEndRequest) (*hav1.PreviewEndResponse, error) {
	r, err := request(ctx, m.GetRequest())
	if err != nil {
		return nil, err
	}
	v, err := s.backend.PreviewEnd(ctx, r)
	if err != nil {
		return nil, err
	}
	return legible(&hav1.PreviewEndResponse{Preview: encodePreview(v)}), nil
}

func (s *operatorService) StartMaintenance(ctx context.Context, m *hav1.StartMaintenanceRequest) (*hav1.StartMaintenanceResponse, error) {
	r, err := request(ctx, m.GetRequest())
	if err != nil {
		return nil, err
	}
	v, err := s.backend.StartMaintenance(ctx, r)
	if err != nil {
		return nil, err
	}
	return legible(&hav1.StartMaintenanceResponse{Maintenance: encodeMaintenance(v)}), nil
}

func (s *operatorService) EndMaintenance(ctx context.Context, m *hav1.EndMaintenanceRequest) (*hav1.EndMaintenanceResponse, error) {
	r, err := request(ctx, m.GetRequest())
	if err != nil {
		return nil, err
	}
	v, err := s.backend.EndMaintenance(ctx, r)
	if err != nil {
		return nil, err
	}
	return legible(&hav1.EndMaintenanceResponse{Maintenance: encodeMaintenance(v)}), nil
}

func (s *operatorService) CancelMaintenance(ctx context.Context, m *hav1.CancelMaintenanceRequest) (*hav1.CancelMaintenanceResponse, error) {
	v, err := s.backend.CancelMaintenance(ctx, ha.NodeName(m.GetNode()), callerOf(ctx).Name)
	if err != nil {
		return nil, err
	}
	return legible(&hav1.CancelMaintenanceResponse{Maintenance: encodeMaintenance(v)}), nil
}

func (s *operatorService) Maintenances(ctx context.Context, m *hav1.MaintenancesRequest) (*hav1.MaintenancesResponse, error) {
	list, err := s.backend.Maintenances(ctx, ha.NodeName(m.GetNode()))
	if err != nil {
		return nil, err
	}
	return legible(&hav1.MaintenancesResponse{Maintenances: each(list, encodeMaintenanceView)}), nil
}

func (s *operatorService) WatchMaintenance(m *hav1.WatchMaintenanceRequest, stream grpc.ServerStreamingServer[hav1.WatchMaintenanceResponse]) error {
	return s.backend.WatchMaintenance(stream.Context(), ha.NodeName(m.GetNode()), func(v ha.MaintenanceView) error {
		return stream.Send(legible(&hav1.WatchMaintenanceResponse{Maintenance: encodeMaintenanceView(v)}))
	})
}

func (s *operatorService) Events(m *hav1.EventsRequest, stream grpc.ServerStreamingServer[hav1.EventsResponse]) error {
	return s.backend.Events(stream.Context(), m.GetAfter(), m.GetFollow(), func(e ha.Event) error {
		return stream.Send(legible(&hav1.EventsResponse{Event: encodeEvent(e)}))
	})
}
