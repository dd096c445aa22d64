package check

import (
	"fmt"
	"slices"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on the agents.
const (
	AgentSilent         ha.Code = "AGENT_SILENT"
	AgentSuperseded     ha.Code = "AGENT_SUPERSEDED"
	AgentVersionDiffers ha.Code = "AGENT_VERSION_DIFFERS"
	ClockSkew           ha.Code = "CLOCK_SKEW"
)

var agentChecks = slices.Concat([]Check{
	{Code: AgentSilent, Title: "the agent reports", Minimum: ha.Fail, Production: ha.Fail, Settle: slowSettle,
		DependsOn: []ha.Code{NodeNotMember, NodeOffline}, cluster: agentSilent},
	{Code: AgentSuperseded, Title: "the agent obeys this coordinator", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: []ha.Code{NodeNotMember, NodeOffline, AgentSilent}, cluster: agentSuperseded},
	{Code: AgentVersionDiffers, Title: "all agents are of one version", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: []ha.Code{NodeNotMember, NodeOffline, AgentSilent}, cluster: agentVersionDiffers},
	{Code: ClockSkew, Title: "the node's clock agrees with the coordinator's", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: []ha.Code{NodeNotMember, NodeOffline, AgentSilent}, cluster: clockSkew},
}, viewChecks)

// clockSkewMax: Proxmox calls a status from more than 2 s in the future a drift
// (pve-ha-manager 5.2.0, status API). A report's way here takes time as well, so twice
// that and a little is the least that cannot be the network.
const clockSkewMax = 5 * time.Second

func agentSilent(w *world) []verdict {
	var list []verdict
	for _, name := range w.nodes {
		remedy := fmt.Sprintf("on %s: systemctl status psw-agent; journalctl -u psw-agent -n 50", name)
		r, ever := w.s.Report(name)
		switch _, fresh := w.report(name); {
		case fresh:
			list = append(list, pass(string(name), "reported %s ago", span(w.s.At.Sub(r.Received))))
		case ever:
			list = append(list, broken(string(name), fmt.Sprintf("its last report is %s old; it should report every %s",
				span(w.s.At.Sub(r.Received)), span(ha.ReportInterval)), remedy))
		default:
			list = append(list, broken(string(name), "it has never reported to this coordinator", remedy))
		}
	}
	return list
}

// agentSuperseded compares generations: an agent that has met a newer coordinator
// refuses what we order, and we should not be giving orders at all.
func agentSuperseded(w *world) []verdict {
	var list []verdict
	us := w.s.Coordinator
	if us.ID == "" {
		return []verdict{unknown(clusterSubject, "it is not known which coordinator judges")}
	}
	for _, name := range w.nodes {
		r, ok := w.report(name)
		subject := string(name)
		switch {
		case !ok:
			list = append(list, unknown(subject, "there is no fresh report from %s", name))
		case r.Generation > us.Generation || r.Generation == us.Generation && r.Coordinator != us.ID:
			list = append(list, broken(subject, fmt.Sprintf("it obeys coordinator %s, generation %d; this is %s, generation %d",
				r.Coordinator, r.Generation, us.ID, us.Generation),
				"only one psw-coordinator may run: stop this one, or restart it so that it becomes the newer"))
		case r.Generation == 0:
			list = append(list, broken(subject, "it reports, but has accepted no coordinator: it will refuse orders",
				fmt.Sprintf("on %s: journalctl -u psw-agent says why; a first report may come before the acceptance, so look twice", name)))
		case r.Generation < us.Generation:
			list = append(list, passing(subject, "it reports but has accepted no order of generation %d yet", us.Generation))
		default:
			list = append(list, pass(subject, "generation %d", r.Generation))
		}
	}
	return list
}

func agentVersionDiffers(w *world) []verdict {
	return w.compareVersions("psw-agent", func(r ha.Report) (string, string) { return r.Agent, "" },
		func(name ha.NodeName) string {
			return fmt.Sprintf("on %s: apt update && apt install psw-agent", name)
		})
}

func clockSkew(w *world) []verdict {
	var list []verdict
	for _, name := range w.nodes {
		r, ok := w.report(name)
		subject := string(name)
		if !ok || r.Taken.IsZero() {
			list = append(list, unknown(subject, "there is no fresh report from %s", name))
			continue
		}
		skew := r.Received.Sub(r.Taken) - r.Took
		if max(skew, -skew) > clockSkewMax {
			list = append(list, broken(subject, fmt.Sprintf("its clock is about %s off", span(max(skew, -skew))),
				fmt.Sprintf("on %s: chronyc tracking; systemctl restart chrony", name)))
			continue
		}
		list = append(list, pass(subject, "within %s", span(clockSkewMax)))
	}
	return list
}

// compareVersions judges each node's version of something against the newest one seen.
// of returns the version, or why it is not known.
func (w *world) compareVersions(what string, of func(ha.Report) (version, why string), remedy func(ha.NodeName) string) []verdict {
	newest, on := "", ha.NodeName("")
	for _, name := range w.nodes {
		if r, ok := w.report(name); ok {
			if v, _ := of(r); compareVersion(newest, v) < 0 {
				newest, on = v, name
			}
		}
	}
	var list []verdict
	for _, name := range w.nodes {
		r, ok := w.report(name)
		version, why := of(r)
		switch {
		case !ok:
			list = append(list, unknown(string(name), "there is no fresh report from %s", name))
		case why != "":
			list = append(list, unknown(string(name), "%s", why))
		case version == "":
			list = append(list, unknown(string(name), "the version of %s is not known", what))
		case version != newest:
			list = append(list, broken(string(name), fmt.Sprintf("%s %s, but %s has %s", what, version, on, newest), remedy(name)))
		default:
			list = append(list, pass(string(name), "%s %s", what, version))
		}
	}
	return list
}
