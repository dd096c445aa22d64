package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/casaeureka/psw-ha/pkg/ha"
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"
)

// proofService answers operators out of the backend.
type proofService struct {
	hav1.UnimplementedProofServiceServer
	backend Backend
}

func (s *proofService) Prove(m *hav1.ProveRequest, stream grpc.ServerStreamingServer[hav1.ProveResponse]) error {
	r, err := decode(m, (*decoder).proofRequest)
	if err != nil {
		return err
	}
	ctx := stream.Context()
	r.By = callerOf(ctx).Name
	return s.backend.Prove(ctx, r, func(list []ha.Proof) error {
		return stream.Send(legible(&hav1.ProveResponse{Proofs: each(list, encodeProof)}))
	})
}

func (s *proofService) Proofs(ctx context.Context, _ *hav1.ProofsRequest) (*hav1.ProofsResponse, error) {
	list, err := s.backend.Proofs(ctx)
	if err != nil {
		return nil, err
	}
	return legible(&hav1.ProofsResponse{Proofs: each(list, encodeProof)}), nil
}

func (s *proofService) CutPower(ctx context.Context, m *hav1.CutPowerRequest) (*hav1.CutPowerResponse, error) {
	r, err := decode(m, (*decoder).powerOffRequest)
	if err != nil {
		return nil, err
	}
	r.By = callerOf(ctx).Name
	v, err := s.backend.CutPower(ctx, r)
	if err != nil {
		return nil, err
	}
	took := time.Duration(0)
	if v.Power != nil {
		took = v.Power.Took
	}
	return legible(&hav1.CutPowerResponse{By: string(v.Node), Took: encodeDuration(took)}), nil
}

// Prove has the nodes try something and calls fn with the proofs now and whenever they
// change, until all have ended, fn fails (its error is returned), ctx ends or the
// connection breaks.
func (o *Operator) Prove(ctx context.Context, r ha.ProofRequest, fn func([]ha.Proof) error) error {
	return follow(ctx, o, hav1.NewProofServiceClient(o.link).Prove, legible(encodeProofRequest(r)), (*hav1.ProveResponse).GetProofs, (*decoder).proofs, fn)
}

// Proofs returns what is known.
func (o *Operator) Proofs(ctx context.Context) ([]ha.Proof, error) {
	return call(ctx, o, hav1.NewProofServiceClient(o.link).Proofs, &hav1.ProofsRequest{}, (*hav1.ProofsResponse).GetProofs, (*decoder).proofs)
}

// CutPower has a drained node's BMC cut its power. It returns which node asked the BMC,
// and how long that took to say that the power is off.
func (o *Operator) CutPower(ctx context.Context, r ha.PowerOffRequest) (ha.ProofResult, error) {
	return call(ctx, o, hav1.NewProofServiceClient(o.link).CutPower, legible(encodePowerOffRequest(r)),
		func(m *hav1.CutPowerResponse) *hav1.CutPowerResponse { return m },
		func(_ *decoder, m *hav1.CutPowerResponse) ha.ProofResult {
			return ha.ProofResult{Node: ha.NodeName(m.GetBy()), Power: &ha.PowerSight{State: ha.PowerOff, Took: m.GetTook().AsDuration()}}
		})
}
