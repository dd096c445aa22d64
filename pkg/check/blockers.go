package check

import (
	"cmp"
	"slices"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// mendedByApply are what registering the declared targets puts right: they cannot stand in
// the way of it.
var mendedByApply = []ha.Code{
	TargetNotRegistered, TargetRequestState, TargetFailback, TargetPreferenceMissing, TargetNotConfined,
}

// Blockers are what stands in the way of relying on HA now, so that targets may be put
// under it: every finding of the minimum profile that is FAIL or UNKNOWN, but for those
// that registration itself mends. What an operator accepts by its code is returned apart:
// it does not block, and whoever goes on says so in the journal.
func Blockers(s ha.Snapshot, policy *ha.Policy, accept []ha.Code) (blockers, accepted []ha.Blocker) {
	if policy != nil {
		s.Policy = *policy
	}
	for _, f := range Judge(s, ha.CheckRequest{Profile: Minimum}).Findings {
		if f.Status != ha.Fail && f.Status != ha.Unknown || slices.Contains(mendedByApply, f.Code) {
			continue
		}
		b := ha.Blocker{Code: f.Code, Subject: f.Subject, Reason: cmp.Or(f.Evidence, f.Title), Fix: cmp.Or(f.Remedy, "docs/checks.md#"+Anchor(f.Code))}
		if f.Status == ha.Unknown {
			b.Reason = "not known whether " + f.Title + ": " + cmp.Or(f.Evidence, "nobody could look")
		}
		if slices.Contains(accept, f.Code) {
			accepted = append(accepted, b)
		} else {
			blockers = append(blockers, b)
		}
	}
	return blockers, accepted
}
