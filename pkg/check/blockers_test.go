package check_test

import (
	"slices"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Nothing is known of a cluster nobody has looked at: that blocks, word by word, until the
// operator names each code.
func TestWhatIsUnknownBlocks(t *testing.T) {
	blockers, accepted := check.Blockers(ha.Snapshot{}, &ha.Policy{}, nil)
	if len(blockers) == 0 || len(accepted) != 0 {
		t.Fatalf("blockers %v, accepted %v: want blockers only", blockers, accepted)
	}
	var codes []ha.Code
	for _, b := range blockers {
		if b.Reason == "" || b.Fix == "" {
			t.Errorf("%s of %s blocks without a reason or a fix", b.Code, b.Subject)
		}
		codes = append(codes, b.Code)
	}
	if slices.Contains(codes, check.TargetNotRegistered) {
		t.Error("what registration mends stands in its way")
	}
	left, taken := check.Blockers(ha.Snapshot{}, &ha.Policy{}, codes)
	if len(left) != 0 || len(taken) != len(blockers) {
		t.Errorf("with every code accepted there remain %v, and %d of %d are accepted", left, len(taken), len(blockers))
	}
}
