package cli

import (
	"context"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

func (w *world) Prove(_ context.Context, r ha.ProofRequest, fn func([]ha.Proof) error) error {
	w.turn("prove "+string(r.Kind), 1)
	if w.untried != nil {
		return w.untried
	}
	return fn(w.proofs)
}

func (w *world) Proofs(context.Context) ([]ha.Proof, error) { return w.proofs, nil }

func (w *world) CutPower(_ context.Context, r ha.PowerOffRequest) (ha.ProofResult, error) {
	w.turn("cut the power of "+string(r.Node), 1)
	if w.refuse != nil {
		return ha.ProofResult{}, w.refuse
	}
	return ha.ProofResult{Node: "node2", Power: &ha.PowerSight{State: ha.PowerOff, Took: 3200 * time.Millisecond}}, nil
}

// storageProofs: node2's NFS did not mount, node3 is fine.
func storageProofs() []ha.Proof {
	shared := func(n ha.NodeName) ha.ProofResult {
		return ha.ProofResult{Node: n, Answered: at("14:00:01"), Storage: &ha.StorageSight{Seen: true, Written: true, Lock: ha.LockGiven,
			MountPoint: "/mnt/shared", Source: "10.10.0.50:/mnt/pool/psw", FSType: "nfs4", FSID: "a1:b2", File: 7}}
	}
	return []ha.Proof{{Kind: ha.ProofStorage, Subject: "psw", Began: at("14:00:00"), Ended: at("14:00:02"), Path: "/mnt/shared", Writer: "node1",
		Results: []ha.ProofResult{shared("node1"),
			{Node: "node2", Answered: at("14:00:01"), Storage: &ha.StorageSight{MountPoint: "/", Source: "/dev/mapper/pve-root", FSType: "ext4",
				ReadFault: "nothing is mounted on /mnt/shared: it is a folder of / (ext4 on /dev/mapper/pve-root)"}},
			shared("node3")}}}
}

// fenceProofs: node3 does not reach node1's BMC.
func fenceProofs() []ha.Proof {
	on := func(n ha.NodeName) ha.ProofResult {
		return ha.ProofResult{Node: n, Answered: at("14:00:01"), Power: &ha.PowerSight{State: ha.PowerOn, Took: 300 * time.Millisecond}}
	}
	proof := func(subject string, results ...ha.ProofResult) ha.Proof {
		return ha.Proof{Kind: ha.ProofFence, Subject: subject, Began: at("14:00:00"), Ended: at("14:00:07"), Results: results}
	}
	return []ha.Proof{
		proof("node1", on("node2"), ha.ProofResult{Node: "node3", Fault: "the BMC of node1 at 10.20.0.11: ipmitool: exit status 1: Error: Unable to establish IPMI v2 / RMCP+ session"}),
		proof("node2", on("node1"), on("node3")), proof("node3", on("node1"), on("node2")),
	}
}
