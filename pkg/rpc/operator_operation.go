package rpc

import (
	"context"

	"github.com/casaeureka/psw-ha/pkg/ha"
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"
)

// PreviewOperation says what StartOperation would do.
func (o *Operator) PreviewOperation(ctx context.Context, r ha.OperationRequest) (ha.OperationPreview, error) {
	return call(ctx, o, o.operations.PreviewOperation, legible(&hav1.PreviewOperationRequest{Request: encodeOperationRequest(r)}),
		(*hav1.PreviewOperationResponse).GetPreview, (*decoder).operationPreview)
}

// StartOperation asks for an operation. The request's By is what the certificate says.
func (o *Operator) StartOperation(ctx context.Context, r ha.OperationRequest) (ha.Operation, error) {
	return call(ctx, o, o.operations.StartOperation, legible(&hav1.StartOperationRequest{Request: encodeOperationRequest(r)}),
		(*hav1.StartOperationResponse).GetOperation, (*decoder).operation)
}

// CancelOperation gives an operation up, or, with "", the open one. Who asks is what the
// certificate says; the last parameter is there to match Backend and does not travel.
func (o *Operator) CancelOperation(ctx context.Context, id, _ string) (ha.Operation, error) {
	return call(ctx, o, o.operations.CancelOperation, legible(&hav1.CancelOperationRequest{Id: id}),
		(*hav1.CancelOperationResponse).GetOperation, (*decoder).operation)
}

// Operations returns the operation of that ID, or with "" all that are kept.
func (o *Operator) Operations(ctx context.Context, id string) ([]ha.OperationView, error) {
	return call(ctx, o, o.operations.Operations, legible(&hav1.OperationsRequest{Id: id}), (*hav1.OperationsResponse).GetOperations,
		func(d *decoder, list []*hav1.OperationView) []ha.OperationView { return each(list, d.operationView) })
}

// WatchOperation calls fn with an operation ("" is the newest) now and whenever it changes,
// until fn fails (its error is returned), ctx ends or the connection breaks.
func (o *Operator) WatchOperation(ctx context.Context, id string, fn func(ha.OperationView) error) error {
	return follow(ctx, o, o.operations.WatchOperation, legible(&hav1.WatchOperationRequest{Id: id}),
		(*hav1.WatchOperationResponse).GetOperation, (*decoder).operationView, fn)
}
