package rpc

import (
	"github.com/casaeureka/psw-ha/pkg/ha"
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"
)

func encodeStanding(s *ha.Standing) *hav1.Standing {
	if s == nil {
		return nil
	}
	return &hav1.Standing{
		At:       encodeTime(s.At),
		Profile:  s.Profile,
		Known:    s.Known,
		Ready:    s.Ready,
		Since:    encodeTime(s.Since),
		Failing:  words[string](s.Failing),
		Warnings: int64(s.Warnings),
		Muted:    int64(s.Muted),
		Record:   encodeReadinessRecord(s.Record),
		Stale:    words[string](s.Stale),
	}
}

func (d *decoder) standing(m *hav1.Standing) *ha.Standing {
	if m == nil {
		return nil
	}
	return &ha.Standing{
		At:       decodeTime(m.GetAt()),
		Profile:  m.GetProfile(),
		Known:    m.GetKnown(),
		Ready:    m.GetReady(),
		Since:    decodeTime(m.GetSince()),
		Failing:  words[ha.Code](m.GetFailing()),
		Warnings: int(m.GetWarnings()),
		Muted:    int(m.GetMuted()),
		Record:   d.readinessRecord(m.GetRecord()),
		Stale:    words[string](m.GetStale()),
	}
}

func encodeReadinessRecord(r *ha.ReadinessRecord) *hav1.ReadinessRecord {
	if r == nil {
		return nil
	}
	return &hav1.ReadinessRecord{
		Profile: r.Profile,
		Ready:   r.Ready,
		At:      encodeTime(r.At),
		By:      r.By,
		Project: r.Project,
		Facts:   r.Facts,
		Failing: words[string](r.Failing),
		Muted:   words[string](r.Muted),
	}
}

func (d *decoder) readinessRecord(m *hav1.ReadinessRecord) *ha.ReadinessRecord {
	if m == nil {
		return nil
	}
	return &ha.ReadinessRecord{
		Profile: m.GetProfile(),
		Ready:   m.GetReady(),
		At:      decodeTime(m.GetAt()),
		By:      m.GetBy(),
		Project: m.GetProject(),
		Facts:   m.GetFacts(),
		Failing: words[ha.Code](m.GetFailing()),
		Muted:   words[ha.Code](m.GetMuted()),
	}
}

func encodeMute(m ha.Mute) *hav1.Mute {
	return &hav1.Mute{
		Code:     string(m.Code),
		Subject:  m.Subject,
		Until:    encodeTime(m.Until),
		By:       m.By,
		At:       encodeTime(m.At),
		Message:  m.Message,
		Worst:    string(m.Worst),
		Subjects: words[string](m.Subjects),
	}
}

func (d *decoder) mute(m *hav1.Mute) ha.Mute {
	return ha.Mute{
		Code:     ha.Code(m.GetCode()),
		Subject:  m.GetSubject(),
		Until:    decodeTime(m.GetUntil()),
		By:       m.GetBy(),
		At:       decodeTime(m.GetAt()),
		Message:  m.GetMessage(),
		Worst:    ha.Status(m.GetWorst()),
		Subjects: words[string](m.GetSubjects()),
	}
}

func encodeMuteRequest(r ha.MuteRequest) *hav1.MuteRequest {
	return &hav1.MuteRequest{Code: string(r.Code), Subject: r.Subject, For: encodeDuration(r.For), Message: r.Message}
}

func (d *decoder) muteRequest(m *hav1.MuteRequest) ha.MuteRequest {
	return ha.MuteRequest{Code: ha.Code(m.GetCode()), Subject: m.GetSubject(), For: m.GetFor().AsDuration(), Message: m.GetMessage()}
}

func encodeAcknowledgement(a ha.Acknowledgement) *hav1.Acknowledgement {
	return &hav1.Acknowledgement{Item: a.Item, Node: string(a.Node), By: a.By, At: encodeTime(a.At), Note: a.Note}
}

