package cli

import (
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Who looks at the cluster while an operation is open sees it, and what of it waits for a
// person.
func TestStatusShowsWhatIsUnderWay(t *testing.T) {
	s := clusterStatus()
	s.Operations = []ha.OperationView{recovering()}
	golden(t, "status_operation", text(statusLines(style{}, s, false)))
}

func recovering() ha.OperationView {
	return ha.OperationView{
		Operation: ha.Operation{Kind: ha.OperationRecover, Target: "media", By: "anna", RequestedAt: time.Date(2026, 11, 28, 2, 10, 0, 0, time.UTC)},
		Waits: []ha.Wait{
			{Subject: "ct:102 (media)", Reason: "waiting for the HA manager to let go of it"},
			{Subject: "ct:102 (media)", Reason: "it is disabled, and nothing protects it, until you have mended it and said so", Blocked: true, Fix: "`psw ha recover media --mended` enables it"},
		},
	}
}
