package rpc

import (
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

func encodeClusterStatus(s ha.ClusterStatus) *hav1.ClusterStatus {
	return &hav1.ClusterStatus{
		At:              encodeTime(s.At),
		Project:         s.Project,
		Cluster:         s.Cluster,
		Quorate:         s.Quorate,
		Votes:           int64(s.Votes),
		Expected:        int64(s.Expected),
		Quorum:          int64(s.Quorum),
		LossesTolerated: int64(s.LossesTolerated),
		Master:          string(s.Master),
		Armed:           s.Armed,
		ShutdownPolicy:  s.ShutdownPolicy,
		Nodes:           each(s.Nodes, encodeNodeStatus),
		Targets:         each(s.Targets, encodeTargetStatus),
		Maintenances:    each(s.Maintenances, encodeMaintenance),
		Warnings:        words[string](s.Warnings),
		Readiness:       encodeStanding(s.Readiness),
		Operations:      each(s.Operations, encodeOperationView),
	}
}

func (d *decoder) clusterStatus(m *hav1.ClusterStatus) ha.ClusterStatus {
	return ha.ClusterStatus{
		At:              decodeTime(m.GetAt()),
		Project:         m.GetProject(),
		Cluster:         m.GetCluster(),
		Quorate:         m.GetQuorate(),
		Votes:           int(m.GetVotes()),
		Expected:        int(m.GetExpected()),
		Quorum:          int(m.GetQuorum()),
		LossesTolerated: int(m.GetLossesTolerated()),
		Master:          ha.NodeName(m.GetMaster()),
		Armed:           m.GetArmed(),
		ShutdownPolicy:  m.GetShutdownPolicy(),
		Nodes:           each(m.GetNodes(), d.nodeStatus),
		Targets:         each(m.GetTargets(), d.targetStatus),
		Maintenances:    each(m.GetMaintenances(), d.maintenance),
		Warnings:        words[string](m.GetWarnings()),
		Readiness:       d.standing(m.GetReadiness()),
		Operations:      each(m.GetOperations(), d.operationView),
	}
}

func encodeNodeStatus(n ha.NodeStatus) *hav1.NodeStatus {
	return &hav1.NodeStatus{
		Name:        string(n.Name),
		Online:      n.Online,
		HaState:     n.HAState,
		Lrm:         n.LRM,
		Watchdog:    n.Watchdog,
		Storage:     n.Storage,
		ReportAge:   encodeDuration(n.ReportAge),
		Gossip:      string(n.Gossip),
		MemoryTotal: n.MemoryTotal,
		MemoryUsed:  n.MemoryUsed,
		Guests:      int64(n.Guests),
		Phase:       string(n.Phase),
		ForgottenAt: encodeTime(n.ForgottenAt),
	}
}

func (d *decoder) nodeStatus(m *hav1.NodeStatus) ha.NodeStatus {
	return ha.NodeStatus{
		Name:        ha.NodeName(m.GetName()),
		Online:      m.GetOnline(),
		HAState:     m.GetHaState(),
		LRM:         m.GetLrm(),
		Watchdog:    m.GetWatchdog(),
		Storage:     m.GetStorage(),
		ReportAge:   m.GetReportAge().AsDuration(),
		Gossip:      ha.MemberState(m.GetGossip()),
		MemoryTotal: m.GetMemoryTotal(),
		MemoryUsed:  m.GetMemoryUsed(),
		Guests:      int(m.GetGuests()),
		Phase:       ha.Phase(m.GetPhase()),
		ForgottenAt: decodeTime(m.GetForgottenAt()),
	}
}

func encodeTargetStatus(t ha.TargetStatus) *hav1.TargetStatus {
	return &hav1.TargetStatus{
		Name:      t.Name,
		Sid:       encodeSID(t.SID),
		Ha:        t.HA,
		Preferred: string(t.Preferred),
		Node:      string(t.Node),
		Running:   t.Running,
		State:     t.State,
		Request:   t.Request,
		Note:      t.Note,
	}
}

func (d *decoder) targetStatus(m *hav1.TargetStatus) ha.TargetStatus {
	return ha.TargetStatus{
		Name:      m.GetName(),
		SID:       d.sid(m.GetSid()),
		HA:        m.GetHa(),
		Preferred: ha.NodeName(m.GetPreferred()),
		Node:      ha.NodeName(m.GetNode()),
		Running:   m.GetRunning(),
		State:     m.GetState(),
		Request:   m.GetRequest(),
		Note:      m.GetNote(),
	}
}

func encodeCheckRequest(r ha.CheckRequest) *hav1.CheckRequest {
	return &hav1.CheckRequest{
		Profile: r.Profile,
		Only:    words[string](r.Only),
		Target:  r.Target,
		Policy:  encodePolicy(r.Policy),
	}
}

func (d *decoder) checkRequest(m *hav1.CheckRequest) ha.CheckRequest {
	return ha.CheckRequest{
		Profile: m.GetProfile(),
		Only:    words[ha.Code](m.GetOnly()),
		Target:  m.GetTarget(),
		Policy:  d.policy(m.GetPolicy()),
	}
}

func encodeReadiness(r ha.Readiness) *hav1.Readiness {
	return &hav1.Readiness{Findings: each(r.Findings, encodeFinding), Standing: encodeStanding(r.Standing)}
}

func (d *decoder) readiness(m *hav1.Readiness) ha.Readiness {
	return ha.Readiness{Findings: each(m.GetFindings(), d.finding), Standing: d.standing(m.GetStanding())}
}

func encodeFinding(f ha.Finding) *hav1.Finding {
	return &hav1.Finding{
		Code:       string(f.Code),
		Status:     string(f.Status),
		Subject:    f.Subject,
		Title:      f.Title,
		Evidence:   f.Evidence,
		Remedy:     f.Remedy,
		Because:    string(f.Because),
		Since:      encodeTime(f.Since),
		MutedUntil: encodeTime(f.MutedUntil),
		MutedBy:    f.MutedBy,
	}
}

func (d *decoder) finding(m *hav1.Finding) ha.Finding {
	return ha.Finding{
		Code:       ha.Code(m.GetCode()),
		Status:     ha.Status(m.GetStatus()),
		Subject:    m.GetSubject(),
		Title:      m.GetTitle(),
		Evidence:   m.GetEvidence(),
		Remedy:     m.GetRemedy(),
		Because:    ha.Code(m.GetBecause()),
		Since:      decodeTime(m.GetSince()),
		MutedUntil: decodeTime(m.GetMutedUntil()),
		MutedBy:    m.GetMutedBy(),
	}
}

func encodePlanView(p ha.PlanView) *hav1.PlanView {
	return &hav1.PlanView{Changes: each(p.Changes, encodeChange), Waits: each(p.Waits, encodeWait), Notices: words[string](p.Notices)}
}

func (d *decoder) planView(m *hav1.PlanView) ha.PlanView {
	return ha.PlanView{Changes: each(m.GetChanges(), d.change), Waits: each(m.GetWaits(), d.wait), Notices: words[string](m.GetNotices())}
}

func encodeChange(c ha.Change) *hav1.Change {
	return &hav1.Change{Kind: string(c.Kind), Subject: c.Subject, Text: c.Text, Command: c.Command}
}

func (d *decoder) change(m *hav1.Change) ha.Change {
	return ha.Change{
		Kind: ha.ChangeKind(m.GetKind()), Subject: m.GetSubject(), Text: m.GetText(), Command: m.GetCommand(),
	}
}

func encodeEvent(e ha.Event) *hav1.Event {
	return &hav1.Event{
		Seq:         e.Seq,
		At:          encodeTime(e.At),
		Type:        string(e.Type),
		Node:        string(e.Node),
		Sid:         encodeSID(e.SID),
		Maintenance: e.Maintenance,
		Operation:   e.Operation,
		Text:        e.Text,
	}
}

func (d *decoder) event(m *hav1.Event) ha.Event {
	return ha.Event{
		Seq:         m.GetSeq(),
		At:          decodeTime(m.GetAt()),
		Type:        ha.EventType(m.GetType()),
		Node:        ha.NodeName(m.GetNode()),
		SID:         d.sid(m.GetSid()),
		Maintenance: m.GetMaintenance(),
		Operation:   m.GetOperation(),
		Text:        m.GetText(),
	}
}
