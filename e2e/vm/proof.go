package vm

import (
	"context"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Storage is the shared storage's name in Proxmox, sharedPath where it is mounted.
const (
	Storage    = "shared"
	sharedPath = "/mnt/shared"
)

// proofMax is how long a proof may take: an agent that does not answer is waited for for 50 s.
const proofMax = 2 * time.Minute

// Prove does what `psw ha prove shared` does: one agent writes a word on the storage under
// a lock, every other looks for it. A proof that the coordinator had begun by itself before
// this was asked for says nothing of what the story has just done, and is waited out.
func (l *Lab) Prove() ha.Proof {
	l.t.Helper()
	asked := time.Now()
	ctx, cancel := context.WithTimeout(l.t.Context(), proofMax)
	defer cancel()
	for {
		var last ha.Proof
		l.must(l.c.Prove(ctx, ha.ProofRequest{Kind: ha.ProofStorage, Subjects: []string{Storage}, Policy: policy()}, func(list []ha.Proof) error {
			last = list[0]
			return nil
		}))
		if last.Began.After(asked) && !last.Open() {
			l.t.Logf("%6.1f s  the proof of %s, written by %s", time.Since(asked).Seconds(), Storage, last.Writer)
			return last
		}
	}
}
