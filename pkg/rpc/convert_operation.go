package rpc

import (
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// encodeOperation leaves out the policy: whoever asks has it already.
func encodeOperation(v ha.Operation) *hav1.Operation {
	return &hav1.Operation{
		Id:          v.ID,
		Kind:        string(v.Kind),
		Node:        string(v.Node),
		Target:      v.Target,
		Options:     encodeOperationOptions(v.Options),
		By:          v.By,
		Message:     v.Message,
		RequestedAt: encodeTime(v.RequestedAt),
		Cancelling:  v.Cancelling,
		EndedAt:     encodeTime(v.EndedAt),
		Outcome:     string(v.Outcome),
		Reason:      v.Reason,
		Steps:       each(v.Steps, encodeOperationStep),
		Moves:       each(v.Moves, encodeMove),
		Was:         string(v.Was),
		Notices:     words[string](v.Notices),
	}
}

func (d *decoder) operation(m *hav1.Operation) ha.Operation {
	return ha.Operation{
		ID:          m.GetId(),
		Kind:        ha.OperationKind(m.GetKind()),
		Node:        ha.NodeName(m.GetNode()),
		Target:      m.GetTarget(),
		Options:     d.operationOptions(m.GetOptions()),
		By:          m.GetBy(),
		Message:     m.GetMessage(),
		RequestedAt: decodeTime(m.GetRequestedAt()),
		Cancelling:  m.GetCancelling(),
		EndedAt:     decodeTime(m.GetEndedAt()),
		Outcome:     ha.OperationOutcome(m.GetOutcome()),
		Reason:      m.GetReason(),
		Steps:       each(m.GetSteps(), d.operationStep),
		Moves:       each(m.GetMoves(), d.move),
		Was:         ha.RequestState(m.GetWas()),
		Notices:     words[string](m.GetNotices()),
	}
}

func encodeOperationOptions(o ha.OperationOptions) *hav1.OperationOptions {
	return &hav1.OperationOptions{
		Accept:          words[string](o.Accept),
		Keep:            o.Keep,
		AllowOvercommit: o.AllowOvercommit,
		To:              string(o.To),
		Manual:          o.Manual,
		Mended:          o.Mended,
		PoweredOff:      o.PoweredOff,
		Deadline:        encodeTime(o.Deadline),
	}
}

func (d *decoder) operationOptions(m *hav1.OperationOptions) ha.OperationOptions {
	return ha.OperationOptions{
		Accept:          words[ha.Code](m.GetAccept()),
		Keep:            m.GetKeep(),
		AllowOvercommit: m.GetAllowOvercommit(),
		To:              ha.NodeName(m.GetTo()),
		Manual:          m.GetManual(),
		Mended:          m.GetMended(),
		PoweredOff:      m.GetPoweredOff(),
		Deadline:        decodeTime(m.GetDeadline()),
	}
}

func encodeOperationStep(v ha.OperationStep) *hav1.OperationStep {
	return &hav1.OperationStep{
		Key:      v.Key,
		Text:     v.Text,
		Command:  v.Command,
		State:    string(v.State),
		Asked:    encodeTime(v.Asked),
		Ref:      v.Ref,
		Ended:    encodeTime(v.Ended),
		Tries:    int64(v.Tries),
		Note:     v.Note,
		Answered: encodeTime(v.Answered),
	}
}

func (d *decoder) operationStep(m *hav1.OperationStep) ha.OperationStep {
	return ha.OperationStep{
		Key:      m.GetKey(),
		Text:     m.GetText(),
		Command:  m.GetCommand(),
		State:    ha.StepState(m.GetState()),
		Asked:    decodeTime(m.GetAsked()),
		Ref:      m.GetRef(),
		Ended:    decodeTime(m.GetEnded()),
		Tries:    int(m.GetTries()),
		Note:     m.GetNote(),
		Answered: decodeTime(m.GetAnswered()),
	}
}

func encodeOperationView(v ha.OperationView) *hav1.OperationView {
	return &hav1.OperationView{Operation: encodeOperation(v.Operation), Waits: each(v.Waits, encodeWait)}
}

func (d *decoder) operationView(m *hav1.OperationView) ha.OperationView {
	return ha.OperationView{Operation: d.operation(m.GetOperation()), Waits: each(m.GetWaits(), d.wait)}
}

func encodeOperationPreview(v ha.OperationPreview) *hav1.OperationPreview {
	m := &hav1.OperationPreview{
		Kind:     string(v.Kind),
		Steps:    each(v.Steps, encodeOperationStep),
		Blockers: each(v.Blockers, encodeBlocker),
		Notices:  words[string](v.Notices),
	}
	if v.Plan != nil {
		m.Plan = encodePlanView(*v.Plan)
	}
	if v.Moves != nil {
		m.Moves = encodePreview(*v.Moves)
	}
	return m
}

func (d *decoder) operationPreview(m *hav1.OperationPreview) ha.OperationPreview {
	v := ha.OperationPreview{
		Kind:     ha.OperationKind(m.GetKind()),
		Steps:    each(m.GetSteps(), d.operationStep),
		Blockers: each(m.GetBlockers(), d.blocker),
		Notices:  words[string](m.GetNotices()),
	}
	if m.GetPlan() != nil {
		v.Plan = new(d.planView(m.GetPlan()))
	}
	if m.GetMoves() != nil {
		v.Moves = new(d.preview(m.GetMoves()))
	}
	return v
}

func encodeOperationRequest(r ha.OperationRequest) *hav1.OperationRequest {
	return &hav1.OperationRequest{
		Kind:    string(r.Kind),
		Node:    string(r.Node),
		Target:  r.Target,
		Options: encodeOperationOptions(r.Options),
		Message: r.Message,
		Policy:  encodePolicy(r.Policy),
	}
}

func (d *decoder) operationRequest(m *hav1.OperationRequest) ha.OperationRequest {
	return ha.OperationRequest{
		Kind:    ha.OperationKind(m.GetKind()),
		Node:    ha.NodeName(m.GetNode()),
		Target:  m.GetTarget(),
		Options: d.operationOptions(m.GetOptions()),
		Message: m.GetMessage(),
		Policy:  d.policy(m.GetPolicy()),
	}
}
