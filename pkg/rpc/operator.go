package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"io"

	"google.golang.org/grpc"

	"github.com/casaeureka/psw-ha/pkg/ha"
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"
)

// Operator is an operator's connection to the coordinator: the operator's half of Backend
// over the network. Errors are ha errors of the kind the coordinator answered with;
// Unavailable if none answered; ctx's own error if that ended first. It may be used from
// several goroutines.
type Operator struct {
	link *link
	api  hav1.OperatorServiceClient
	// readiness is the service about what operators say of readiness.
	readiness hav1.ReadinessServiceClient
	// operations is the service of operations, on the same link.
	operations hav1.OperationServiceClient
}

// OperatorOption changes how DialOperator connects.
type OperatorOption func(*operatorOptions)

type operatorOptions struct{ dialer Dialer }

// WithDialer replaces the network, for tests.
func WithDialer(d Dialer) OperatorOption { return func(o *operatorOptions) { o.dialer = d } }

// DialOperator prepares a connection to the coordinator that answers at one of addrs
// (host:port), with a configuration that ClientTLS made. It connects with the first call
// and again whenever the connection broke; that call then fails or succeeds.
func DialOperator(addrs []string, cfg *tls.Config, opts ...OperatorOption) (*Operator, error) {
	if len(addrs) == 0 {
		return nil, ha.Errorf(ha.Invalid, "no address of a coordinator is known")
	}
	var o operatorOptions
	for _, opt := range opts {
		opt(&o)
	}
	l, err := newLink(addrs, cfg, o.dialer)
	if err != nil {
		return nil, err
	}
	return &Operator{link: l, api: hav1.NewOperatorServiceClient(l), readiness: hav1.NewReadinessServiceClient(l),
		operations: hav1.NewOperationServiceClient(l)}, nil
}

// Close ends the connection and every call on it.
func (o *Operator) Close() error { return o.link.Close() }

// call makes one call: ask, then decode the part of the answer that get picks.
func call[Req, Resp, M, T any](ctx context.Context, o *Operator, ask func(context.Context, Req, ...grpc.CallOption) (Resp, error), req Req,
	get func(Resp) M, convert func(*decoder, M) T,
) (T, error) {
	resp, err := ask(ctx, req)
	if err != nil {
		var none T
		return none, o.link.failure(ctx, err)
	}
	return decode(get(resp), convert)
}

// Status is the cluster at a glance.
func (o *Operator) Status(ctx context.Context, p *ha.Policy) (ha.ClusterStatus, error) {
	return call(ctx, o, o.api.Status, legible(&hav1.StatusRequest{Policy: encodePolicy(p)}), (*hav1.StatusResponse).GetStatus, (*decoder).clusterStatus)
}

// Check judges readiness.
func (o *Operator) Check(ctx context.Context, r ha.CheckRequest) (ha.Readiness, error) {
	return call(ctx, o, o.api.Check, legible(encodeCheckRequest(r)), (*hav1.CheckResponse).GetReadiness, (*decoder).readiness)
}

// Plan compares a policy (nil: the stored one) with what is registered.
func (o *Operator) Plan(ctx context.Context, p *ha.Policy) (ha.PlanView, error) {
	return call(ctx, o, o.api.Plan, legible(&hav1.PlanRequest{Policy: encodePolicy(p)}), (*hav1.PlanResponse).GetPlan, (*decoder).planView)
}

// Facts is the newest snapshot, seen with a policy (nil: the stored one).
func (o *Operator) Facts(ctx context.Context, p *ha.Policy) (ha.Snapshot, error) {
	ask := func(ctx context.Context, m *hav1.FactsRequest, opts ...grpc.CallOption) (*hav1.FactsResponse, error) {
		return o.api.Facts(ctx, m, append(opts, grpc.MaxCallRecvMsgSize(factsSizeMax))...)
	}
	return call(ctx, o, ask, legible(&hav1.FactsRequest{Policy: encodePolicy(p)}), (*hav1.FactsResponse).GetSnapshotJson, (*decoder).snapshot)
}

