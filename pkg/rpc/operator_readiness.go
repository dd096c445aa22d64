package rpc

import (
	"context"

	"github.com/casaeureka/psw-ha/pkg/ha"
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"
)

func mutes(d *decoder, list []*hav1.Mute) []ha.Mute { return each(list, d.mute) }

// Mute stores that a finding is to be passed over for a time. The request's By is what the
// certificate says.
func (o *Operator) Mute(ctx context.Context, r ha.MuteRequest) (ha.Mute, error) {
	return call(ctx, o, o.readiness.Mute, legible(encodeMuteRequest(r)), (*hav1.MuteResponse).GetMute, (*decoder).mute)
}

// Unmute ends the mutes of a code, or with a subject only that one, and returns them. Who
// asks is what the certificate says; the last parameter is there to match Backend.
func (o *Operator) Unmute(ctx context.Context, code ha.Code, subject, _ string) ([]ha.Mute, error) {
	return call(ctx, o, o.readiness.Unmute, legible(&hav1.UnmuteRequest{Code: string(code), Subject: subject}), (*hav1.UnmuteResponse).GetMutes, mutes)
}

// Mutes lists what is muted now.
func (o *Operator) Mutes(ctx context.Context) ([]ha.Mute, error) {
	return call(ctx, o, o.readiness.Mutes, &hav1.MutesRequest{}, (*hav1.MutesResponse).GetMutes, mutes)
}

// Acknowledge vouches for an item. By and At are the coordinator's to fill in.
func (o *Operator) Acknowledge(ctx context.Context, a ha.Acknowledgement) (ha.Acknowledgement, error) {
	return call(ctx, o, o.readiness.Acknowledge, legible(&hav1.AcknowledgeRequest{Item: a.Item, Node: string(a.Node), Note: a.Note}),
		(*hav1.AcknowledgeResponse).GetAcknowledgement, (*decoder).acknowledgement)
}

// Withdraw takes a word back.
func (o *Operator) Withdraw(ctx context.Context, a ha.Acknowledgement) error {
	if _, err := o.readiness.Withdraw(ctx, legible(&hav1.WithdrawRequest{Item: a.Item, Node: string(a.Node)})); err != nil {
		return o.link.failure(ctx, err)
	}
	return nil
}

// Acknowledgements lists what operators vouch for, stale ones included.
func (o *Operator) Acknowledgements(ctx context.Context) ([]ha.Acknowledgement, error) {
	return call(ctx, o, o.readiness.Acknowledgements, &hav1.AcknowledgementsRequest{}, (*hav1.AcknowledgementsResponse).GetAcknowledgements,
		func(d *decoder, list []*hav1.Acknowledgement) []ha.Acknowledgement {
			return each(list, d.acknowledgement)
		})
}

// Explain says why a target is not where, or as, it should be.
func (o *Operator) Explain(ctx context.Context, target string, p *ha.Policy) (ha.Explanation, error) {
	return call(ctx, o, o.readiness.Explain, legible(&hav1.ExplainRequest{Target: target, Policy: encodePolicy(p)}),
		(*hav1.ExplainResponse).GetExplanation, (*decoder).explanation)
}
