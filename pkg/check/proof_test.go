package check_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// healthyProofs: three hours ago node1 wrote on the shared storage and the others read it,
// and everybody asked everybody else's BMC.
func healthyProofs() []ha.Proof {
	nodes := []ha.NodeName{"node1", "node2", "node3"}
	then := noon.Add(-3 * time.Hour)
	storage := ha.Proof{Kind: ha.ProofStorage, Subject: "psw", Began: then, Ended: then.Add(time.Second), Path: "/mnt/shared", Writer: "node1"}
	var proofs []ha.Proof
	for k, n := range nodes {
		storage.Results = append(storage.Results, ha.ProofResult{Node: n, Asked: then, Answered: then, Storage: &ha.StorageSight{
			Seen: true, Written: true, Lock: ha.LockGiven, MountPoint: "/mnt/shared", Source: "10.10.0.50:/mnt/pool/psw", FSType: "nfs4", FSID: "a1:b2", File: 77}})
		fence := ha.Proof{Kind: ha.ProofFence, Subject: string(n), Began: then, Ended: then.Add(time.Second), Address: netip.AddrFrom4([4]byte{10, 20, 0, byte(k + 1)})}
		for _, other := range nodes {
			if other != n {
				fence.Results = append(fence.Results, ha.ProofResult{Node: other, Asked: then, Answered: then, Power: &ha.PowerSight{State: ha.PowerOn}})
			}
		}
		proofs = append(proofs, fence)
	}
	return append(proofs, storage)
}

// storageSight is what a node met on the shared storage, to be changed; on a snapshot made
// by healthy, whose proofs nobody else holds.
func storageSight(name ha.NodeName, change func(s *ha.StorageSight)) func(s *ha.Snapshot) {
	return func(s *ha.Snapshot) {
		for k := range s.Proofs[3].Results {
			if r := &s.Proofs[3].Results[k]; r.Node == name {
				change(r.Storage)
			}
		}
	}
}

// bmcCell is what from met at the BMC of node1.
func bmcCell(from ha.NodeName, change func(r *ha.ProofResult)) func(s *ha.Snapshot) {
	return func(s *ha.Snapshot) {
		for k := range s.Proofs[0].Results {
			if r := &s.Proofs[0].Results[k]; r.Node == from {
				change(r)
			}
		}
	}
}

var proofStories = map[ha.Code]story{
	check.StorageNotProvedShared: {
		wrong:   func(s *ha.Snapshot) { s.Proofs[3].Ended = noon.Add(-72 * time.Hour) },
		subject: "psw", says: "last tried", blind: func(s *ha.Snapshot) { s.Proofs = s.Proofs[:3] },
	},
	check.StorageProvedNotShared: {
		wrong: storageSight("node2", func(s *ha.StorageSight) {
			s.Seen, s.Written, s.MountPoint, s.FSType, s.Source = false, false, "/", "ext4", "/dev/mapper/pve-root"
			s.ReadFault = "nothing is mounted"
		}),
		subject: "node2", says: "/mnt/shared is a folder of node2's own disk", blind: unread("storages"), blindOn: "cluster",
	},
	check.FilesystemIDDiffers: {
		wrong:   storageSight("node3", func(s *ha.StorageSight) { s.FSID = "c3:d4" }),
		subject: "psw", says: "node3 has id c3:d4", blind: unread("storages"), blindOn: "cluster",
	},
	check.StorageNoLocks: {
		wrong:   storageSight("node3", func(s *ha.StorageSight) { s.Lock = ha.LockNone }),
		subject: "psw", says: "node3: no lock was given", blind: unread("storages"), blindOn: "cluster",
	},
	check.FenceNotTested: {
		wrong:   func(s *ha.Snapshot) { s.Proofs[0].Ended = noon.Add(-72 * time.Hour) },
		subject: "node1", says: "last tried", blind: func(s *ha.Snapshot) { s.Proofs = s.Proofs[1:] },
	},
	check.FenceUnreachable: {
		wrong: bmcCell("node3", func(r *ha.ProofResult) {
			r.Power, r.Fault = nil, "the BMC of node1 at 10.20.0.1: Unable to establish IPMI v2 / RMCP+ session"
		}),
		subject: "node1", says: "node3 -> node1: the BMC of node1", blind: unread("nodes"), blindOn: "cluster",
	},
	check.BMCPowerUnknown: {
		wrong:   bmcCell("node3", func(r *ha.ProofResult) { r.Power.State = ha.PowerOff }),
		subject: "node1", says: "it is another machine's", blind: unread("nodes"), blindOn: "cluster",
	},
}

