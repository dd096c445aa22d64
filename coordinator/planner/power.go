package planner

import (
	"fmt"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// MayCutPower says why the power of a node must not be cut, each reason with its way out;
// none if it may be. It is a test, so nothing may hang on the node: it is drained, runs
// nothing that anybody knows of, and the others keep quorum without it.
func MayCutPower(node ha.NodeName, s ha.Snapshot) (deed ha.CutPower, why []string) {
	h, _ := s.Policy.Host(node)
	switch {
	case h.BMC == nil:
		why = append(why, fmt.Sprintf("network.yml declares no BMC of %s: management.hosts.%s.bmc", node, node))
	case h.BMC.Type == ha.BMCPDU:
		why = append(why, fmt.Sprintf("%s is fenced by a PDU, which does not speak IPMI: switch its outlet yourself", node))
	default:
		deed = ha.CutPower{Node: node, Address: h.BMC.Address, Secret: h.BMC.Secret}
	}
	m, open := s.OpenMaintenance(node)
	switch {
	case !open:
		why = append(why, fmt.Sprintf("%s is not in maintenance: psw maintenance start %s", node, node))
	case m.Phase != ha.Drained:
		why = append(why, fmt.Sprintf("the maintenance of %s is %s, not drained: psw maintenance watch %s", node, m.Phase, node))
	}
	if n, ok := s.Inventory.HA.Node(node); !ok || n.State != ha.NodeMaintenance {
		why = append(why, fmt.Sprintf("the HA manager does not keep %s in maintenance", node))
	}
	if guests := guestsOn(node, s); len(guests) > 0 {
		why = append(why, fmt.Sprintf("%s still runs %s: move or stop them", node, strings.Join(guests, ", ")))
	}
	if r, fresh := s.FreshReport(node); !fresh {
		why = append(why, fmt.Sprintf("%s does not report: what runs there is not known", node))
	} else if reason, blind := r.Failed(ha.ProbeGuests); blind {
		why = append(why, fmt.Sprintf("what runs on %s is not known: %s", node, reason))
	}
	return deed, append(why, quorumWithout(node, s)...)
}

func guestsOn(node ha.NodeName, s ha.Snapshot) []string {
	var list []string
	for _, g := range s.Inventory.Guests {
		if g.Node == node && g.Status == ha.GuestRunning {
			list = append(list, g.SID.String())
		}
	}
	if r, ok := s.Report(node); ok && len(list) == 0 {
		for _, g := range r.Running {
			list = append(list, g.SID.String())
		}
	}
	return list
}

// quorumWithout says why the cluster would lose quorum without a node, by what another
// node's corosync counts.
func quorumWithout(node ha.NodeName, s ha.Snapshot) []string {
	for _, r := range s.Reports {
		fresh, ok := s.FreshReport(r.Node)
		if _, blind := fresh.Failed(ha.ProbeCorosync); !ok || blind || r.Node == node || !fresh.Corosync.Running {
			continue
		}
		c := fresh.Corosync
		if !c.Quorate {
			return []string{fmt.Sprintf("%s has no quorum", r.Node)}
		}
		if c.Votes-1 < c.Quorum {
			return []string{fmt.Sprintf("the cluster would lose quorum: %d votes, %d needed, and %s has one of them", c.Votes, c.Quorum, node)}
		}
		return nil
	}
	return []string{"no other node tells whether the cluster would keep quorum"}
}

// ProofInWords tells a proof that ended: what is right, and what is wrong or not known; bad
// is empty if all is right.
func ProofInWords(p ha.Proof) (good, bad string) {
	var fine, faults []string
	for _, r := range p.Results {
		if wrong := p.Wrong(r); wrong != "" {
			faults = append(faults, fmt.Sprintf("%s: %s", r.Node, wrong))
		} else {
			fine = append(fine, string(r.Node))
		}
	}
	what := fmt.Sprintf("the BMC of %s answers", p.Subject)
	if p.Kind == ha.ProofStorage {
		what = fmt.Sprintf("storage %s is one and the same for", p.Subject)
	}
	if len(fine) == 0 {
		return what + " nobody", strings.Join(faults, "; ")
	}
	took := p.Ended.Sub(p.Began).Round(100 * time.Millisecond)
	return fmt.Sprintf("%s %s (in %s)", what, strings.Join(fine, ", "), took), strings.Join(faults, "; ")
}
