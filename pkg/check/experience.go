package check

import (
	"fmt"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// FailoverUnseen is the code of the check on experience.
const FailoverUnseen ha.Code = "FAILOVER_UNSEEN"

// What is configured right and checked may still not work. This one asks for what was seen.
var experienceChecks = []Check{
	{Code: FailoverUnseen, Title: "a failover was seen to work", Minimum: ha.Notice, Production: ha.Warn, cluster: failoverUnseen},
}

func failoverUnseen(w *world) []verdict {
	fence, over := w.s.Witnessed.Fence, w.s.Witnessed.Failover
	const remedy = "try it, with a guest that may fail: psw ha simulate --fail NODE tells what to expect, then pull the node's plug and follow psw ha events --follow"
	fenced := "no fence was ever seen"
	if !fence.At.IsZero() {
		fenced = fmt.Sprintf("%s was fenced %s ago", fence.Node, span(w.s.At.Sub(fence.At)))
	}
	switch age := w.s.At.Sub(over.At); {
	case over.At.IsZero():
		return []verdict{broken(clusterSubject, "never tested: everything above was configured and checked, but no guest was seen to start elsewhere after its node was lost; "+fenced, remedy)}
	case age > ha.RecordAgeMax:
		return []verdict{broken(clusterSubject, fmt.Sprintf("the last failover was seen %s ago (%s, from %s to %s); try it every quarter and after each larger update", span(age), over.SID, over.From, over.To), remedy)}
	default:
		took := ""
		if !over.Lost.IsZero() {
			took = fmt.Sprintf(", %s after %s was lost", span(over.At.Sub(over.Lost)), over.From)
		}
		return []verdict{pass(clusterSubject, "%s ago %s was started on %s instead of %s%s; %s", span(age), over.SID, over.To, over.From, took, fenced)}
	}
}
