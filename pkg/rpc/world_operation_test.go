package rpc

import (
	"context"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// What a desk answers about operations: what it was asked, back again.

func (d *desk) PreviewOperation(_ context.Context, r ha.OperationRequest) (ha.OperationPreview, error) {
	return ha.OperationPreview{Kind: r.Kind, Steps: []ha.OperationStep{{Key: r.Target, Text: r.By, State: ha.StepTodo}},
		Plan: &ha.PlanView{Notices: []string{r.Message}}}, d.err
}

func (d *desk) StartOperation(_ context.Context, r ha.OperationRequest) (ha.Operation, error) {
	return ha.Operation{ID: "1", Kind: r.Kind, Node: r.Node, Target: r.Target, Options: r.Options, By: r.By, Message: r.Message}, d.err
}

func (d *desk) CancelOperation(_ context.Context, id, by string) (ha.Operation, error) {
	return ha.Operation{ID: id, By: by, Cancelling: true}, d.err
}

func (d *desk) Operations(_ context.Context, id string) ([]ha.OperationView, error) {
	return []ha.OperationView{{Operation: ha.Operation{ID: id}}}, d.err
}

func (d *desk) WatchOperation(ctx context.Context, id string, fn func(ha.OperationView) error) error {
	if err := fn(ha.OperationView{Operation: ha.Operation{ID: id}, Waits: []ha.Wait{{Subject: "node2", Reason: "it is joining"}}}); err != nil {
		return err
	}
	if d.err != nil {
		return d.err
	}
	<-ctx.Done()
	return ctx.Err()
}
