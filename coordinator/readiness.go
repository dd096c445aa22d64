package coordinator

import (
	"context"
	"fmt"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// readyFor looks at the cluster anew and says what stands in the way of relying on HA now,
// by the minimum profile, for a project (nil: the stored one). accept are the codes whose
// findings the operator takes upon himself: those come back as accepted and belong into the
// journal, see acceptedText. The error is ctx's own or that nothing can be read at all.
func (c *Coordinator) readyFor(ctx context.Context, policy *ha.Policy, accept []ha.Code) (blockers, accepted []ha.Blocker, err error) {
	s, err := c.observe(ctx)
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	if err != nil && s.Inventory.At.IsZero() {
		return nil, nil, err
	}
	blockers, accepted = check.Blockers(s, policy, accept)
	return append(blockers, c.closed(s)...), accepted, nil
}

// acceptedText says in one sentence for the journal what somebody accepted; "" for nothing.
func acceptedText(by string, accepted []ha.Blocker) string {
	if len(accepted) == 0 {
		return ""
	}
	parts := make([]string, len(accepted))
	for k, b := range accepted {
		parts[k] = fmt.Sprintf("%s of %s (%s)", b.Code, b.Subject, b.Reason)
	}
	return fmt.Sprintf("%s goes on although HA is not ready, and accepts %s", someone(by), strings.Join(parts, ", "))
}
