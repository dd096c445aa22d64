package ha_test

import (
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// What a node met is told in one way, and what it does not tell is never taken for well.
func TestWhatIsWrongWithAProof(t *testing.T) {
	storage, fence := ha.Proof{Kind: ha.ProofStorage}, ha.Proof{Kind: ha.ProofFence}
	for _, tt := range []struct {
		proof ha.Proof
		met   ha.ProofResult
		want  string
	}{
		{storage, ha.ProofResult{Storage: &ha.StorageSight{Seen: true, Written: true}}, ""},
		{storage, ha.ProofResult{Fault: "its agent is not connected"}, "its agent is not connected"},
		{storage, ha.ProofResult{}, "it has not answered"},
		{storage, ha.ProofResult{Power: &ha.PowerSight{State: ha.PowerOn}}, "it has not answered"},
		{storage, ha.ProofResult{Storage: &ha.StorageSight{ReadFault: "stale file handle"}}, "stale file handle"},
		{storage, ha.ProofResult{Storage: &ha.StorageSight{WriteFault: "no space left on device"}}, "no space left on device"},
		{storage, ha.ProofResult{Storage: &ha.StorageSight{}}, "it does not see the word"},
		{storage, ha.ProofResult{Storage: &ha.StorageSight{Seen: true, WriteFault: "permission denied"}}, "it cannot write there: permission denied"},
		{storage, ha.ProofResult{Storage: &ha.StorageSight{Seen: true}}, "it cannot write there: its agent does not say why"},
		{fence, ha.ProofResult{Power: &ha.PowerSight{State: ha.PowerOff}}, ""},
		{fence, ha.ProofResult{Storage: &ha.StorageSight{Seen: true, Written: true}}, "it has not answered"},
		{fence, ha.ProofResult{Power: &ha.PowerSight{State: ha.PowerUnknown, Said: "soft-off"}}, "soft-off"},
		{fence, ha.ProofResult{Power: &ha.PowerSight{}}, "the BMC does not tell whether there is power"},
	} {
		if got := tt.proof.Wrong(tt.met); got != tt.want {
			t.Errorf("%s: %+v: %q, want %q", tt.proof.Kind, tt.met, got, tt.want)
		}
	}
}
