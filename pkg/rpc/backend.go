package rpc

import (
	"context"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Backend is what the server serves: the coordinator implements it. It is an interface
// because this package must not import the coordinator. Errors carry a kind
// (ha.Errorf), which becomes the gRPC status.
type Backend interface {
	// Hello: an agent, authenticated as h.Node, has dialed.
	Hello(ctx context.Context, h ha.Hello) (ha.Welcome, error)
	// Report stores an agent's report. Received is set by the backend.
	Report(ctx context.Context, r ha.Report) error
	// Orders returns the orders for node as they are given, until ctx ends. A second call
	// for the same node takes over: the first channel is closed.
	Orders(ctx context.Context, node ha.NodeName) (<-chan ha.Order, error)
	// OrderDone is an agent's answer to an order.
	OrderDone(ctx context.Context, r ha.OrderResult) error

	// Status is the answer of `psw ha status`, seen with a policy (nil: the stored one).
	Status(ctx context.Context, p *ha.Policy) (ha.ClusterStatus, error)
	// Check judges readiness on the newest snapshot.
	Check(ctx context.Context, r ha.CheckRequest) (ha.Readiness, error)
	// Plan compares a policy (nil: the stored one) with what is registered. It changes nothing.
	Plan(ctx context.Context, p *ha.Policy) (ha.PlanView, error)
	// Facts is the newest snapshot, seen with a policy (nil: the stored one).
	Facts(ctx context.Context, p *ha.Policy) (ha.Snapshot, error)

	// PreviewStart and PreviewEnd say what a maintenance start or end would do, and change nothing.
	PreviewStart(ctx context.Context, r ha.MaintenanceRequest) (ha.Preview, error)
	PreviewEnd(ctx context.Context, r ha.MaintenanceRequest) (ha.Preview, error)
	// StartMaintenance and EndMaintenance store the intent and return at once. They are
	// NotReady, with every blocker in the text, when it may not begin; asking again for
	// what is already under way returns it (and takes over a new deadline).
	StartMaintenance(ctx context.Context, r ha.MaintenanceRequest) (ha.Maintenance, error)
	EndMaintenance(ctx context.Context, r ha.MaintenanceRequest) (ha.Maintenance, error)
	// CancelMaintenance gives up an open maintenance safely. NotFound if there is none.
	CancelMaintenance(ctx context.Context, node ha.NodeName, by string) (ha.Maintenance, error)
	// Maintenances returns the newest maintenance of node, or with "" every open one.
	Maintenances(ctx context.Context, node ha.NodeName) ([]ha.MaintenanceView, error)
	// WatchMaintenance calls fn with the newest maintenance of node now and whenever it or
	// its waits change, until fn fails or ctx ends.
	WatchMaintenance(ctx context.Context, node ha.NodeName, fn func(ha.MaintenanceView) error) error
	// PreviewOperation says what an operation would do, and changes nothing.
	PreviewOperation(ctx context.Context, r ha.OperationRequest) (ha.OperationPreview, error)
	// StartOperation stores the intent and returns at once. NotReady, with every blocker,
	// when it may not begin; asking for what is under way returns it; Conflict when
	// something else is.
	StartOperation(ctx context.Context, r ha.OperationRequest) (ha.Operation, error)
	// CancelOperation gives an operation, or with "" the open one, up safely.
	CancelOperation(ctx context.Context, id, by string) (ha.Operation, error)
	// Operations returns the operation of that ID, or with "" all that are kept, by ID.
	Operations(ctx context.Context, id string) ([]ha.OperationView, error)
	// WatchOperation calls fn with an operation, or with "" the newest, now and whenever it
	// or its waits change, until fn fails or ctx ends.
	WatchOperation(ctx context.Context, id string, fn func(ha.OperationView) error) error

	// Events calls fn with the journal's entries after seq, then, if follow, with new ones
	// as they come, until fn fails or ctx ends.
	Events(ctx context.Context, after uint64, follow bool, fn func(ha.Event) error) error

	// What operators say about readiness. By is the client's certificate's.

	// Mute has a finding passed over for a time. Invalid for a code that does not exist.
	Mute(ctx context.Context, r ha.MuteRequest) (ha.Mute, error)
	// Unmute ends the mutes of a code, or with a subject only that one. NotFound if there are none.
	Unmute(ctx context.Context, code ha.Code, subject, by string) ([]ha.Mute, error)
	// Mutes lists what is muted now.
	Mutes(ctx context.Context) ([]ha.Mute, error)
	// Acknowledge stores a word for what no probe can see, Withdraw takes it back.
	Acknowledge(ctx context.Context, a ha.Acknowledgement) (ha.Acknowledgement, error)
	Withdraw(ctx context.Context, a ha.Acknowledgement) error
	// Acknowledgements lists every word given, stale ones included.
	Acknowledgements(ctx context.Context) ([]ha.Acknowledgement, error)
	// Explain says why a target is not where, or as, it should be, seen with a policy (nil:
	// the stored one).
	Explain(ctx context.Context, target string, p *ha.Policy) (ha.Explanation, error)

	// Prove has the nodes try something, or joins what is under way, and calls fn with the
	// proofs now and whenever they change, until all have ended, fn fails or ctx ends. That
	// nobody listens any more stops nothing.
	Prove(ctx context.Context, r ha.ProofRequest, fn func([]ha.Proof) error) error
	// Proofs returns what is known: see ha.Snapshot.
	Proofs(ctx context.Context) ([]ha.Proof, error)
	// CutPower has a drained node's BMC cut its power, and says who asked it. NotReady, with
	// every reason in the text, unless the node is out of service.
	CutPower(ctx context.Context, r ha.PowerOffRequest) (ha.ProofResult, error)
}
