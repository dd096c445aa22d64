package cli

import (
	"context"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// What the coordinator of a test answers about operations: its preview, and a story that
// begins when the operation is asked for.

func (w *world) PreviewOperation(_ context.Context, r ha.OperationRequest) (ha.OperationPreview, error) {
	w.note("preview %s %s", r.Kind, r.Target)
	p := w.operationPreview
	p.Kind = r.Kind
	return p, nil
}

func (w *world) StartOperation(_ context.Context, r ha.OperationRequest) (ha.Operation, error) {
	w.note("start %s %s%s accept %v keep %v", r.Kind, r.Node, r.Target, r.Options.Accept, r.Options.Keep)
	if w.refuse != nil {
		return ha.Operation{}, w.refuse
	}
	return ha.Operation{ID: "op1", Kind: r.Kind, Node: r.Node, Target: r.Target, Options: r.Options, By: r.By}, nil
}

func (w *world) CancelOperation(_ context.Context, id, _ string) (ha.Operation, error) {
	w.note("cancel %s", id)
	return ha.Operation{ID: "op1", Kind: ha.OperationApply, Cancelling: true}, w.refuse
}

func (w *world) Operations(_ context.Context, id string) ([]ha.OperationView, error) {
	return w.operations, nil
}

func (w *world) WatchOperation(ctx context.Context, _ string, fn func(ha.OperationView) error) error {
	if len(w.operations) == 0 {
		return ha.Errorf(ha.NotFound, "there has never been an operation")
	}
	for _, v := range w.operations {
		if err := fn(v); err != nil {
			return err
		}
		if err := pause(ctx, max(w.pace, time.Millisecond)); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}
