package rpc

import (
	"context"

	"github.com/casaeureka/psw-ha/pkg/ha"
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"
)

// readinessService answers operators out of the backend: decode, call, encode.
type readinessService struct {
	hav1.UnimplementedReadinessServiceServer
	backend Backend
}

func (s *readinessService) Mute(ctx context.Context, m *hav1.MuteRequest) (*hav1.MuteResponse, error) {
	r, err := decode(m, (*decoder).muteRequest)
	if err != nil {
		return nil, err
	}
	r.By = callerOf(ctx).Name
	v, err := s.backend.Mute(ctx, r)
	if err != nil {
		return nil, err
	}
	return legible(&hav1.MuteResponse{Mute: encodeMute(v)}), nil
}

func (s *readinessService) Unmute(ctx context.Context, m *hav1.UnmuteRequest) (*hav1.UnmuteResponse, error) {
	list, err := s.backend.Unmute(ctx, ha.Code(m.GetCode()), m.GetSubject(), callerOf(ctx).Name)
	if err != nil {
		return nil, err
	}
	return legible(&hav1.UnmuteResponse{Mutes: each(list, encodeMute)}), nil
}

func (s *readinessService) Mutes(ctx context.Context, _ *hav1.MutesRequest) (*hav1.MutesResponse, error) {
	list, err := s.backend.Mutes(ctx)
	if err != nil {
		return nil, err
	}
	return legible(&hav1.MutesResponse{Mutes: each(list, encodeMute)}), nil
}

func (s *readinessService) Acknowledge(ctx context.Context, m *hav1.AcknowledgeRequest) (*hav1.AcknowledgeResponse, error) {
	v, err := s.backend.Acknowledge(ctx, ha.Acknowledgement{Item: m.GetItem(), Node: ha.NodeName(m.GetNode()), Note: m.GetNote(), By: callerOf(ctx).Name})
	if err != nil {
		return nil, err
	}
	return legible(&hav1.AcknowledgeResponse{Acknowledgement: encodeAcknowledgement(v)}), nil
}

func (s *readinessService) Withdraw(ctx context.Context, m *hav1.WithdrawRequest) (*hav1.WithdrawResponse, error) {
	err := s.backend.Withdraw(ctx, ha.Acknowledgement{Item: m.GetItem(), Node: ha.NodeName(m.GetNode()), By: callerOf(ctx).Name})
	if err != nil {
		return nil, err
	}
	return &hav1.WithdrawResponse{}, nil
}

func (s *readinessService) Acknowledgements(ctx context.Context, _ *hav1.AcknowledgementsRequest) (*hav1.AcknowledgementsResponse, error) {
	list, err := s.backend.Acknowledgements(ctx)
	if err != nil {
		return nil, err
	}
	return legible(&hav1.AcknowledgementsResponse{Acknowledgements: each(list, encodeAcknowledgement)}), nil
}

func (s *readinessService) Explain(ctx context.Context, m *hav1.ExplainRequest) (*hav1.ExplainResponse, error) {
	p, err := decode(m.GetPolicy(), (*decoder).policy)
	if err != nil {
		return nil, err
	}
	v, err := s.backend.Explain(ctx, m.GetTarget(), p)
	if err != nil {
		return nil, err
	}
	return legible(&hav1.ExplainResponse{Explanation: encodeExplanation(v)}), nil
}