func (d *decoder) acknowledgement(m *hav1.Acknowledgement) ha.Acknowledgement {
	return ha.Acknowledgement{Item: m.GetItem(), Node: ha.NodeName(m.GetNode()), By: m.GetBy(), At: decodeTime(m.GetAt()), Note: m.GetNote()}
}

func encodeExplanation(e ha.Explanation) *hav1.Explanation {
	return &hav1.Explanation{
		At:         encodeTime(e.At),
		Target:     e.Target,
		Sid:        encodeSID(e.SID),
		Well:       e.Well,
		Summary:    e.Summary,
		Preferred:  string(e.Preferred),
		Node:       string(e.Node),
		Running:    e.Running,
		Registered: e.Registered,
		Request:    e.Request,
		State:      e.State,
		Reasons:    each(e.Reasons, encodeReason),
		Places:     each(e.Places, encodePlace),
		Rules:      words[string](e.Rules),
		Tasks:      each(e.Tasks, encodeTask),
		Events:     each(e.Events, encodeEvent),
		Findings:   each(e.Findings, encodeFinding),
		Next:       each(e.Next, encodeHint),
		Log:        words[string](e.Log),
	}
}

func (d *decoder) explanation(m *hav1.Explanation) ha.Explanation {
	return ha.Explanation{
		At:         decodeTime(m.GetAt()),
		Target:     m.GetTarget(),
		SID:        d.sid(m.GetSid()),
		Well:       m.GetWell(),
		Summary:    m.GetSummary(),
		Preferred:  ha.NodeName(m.GetPreferred()),
		Node:       ha.NodeName(m.GetNode()),
		Running:    m.GetRunning(),
		Registered: m.GetRegistered(),
		Request:    m.GetRequest(),
		State:      m.GetState(),
		Reasons:    each(m.GetReasons(), d.reason),
		Places:     each(m.GetPlaces(), d.place),
		Rules:      words[string](m.GetRules()),
		Tasks:      each(m.GetTasks(), d.task),
		Events:     each(m.GetEvents(), d.event),
		Findings:   each(m.GetFindings(), d.finding),
		Next:       each(m.GetNext(), d.hint),
		Log:        words[string](m.GetLog()),
	}
}

func encodeReason(r ha.Reason) *hav1.Reason {
	return &hav1.Reason{Subject: r.Subject, Text: r.Text}
}

func (d *decoder) reason(m *hav1.Reason) ha.Reason {
	return ha.Reason{Subject: m.GetSubject(), Text: m.GetText()}
}

func encodePlace(p ha.Place) *hav1.Place {
	return &hav1.Place{Node: string(p.Node), Ok: p.OK, Text: p.Text}
}

func (d *decoder) place(m *hav1.Place) ha.Place {
	return ha.Place{Node: ha.NodeName(m.GetNode()), OK: m.GetOk(), Text: m.GetText()}
}

func encodeTask(t ha.Task) *hav1.Task {
	return &hav1.Task{
		Upid: t.UPID, Node: string(t.Node), Type: t.Type, Id: t.ID,
		Started: encodeTime(t.Started), Ended: encodeTime(t.Ended), Status: t.Status,
	}
}

func (d *decoder) task(m *hav1.Task) ha.Task {
	return ha.Task{
		UPID: m.GetUpid(), Node: ha.NodeName(m.GetNode()), Type: m.GetType(), ID: m.GetId(),
		Started: decodeTime(m.GetStarted()), Ended: decodeTime(m.GetEnded()), Status: m.GetStatus(),
	}
}

func encodeHint(h ha.Hint) *hav1.Hint { return &hav1.Hint{Command: h.Command, Why: h.Why} }

func (d *decoder) hint(m *hav1.Hint) ha.Hint {
	return ha.Hint{Command: m.GetCommand(), Why: m.GetWhy()}
}
