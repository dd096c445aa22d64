package rpc

import (
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

func encodeMaintenance(v ha.Maintenance) *hav1.Maintenance {
	return &hav1.Maintenance{
		Id:           v.ID,
		Node:         string(v.Node),
		Phase:        string(v.Phase),
		By:           v.By,
		Message:      v.Message,
		Options:      encodeMaintenanceOptions(v.Options),
		RequestedAt:  encodeTime(v.RequestedAt),
		DrainedAt:    encodeTime(v.DrainedAt),
		RestoreAt:    encodeTime(v.RestoreAt),
		EndedAt:      encodeTime(v.EndedAt),
		Cancelling:   v.Cancelling,
		LatchAsked:   encodeTime(v.LatchAsked),
		LatchSeen:    encodeTime(v.LatchSeen),
		UnlatchAsked: encodeTime(v.UnlatchAsked),
		OnlineSeen:   encodeTime(v.OnlineSeen),
		RetryFrom:    encodeTime(v.RetryFrom),
		Homes:        each(v.Homes, encodeHome),
		Moves:        each(v.Moves, encodeMove),
	}
}

func (d *decoder) maintenance(m *hav1.Maintenance) ha.Maintenance {
	return ha.Maintenance{
		ID:           m.GetId(),
		Node:         ha.NodeName(m.GetNode()),
		Phase:        ha.Phase(m.GetPhase()),
		By:           m.GetBy(),
		Message:      m.GetMessage(),
		Options:      d.maintenanceOptions(m.GetOptions()),
		RequestedAt:  decodeTime(m.GetRequestedAt()),
		DrainedAt:    decodeTime(m.GetDrainedAt()),
		RestoreAt:    decodeTime(m.GetRestoreAt()),
		EndedAt:      decodeTime(m.GetEndedAt()),
		Cancelling:   m.GetCancelling(),
		LatchAsked:   decodeTime(m.GetLatchAsked()),
		LatchSeen:    decodeTime(m.GetLatchSeen()),
		UnlatchAsked: decodeTime(m.GetUnlatchAsked()),
		OnlineSeen:   decodeTime(m.GetOnlineSeen()),
		RetryFrom:    decodeTime(m.GetRetryFrom()),
		Homes:        each(m.GetHomes(), d.home),
		Moves:        each(m.GetMoves(), d.move),
	}
}

func encodeMaintenanceOptions(o ha.MaintenanceOptions) *hav1.MaintenanceOptions {
	return &hav1.MaintenanceOptions{
		AllowOvercommit: o.AllowOvercommit,
		StopPinned:      o.StopPinned,
		LeavePinned:     o.LeavePinned,
		Guests:          each(o.Guests, encodeSID),
		Deadline:        encodeTime(o.Deadline),
	}
}

func (d *decoder) maintenanceOptions(m *hav1.MaintenanceOptions) ha.MaintenanceOptions {
	return ha.MaintenanceOptions{
		AllowOvercommit: m.GetAllowOvercommit(),
		StopPinned:      m.GetStopPinned(),
		LeavePinned:     m.GetLeavePinned(),
		Guests:          each(m.GetGuests(), d.sid),
		Deadline:        decodeTime(m.GetDeadline()),
	}
}

func encodeHome(h ha.Home) *hav1.Home {
	return &hav1.Home{
		Sid:      encodeSID(h.SID),
		Name:     h.Name,
		Node:     string(h.Node),
		Was:      string(h.Was),
		Running:  h.Running,
		Returned: encodeTime(h.Returned),
	}
}

func (d *decoder) home(m *hav1.Home) ha.Home {
	return ha.Home{
		SID:      d.sid(m.GetSid()),
		Name:     m.GetName(),
		Node:     ha.NodeName(m.GetNode()),
		Was:      ha.NodeName(m.GetWas()),
		Running:  m.GetRunning(),
		Returned: decodeTime(m.GetReturned()),
	}
}

func encodeMove(v ha.Move) *hav1.Move {
	return &hav1.Move{
		Sid:      encodeSID(v.SID),
		Method:   string(v.Method),
		From:     string(v.From),
		To:       string(v.To),
		Ha:       v.HA,
		Asked:    encodeTime(v.Asked),
		Upid:     v.UPID,
		Done:     encodeTime(v.Done),
		Gone:     encodeTime(v.Gone),
		Downtime: encodeDuration(v.Downtime),
		Failed:   v.Failed,
		FailedAt: encodeTime(v.FailedAt),
	}
}

func (d *decoder) move(m *hav1.Move) ha.Move {
	return ha.Move{
		SID:      d.sid(m.GetSid()),
		Method:   ha.Method(m.GetMethod()),
		From:     ha.NodeName(m.GetFrom()),
		To:       ha.NodeName(m.GetTo()),
		HA:       m.GetHa(),
		Asked:    decodeTime(m.GetAsked()),
		UPID:     m.GetUpid(),
		Done:     decodeTime(m.GetDone()),
		Gone:     decodeTime(m.GetGone()),
		Downtime: m.GetDowntime().AsDuration(),
		Failed:   m.GetFailed(),
		FailedAt: decodeTime(m.GetFailedAt()),
	}
}

func encodeMaintenanceView(v ha.MaintenanceView) *hav1.MaintenanceView {
	return &hav1.MaintenanceView{
		Maintenance: encodeMaintenance(v.Maintenance),
		Waits:       each(v.Waits, encodeWait),
		Guests:      each(v.Guests, encodeGuestProgress),
		Safe:        v.Safe,
	}
}

func (d *decoder) maintenanceView(m *hav1.MaintenanceView) ha.MaintenanceView {
	return ha.MaintenanceView{
		Maintenance: d.maintenance(m.GetMaintenance()),
		Waits:       each(m.GetWaits(), d.wait),
		Guests:      each(m.GetGuests(), d.guestProgress),
		Safe:        m.GetSafe(),
	}
}

func encodeWait(w ha.Wait) *hav1.Wait {
	return &hav1.Wait{Subject: w.Subject, Reason: w.Reason, Blocked: w.Blocked, Fix: w.Fix}
}

func (d *decoder) wait(m *hav1.Wait) ha.Wait {
	return ha.Wait{Subject: m.GetSubject(), Reason: m.GetReason(), Blocked: m.GetBlocked(), Fix: m.GetFix()}
}

func encodeGuestProgress(g ha.GuestProgress) *hav1.GuestProgress {
	return &hav1.GuestProgress{
		Sid:      encodeSID(g.SID),
		Name:     g.Name,
		Method:   string(g.Method),
		From:     string(g.From),
		To:       string(g.To),
		State:    g.State,
		Since:    encodeTime(g.Since),
		Downtime: encodeDuration(g.Downtime),
		Note:     g.Note,
	}
}

func (d *decoder) guestProgress(m *hav1.GuestProgress) ha.GuestProgress {
	return ha.GuestProgress{
		SID:      d.sid(m.GetSid()),
		Name:     m.GetName(),
		Method:   ha.Method(m.GetMethod()),
		From:     ha.NodeName(m.GetFrom()),
		To:       ha.NodeName(m.GetTo()),
		State:    m.GetState(),
		Since:    decodeTime(m.GetSince()),
		Downtime: m.GetDowntime().AsDuration(),
		Note:     m.GetNote(),
	}
}

// encodeMaintenanceRequest leaves By behind: who asks is what the certificate says.
func encodeMaintenanceRequest(r ha.MaintenanceRequest) *hav1.MaintenanceRequest {
	return &hav1.MaintenanceRequest{
		Node:    string(r.Node),
		Options: encodeMaintenanceOptions(r.Options),
		Message: r.Message,
		Policy:  encodePolicy(r.Policy),
	}
}

func (d *decoder) maintenanceRequest(m *hav1.MaintenanceRequest) ha.MaintenanceRequest {
	return ha.MaintenanceRequest{
		Node:    ha.NodeName(m.GetNode()),
		Options: d.maintenanceOptions(m.GetOptions()),
		Message: m.GetMessage(),
		Policy:  d.policy(m.GetPolicy()),
	}
}

func encodePreview(p ha.Preview) *hav1.Preview {
	return &hav1.Preview{
		Node:     string(p.Node),
		Steps:    each(p.Steps, encodeStep),
		Blockers: each(p.Blockers, encodeBlocker),
		Notices:  words[string](p.Notices),
		Fit:      each(p.Fit, encodeFit),
		Commands: words[string](p.Commands),
		Estimate: encodeDuration(p.Estimate),
	}
}

func (d *decoder) preview(m *hav1.Preview) ha.Preview {
	return ha.Preview{
		Node:     ha.NodeName(m.GetNode()),
		Steps:    each(m.GetSteps(), d.step),
		Blockers: each(m.GetBlockers(), d.blocker),
		Notices:  words[string](m.GetNotices()),
		Fit:      each(m.GetFit(), d.fit),
		Commands: words[string](m.GetCommands()),
		Estimate: m.GetEstimate().AsDuration(),
	}
}

func encodeStep(s ha.Step) *hav1.Step {
	return &hav1.Step{
		Sid:      encodeSID(s.SID),
		Name:     s.Name,
		Target:   s.Target,
		Ha:       s.HA,
		Method:   string(s.Method),
		From:     string(s.From),
		To:       string(s.To),
		Chosen:   s.Chosen,
		Memory:   s.Memory,
		Estimate: encodeDuration(s.Estimate),
		Reason:   s.Reason,
	}
}

func (d *decoder) step(m *hav1.Step) ha.Step {
	return ha.Step{
		SID:      d.sid(m.GetSid()),
		Name:     m.GetName(),
		Target:   m.GetTarget(),
		HA:       m.GetHa(),
		Method:   ha.Method(m.GetMethod()),
		From:     ha.NodeName(m.GetFrom()),
		To:       ha.NodeName(m.GetTo()),
		Chosen:   m.GetChosen(),
		Memory:   m.GetMemory(),
		Estimate: m.GetEstimate().AsDuration(),
		Reason:   m.GetReason(),
	}
}

func encodeBlocker(b ha.Blocker) *hav1.Blocker {
	return &hav1.Blocker{Code: string(b.Code), Subject: b.Subject, Reason: b.Reason, Fix: b.Fix}
}

func (d *decoder) blocker(m *hav1.Blocker) ha.Blocker {
	return ha.Blocker{Code: ha.Code(m.GetCode()), Subject: m.GetSubject(), Reason: m.GetReason(), Fix: m.GetFix()}
}

func encodeFit(f ha.Fit) *hav1.Fit {
	return &hav1.Fit{
		Node:          string(f.Node),
		Total:         f.Total,
		Reserve:       f.Reserve,
		AssignedNow:   f.AssignedNow,
		AssignedAfter: f.AssignedAfter,
		UsedNow:       f.UsedNow,
		UsedAfter:     f.UsedAfter,
	}
}

func (d *decoder) fit(m *hav1.Fit) ha.Fit {
	return ha.Fit{
		Node:          ha.NodeName(m.GetNode()),
		Total:         m.GetTotal(),
		Reserve:       m.GetReserve(),
		AssignedNow:   m.GetAssignedNow(),
		AssignedAfter: m.GetAssignedAfter(),
		UsedNow:       m.GetUsedNow(),
		UsedAfter:     m.GetUsedAfter(),
	}
}