// unsharedWays is what a node may meet on a storage that should be shared, and what is said
// of it.
var unsharedWays = map[string]struct {
	sight  func(s *ha.StorageSight)
	says   string
	remedy string
}{
	"another export": {func(s *ha.StorageSight) {
		s.Seen, s.Source, s.ReadFault = false, "10.10.0.50:/mnt/pool/old", "not there"
	},
		"node2 mounts 10.10.0.50:/mnt/pool/old on /mnt/shared, node1 mounts 10.10.0.50:/mnt/pool/psw", "findmnt"},
	"read-only": {func(s *ha.StorageSight) { s.Written, s.ReadOnly, s.WriteFault = false, true, "read-only file system" },
		"mounted read-only", "umount"},
	"root squash": {func(s *ha.StorageSight) { s.Written, s.WriteFault = false, "permission denied" },
		"cannot write: permission denied", "no_root_squash"},
	"stale mount": {func(s *ha.StorageSight) { s.Seen, s.Written, s.ReadFault = false, false, "stale NFS file handle" },
		"is stale", "umount -l"},
	"a server that mixes things up": {func(s *ha.StorageSight) {
		s.Seen, s.ReadFault = false, "it holds 5 bytes that are not what the other node wrote"
	},
		"node2 does not see what node1 wrote", "findmnt"},
}

func TestEachWayNotToBeSharedIsNamed(t *testing.T) {
	for name, tt := range unsharedWays {
		t.Run(name, func(t *testing.T) {
			s := healthy()
			storageSight("node2", tt.sight)(&s)
			f, _ := find(check.Judge(s, ha.CheckRequest{}), check.StorageProvedNotShared, "node2")
			if f.Status != ha.Fail || !strings.Contains(f.Evidence, tt.says) || !strings.Contains(f.Remedy, tt.remedy) {
				t.Errorf("%s: %q (%q), want FAIL with %q and %q", f.Status, f.Evidence, f.Remedy, tt.says, tt.remedy)
			}
		})
	}
}

// Nobody can write: then there is no writer, and everybody is named.
func TestAStorageNobodyCanWriteToIsNotShared(t *testing.T) {
	s := healthy()
	nobodyWrites(&s)
	for _, n := range []string{"node1", "node2", "node3"} {
		f, _ := find(check.Judge(s, ha.CheckRequest{}), check.StorageProvedNotShared, n)
		if f.Status != ha.Fail || !strings.Contains(f.Evidence, "nobody can write to storage psw") {
			t.Errorf("%s: %s %q", n, f.Status, f.Evidence)
		}
	}
}

func nobodyWrites(s *ha.Snapshot) {
	s.Proofs[3].Writer = ""
	for k := range s.Proofs[3].Results {
		*s.Proofs[3].Results[k].Storage = ha.StorageSight{MountPoint: "/mnt/shared", FSType: "nfs4", WriteFault: "no space left on device"}
	}
}

// A node whose agent could not be asked has proved nothing.
func TestANodeThatDidNotTryIsUnknown(t *testing.T) {
	s := healthy()
	r := &s.Proofs[3].Results[2]
	r.Storage, r.Fault = nil, "its agent is not connected"
	f, _ := find(check.Judge(s, ha.CheckRequest{}), check.StorageNotProvedShared, "psw")
	if f.Status != ha.Unknown || !strings.Contains(f.Evidence, "node3: its agent is not connected") {
		t.Errorf("%s %q, want UNKNOWN naming node3", f.Status, f.Evidence)
	}
}

// A BMC that nobody has asked is not reached, and tells nothing of its node: neither is PASS.
// Nor is it unreachable when an agent, or the coordinator, was restarted before it answered.
func TestABMCThatNobodyAskedIsNotReached(t *testing.T) {
	for fault, asked := range map[string]time.Time{"its agent is not connected": {}, "the coordinator was restarted meanwhile": noon.Add(-3 * time.Hour)} {
		s := healthy()
		for k := range s.Proofs[0].Results {
			r := &s.Proofs[0].Results[k]
			r.Asked, r.Answered, r.Power, r.Fault = asked, time.Time{}, nil, fault
		}
		verdict := check.Judge(s, ha.CheckRequest{Profile: check.Production})
		for code, want := range map[ha.Code]ha.Status{check.FenceNotTested: ha.Unknown, check.FenceUnreachable: ha.Skip, check.BMCPowerUnknown: ha.Skip} {
			if f, _ := find(verdict, code, "node1"); f.Status != want {
				t.Errorf("%s: %s is %s, want %s: %s", fault, code, f.Status, want, f.Evidence)
			}
		}
	}
}

// A write that takes longer than a round waits for it is none that hangs: what the last one
// met counts, until it has been away for long.
func TestAWriteThatIsUnderWay(t *testing.T) {
	for _, tt := range []struct {
		stuck  time.Duration
		at     time.Time
		status ha.Status
	}{
		{900 * time.Millisecond, noon.Add(-time.Minute), ha.Pass},
		{900 * time.Millisecond, time.Time{}, ha.Unknown},
		{11 * time.Second, noon.Add(-time.Minute), ha.Fail},
	} {
		s := healthy()
		mount("node2", func(m *ha.Mount) { m.Write.Stuck, m.Write.At = tt.stuck, tt.at })(&s)
		if f, _ := find(check.Judge(s, ha.CheckRequest{}), check.NFSWriteFailed, "node2"); f.Status != tt.status {
			t.Errorf("away for %s, the last one at %s: %s, want %s: %s", tt.stuck, tt.at, f.Status, tt.status, f.Evidence)
		}
	}
}
