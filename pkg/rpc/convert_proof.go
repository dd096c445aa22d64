package rpc

import (
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

func encodeStorageSight(s *ha.StorageSight) *hav1.StorageSight {
	if s == nil {
		return nil
	}
	return &hav1.StorageSight{
		Seen:       s.Seen,
		Written:    s.Written,
		ReadFault:  s.ReadFault,
		WriteFault: s.WriteFault,
		Lock:       string(s.Lock),
		MountPoint: s.MountPoint,
		Source:     s.Source,
		FsType:     s.FSType,
		ReadOnly:   s.ReadOnly,
		Fsid:       s.FSID,
		File:       s.File,
		Squashed:   s.Squashed,
		Took:       encodeDuration(s.Took),
	}
}

func (*decoder) storageSight(m *hav1.StorageSight) *ha.StorageSight {
	if m == nil {
		return nil
	}
	return &ha.StorageSight{
		Seen:       m.GetSeen(),
		Written:    m.GetWritten(),
		ReadFault:  m.GetReadFault(),
		WriteFault: m.GetWriteFault(),
		Lock:       ha.LockSight(m.GetLock()),
		MountPoint: m.GetMountPoint(),
		Source:     m.GetSource(),
		FSType:     m.GetFsType(),
		ReadOnly:   m.GetReadOnly(),
		FSID:       m.GetFsid(),
		File:       m.GetFile(),
		Squashed:   m.GetSquashed(),
		Took:       m.GetTook().AsDuration(),
	}
}

func encodePowerSight(s *ha.PowerSight) *hav1.PowerSight {
	if s == nil {
		return nil
	}
	return &hav1.PowerSight{State: string(s.State), Said: s.Said, Took: encodeDuration(s.Took)}
}

func (*decoder) powerSight(m *hav1.PowerSight) *ha.PowerSight {
	if m == nil {
		return nil
	}
	return &ha.PowerSight{State: ha.PowerState(m.GetState()), Said: m.GetSaid(), Took: m.GetTook().AsDuration()}
}

func encodeProof(p ha.Proof) *hav1.Proof {
	return &hav1.Proof{
		Kind:    string(p.Kind),
		Subject: p.Subject,
		Began:   encodeTime(p.Began),
		Ended:   encodeTime(p.Ended),
		By:      p.By,
		Reason:  p.Reason,
		Path:    p.Path,
		Nonce:   p.Nonce,
		Writer:  string(p.Writer),
		Address: encodeAddr(p.Address),
		Results: each(p.Results, encodeProofResult),
	}
}

func (d *decoder) proof(m *hav1.Proof) ha.Proof {
	return ha.Proof{
		Kind:    ha.ProofKind(m.GetKind()),
		Subject: m.GetSubject(),
		Began:   decodeTime(m.GetBegan()),
		Ended:   decodeTime(m.GetEnded()),
		By:      m.GetBy(),
		Reason:  m.GetReason(),
		Path:    m.GetPath(),
		Nonce:   m.GetNonce(),
		Writer:  ha.NodeName(m.GetWriter()),
		Address: d.addr(m.GetAddress()),
		Results: each(m.GetResults(), d.proofResult),
	}
}

func encodeProofResult(r ha.ProofResult) *hav1.ProofResult {
	return &hav1.ProofResult{
		Node:     string(r.Node),
		Asked:    encodeTime(r.Asked),
		Answered: encodeTime(r.Answered),
		Fault:    r.Fault,
		Storage:  encodeStorageSight(r.Storage),
		Power:    encodePowerSight(r.Power),
	}
}

func (d *decoder) proofResult(m *hav1.ProofResult) ha.ProofResult {
	return ha.ProofResult{
		Node:     ha.NodeName(m.GetNode()),
		Asked:    decodeTime(m.GetAsked()),
		Answered: decodeTime(m.GetAnswered()),
		Fault:    m.GetFault(),
		Storage:  d.storageSight(m.GetStorage()),
		Power:    d.powerSight(m.GetPower()),
	}
}

func (d *decoder) proofs(list []*hav1.Proof) []ha.Proof { return each(list, d.proof) }

func encodeProofRequest(r ha.ProofRequest) *hav1.ProveRequest {
	return &hav1.ProveRequest{Kind: string(r.Kind), Subjects: r.Subjects, Policy: encodePolicy(r.Policy)}
}

func (d *decoder) proofRequest(m *hav1.ProveRequest) ha.ProofRequest {
	return ha.ProofRequest{Kind: ha.ProofKind(m.GetKind()), Subjects: words[string](m.GetSubjects()), Policy: d.policy(m.GetPolicy())}
}

func encodePowerOffRequest(r ha.PowerOffRequest) *hav1.CutPowerRequest {
	return &hav1.CutPowerRequest{Node: string(r.Node), Policy: encodePolicy(r.Policy)}
}

func (d *decoder) powerOffRequest(m *hav1.CutPowerRequest) ha.PowerOffRequest {
	return ha.PowerOffRequest{Node: ha.NodeName(m.GetNode()), Policy: d.policy(m.GetPolicy())}
}