// PreviewStart says what StartMaintenance would do.
func (o *Operator) PreviewStart(ctx context.Context, r ha.MaintenanceRequest) (ha.Preview, error) {
	return call(ctx, o, o.api.PreviewStart, legible(&hav1.PreviewStartRequest{Request: encodeMaintenanceRequest(r)}),
		(*hav1.PreviewStartResponse).GetPreview, (*decoder).preview)
}

// PreviewEnd says what EndMaintenance would do.
func (o *Operator) PreviewEnd(ctx context.Context, r ha.MaintenanceRequest) (ha.Preview, error) {
	return call(ctx, o, o.api.PreviewEnd, legible(&hav1.PreviewEndRequest{Request: encodeMaintenanceRequest(r)}),
		(*hav1.PreviewEndResponse).GetPreview, (*decoder).preview)
}

// StartMaintenance asks for a drain. The request's By is what the certificate says.
func (o *Operator) StartMaintenance(ctx context.Context, r ha.MaintenanceRequest) (ha.Maintenance, error) {
	return call(ctx, o, o.api.StartMaintenance, legible(&hav1.StartMaintenanceRequest{Request: encodeMaintenanceRequest(r)}),
		(*hav1.StartMaintenanceResponse).GetMaintenance, (*decoder).maintenance)
}

// EndMaintenance asks for a restore. The request's By is what the certificate says.
func (o *Operator) EndMaintenance(ctx context.Context, r ha.MaintenanceRequest) (ha.Maintenance, error) {
	return call(ctx, o, o.api.EndMaintenance, legible(&hav1.EndMaintenanceRequest{Request: encodeMaintenanceRequest(r)}),
		(*hav1.EndMaintenanceResponse).GetMaintenance, (*decoder).maintenance)
}

// CancelMaintenance gives up the open maintenance of node. Who asks is what the
// certificate says; the last parameter is there to match Backend and does not travel.
func (o *Operator) CancelMaintenance(ctx context.Context, node ha.NodeName, _ string) (ha.Maintenance, error) {
	return call(ctx, o, o.api.CancelMaintenance, legible(&hav1.CancelMaintenanceRequest{Node: string(node)}),
		(*hav1.CancelMaintenanceResponse).GetMaintenance, (*decoder).maintenance)
}

// Maintenances returns the newest maintenance of node, or with "" every open one.
func (o *Operator) Maintenances(ctx context.Context, node ha.NodeName) ([]ha.MaintenanceView, error) {
	return call(ctx, o, o.api.Maintenances, legible(&hav1.MaintenancesRequest{Node: string(node)}),
		(*hav1.MaintenancesResponse).GetMaintenances,
		func(d *decoder, list []*hav1.MaintenanceView) []ha.MaintenanceView {
			return each(list, d.maintenanceView)
		})
}

// WatchMaintenance calls fn with the newest maintenance of node now and whenever it
// changes, until fn fails (its error is returned), ctx ends or the connection breaks.
func (o *Operator) WatchMaintenance(ctx context.Context, node ha.NodeName, fn func(ha.MaintenanceView) error) error {
	return follow(ctx, o, o.api.WatchMaintenance, legible(&hav1.WatchMaintenanceRequest{Node: string(node)}),
		(*hav1.WatchMaintenanceResponse).GetMaintenance, (*decoder).maintenanceView, fn)
}

// Events calls fn with the journal's entries after seq, then, if following, with new ones
// as they come, until fn fails (its error is returned), ctx ends or the connection breaks.
func (o *Operator) Events(ctx context.Context, after uint64, following bool, fn func(ha.Event) error) error {
	return follow(ctx, o, o.api.Events, &hav1.EventsRequest{After: after, Follow: following},
		(*hav1.EventsResponse).GetEvent, (*decoder).event, fn)
}

// follow makes one call that answers with a stream.
func follow[Req, Resp, M, T any](ctx context.Context, o *Operator,
	ask func(context.Context, Req, ...grpc.CallOption) (grpc.ServerStreamingClient[Resp], error), req Req,
	get func(*Resp) M, convert func(*decoder, M) T, fn func(T) error,
) error {
	streamCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := ask(streamCtx, req)
	if err != nil {
		return o.link.failure(ctx, err)
	}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return o.link.failure(ctx, err)
		}
		v, err := decode(get(resp), convert)
		if err != nil {
			return err
		}
		if err := fn(v); err != nil {
			return err
		}
	}
}
