package cli

import (
	"fmt"
	"strings"

	"github.com/casaeureka/psw-ha/coordinator/forecast"
	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/project"
)

// declaredCapacity judges by what is declared whether the cluster has room for everybody
// when any one node is lost. What it finds are warnings, never faults: memory that is
// declared is not memory in use, and hardware.yml rounds up.
func declaredCapacity(p *project.Project) []project.Fault {
	protected := false
	for _, t := range p.Policy.Targets {
		protected = protected || t.HA
	}
	if !protected || len(p.Policy.Cluster.Nodes) < 2 {
		return nil
	}
	var unknown []string
	for _, n := range p.Policy.Cluster.Nodes {
		if h, ok := p.Policy.Host(n); !ok || h.Capacity == nil || h.Capacity.Memory <= 0 {
			unknown = append(unknown, "nodes/"+string(n)+"/hardware.yml")
		}
	}
	if len(unknown) > 0 {
		return []project.Fault{{Status: ha.Notice, File: "network.yml",
			Text: "whether the cluster has room when a node is lost is not judged: the memory of its nodes is not known",
			Fix:  "put the inventory of each node there: " + strings.Join(unknown, ", ") + "; or ask the running cluster: psw ha capacity"}}
	}
	s, missing := forecast.Declared(p.Policy)
	var out []project.Fault
	for _, m := range missing {
		out = append(out, project.Fault{Status: ha.Notice, File: "network.yml", Text: "capacity is judged without it: " + m, Fix: "declare its memory, in MiB"})
	}
	report, err := forecast.Capacity(s, forecast.DefaultCapacity())
	if err != nil {
		return append(out, project.Fault{Status: ha.Notice, File: "network.yml", Text: fmt.Sprintf("capacity is not judged: %v", err), Fix: "ask the running cluster: psw ha capacity"})
	}
	for _, l := range report.Losses {
		if f, bad := lossWarning(l); bad {
			out = append(out, f)
		}
	}
	return out
}

// lossWarning is the warning that a loss deserves: nobody could place everybody, or
// somebody could but Proxmox will not.
func lossWarning(l forecast.Loss) (project.Fault, bool) {
	names := make([]string, len(l.Nodes))
	for k, n := range l.Nodes {
		names[k] = string(n)
	}
	f := project.Fault{Status: ha.Warn, File: "network.yml", Fix: "more memory, fewer or smaller targets, or another preferred node"}
	if len(l.Fixes) > 0 {
		f.Fix = l.Fixes[0].Text
	}
	switch {
	case !l.Quorate || l.Guests == 0:
		return f, false // quorum is a warning of its own
	case l.Could != forecast.Fits:
		f.Text = fmt.Sprintf("when %s is lost, its targets do not all fit on the others: %s", strings.Join(names, ", "), l.Why)
	case l.Will != "" && l.Will != forecast.Fits:
		f.Text = fmt.Sprintf("when %s is lost, its targets fit on the others, but not where Proxmox puts them: %s", strings.Join(names, ", "), strings.Join(l.WillWhy, "; "))
	default:
		return f, false
	}
	return f, true
}
