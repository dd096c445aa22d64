package check

import (
	"fmt"
	"slices"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on fencing beyond the watchdog.
const (
	FencingUnreliable    ha.Code = "FENCING_UNRELIABLE"
	FencingMethodMissing ha.Code = "FENCING_METHOD_MISSING"
	FencingExperimental  ha.Code = "FENCING_EXPERIMENTAL"
	FenceNetworkShared   ha.Code = "FENCE_NETWORK_SHARED"
	SBDNotRunning        ha.Code = "SBD_NOT_RUNNING"
	SBDSlot              ha.Code = "SBD_SLOT"
	SBDTimeouts          ha.Code = "SBD_TIMEOUTS"
)

var fencingChecks = []Check{
	{Code: FencingUnreliable, Title: "no fencing relies on the node that is to be fenced", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: []ha.Code{PolicyMissing}, cluster: fencingUnreliable},
	{Code: FencingMethodMissing, Title: "every declared method of fencing has what it needs", Minimum: ha.Warn, Production: ha.Fail,
		DependsOn: []ha.Code{PolicyMissing}, cluster: fencingMethodMissing},
	{Code: FenceNetworkShared, Title: "the BMC is on a network of its own", Production: ha.Warn,
		DependsOn: []ha.Code{PolicyMissing, BMCUndeclared}, cluster: fenceNetworkShared},
	{Code: FencingExperimental, Title: "Proxmox fences by watchdog", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: nodeCauses, probes: []string{ha.ProbeFencing}, node: fencingExperimental},
	{Code: SBDNotRunning, Title: "SBD runs where it is declared", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: nodeCauses, probes: []string{ha.ProbeFencing}, node: sbdNotRunning},
	{Code: SBDSlot, Title: "the node has a clear slot on every SBD device", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: after(nodeCauses, SBDNotRunning), probes: []string{ha.ProbeFencing}, node: sbdSlot},
	{Code: SBDTimeouts, Title: "SBD's timeouts are as declared and leave time to die", Minimum: ha.Warn, Production: ha.Fail,
		DependsOn: after(nodeCauses, SBDNotRunning, SBDSlot), probes: []string{ha.ProbeFencing}, node: sbdTimeouts},
}

func (w *world) fences(m ha.FencingMethod) bool {
	f := w.policy.Cluster.Fencing
	return f != nil && slices.Contains(f.Methods, m)
}

func fencingUnreliable(w *world) []verdict {
	if w.fences(ha.FenceSSH) {
		return []verdict{broken(clusterSubject, "cluster.fencing.methods names ssh: a node that must be fenced does not answer, and an answer proves nothing",
			"write methods: [watchdog, ipmi] in network.yml")}
	}
	if f := w.policy.Cluster.Fencing; f != nil && len(f.Methods) > 0 {
		return []verdict{pass(clusterSubject, "%s", joined(f.Methods))}
	}
	return []verdict{pass(clusterSubject, "the watchdog alone, as Proxmox does by itself")}
}

func fencingMethodMissing(w *world) []verdict {
	ipmi, pdu := w.fences(ha.FenceIPMI), w.fences(ha.FencePDU)
	if !ipmi && !pdu {
		return []verdict{skip(clusterSubject, "network.yml declares neither ipmi nor pdu")}
	}
	var list []verdict
	for _, name := range w.policy.Cluster.Nodes {
		h, _ := w.policy.Host(name)
		isPDU := h.BMC != nil && h.BMC.Type == ha.BMCPDU
		var missing []string
		if ipmi && (h.BMC == nil || isPDU) {
			missing = append(missing, "ipmi")
		}
		if pdu && !isPDU {
			missing = append(missing, "pdu")
		}
		switch {
		case len(missing) == 0:
			list = append(list, pass(string(name), "%s", h.BMC.Address))
		case ipmi && pdu && len(missing) == 1: // one of the two is enough for a node
			list = append(list, pass(string(name), "%s", h.BMC.Address))
		default:
			list = append(list, broken(string(name), fmt.Sprintf("cluster.fencing.methods names %s, but the node has no such controller declared", joined(missing)),
				fmt.Sprintf("management.hosts.%s.bmc: {address: ADDRESS, secret: NAME} in network.yml", name)))
		}
	}
	return list
}

// fenceNetworkShared: what fences a node must not fail together with it, nor be within
// reach of its guests.
func fenceNetworkShared(w *world) []verdict {
	guests, known := w.policy.Cluster.Network(ha.NetworkGuests)
	const remedy = "give the management controllers a switch and a network of their own"
	var list []verdict
	for _, name := range w.policy.Cluster.Nodes {
		h, ok := w.policy.Host(name)
		subject := string(name)
		if !ok || h.BMC == nil {
			list = append(list, skip(subject, "no BMC is declared"))
			continue
		}
		k := slices.IndexFunc(h.Switches, func(p ha.Port) bool { return p.Switch == h.BMC.Switch })
		switch {
		case known && guests.Contains(h.BMC.Address):
			list = append(list, broken(subject, fmt.Sprintf("its BMC %s is in the guests' network %s: any guest can reach it", h.BMC.Address, guests), remedy))
		case h.BMC.Switch != "" && k >= 0:
			list = append(list, broken(subject, fmt.Sprintf("its BMC is plugged into %s, as is %s: when it fails, nobody can fence the node", h.BMC.Switch, h.Switches[k].Interface), remedy))
		case h.BMC.Switch != "" && len(h.Switches) > 0:
			list = append(list, pass(subject, "the BMC is on %s, the node on others", h.BMC.Switch))
		default:
			v := w.vouched(ha.AckFenceNetwork, "", subject, "nobody says which switch its BMC is plugged into", remedy)
			list = append(list, v)
		}
	}
	return list
}

// fencingExperimental: Proxmox's hardware fencing (fence.cfg, `fencing` of datacenter.cfg)
// has been called experimental for years; the watchdog is what it is built around.
func fencingExperimental(n node) verdict {
	f := n.Fencing
	const remedy = "pvesh set /cluster/options --fencing watchdog; keep BMCs for psw -C DIR ha fence-test and for people"
	switch {
	case f.Mode != "" && f.Mode != "watchdog":
		return broken("", fmt.Sprintf("fencing is %s in datacenter.cfg, which Proxmox calls experimental; /etc/pve/ha/fence.cfg names %s", f.Mode, number(len(f.Devices), "device")), remedy)
	case f.Configured:
		return passing("", "/etc/pve/ha/fence.cfg names %s, but fencing is watchdog: the file has no effect", number(len(f.Devices), "device"))
	}
	return pass("", "fencing is watchdog")
}

// sbdDeclared are the devices SBD should use; ok is false if it is not declared at all.
func (n node) sbdDeclared() (ha.SBD, bool) {
	f := n.w.policy.Cluster.Fencing
	if f != nil && f.SBD != nil {
		return *f.SBD, true
	}
	return ha.SBD{}, n.w.fences(ha.FenceSBD)
}

func sbdNotRunning(n node) verdict {
	declared, wanted := n.sbdDeclared()
	s := n.Fencing.SBD
	switch {
	case !wanted && !s.Configured:
		return skip("", "SBD is not used")
	case !s.Configured:
		return broken("", "network.yml declares sbd, but SBD_DEVICE of /etc/default/sbd names no device",
			fmt.Sprintf("apt install sbd; SBD_DEVICE=%s in /etc/default/sbd; systemctl enable --now sbd", declared.Device))
	case !s.Running:
		return broken("", "SBD is configured, but does not run: nobody would read this node's slot", "systemctl enable --now sbd; journalctl -u sbd -n 20")
	case declared.Device != "" && !slices.ContainsFunc(s.Devices, func(d ha.SBDDevice) bool { return d.Path == declared.Device }):
		return broken("", fmt.Sprintf("SBD does not use %s, which network.yml declares", declared.Device),
			fmt.Sprintf("SBD_DEVICE=%s in /etc/default/sbd; systemctl restart sbd", declared.Device))
	}
	return pass("", "%s", number(len(s.Devices), "device"))
}

func sbdSlot(n node) verdict {
	s := n.Fencing.SBD
	if _, wanted := n.sbdDeclared(); !wanted && !s.Configured {
		return skip("", "SBD is not used")
	}
	if len(s.Devices) == 0 {
		return unknown("", "SBD shows no device")
	}
	for _, d := range s.Devices {
		k := slices.IndexFunc(d.Slots, func(slot ha.SBDSlot) bool { return slot.Node == n.Node })
		switch {
		case d.Error != "":
			return broken("", fmt.Sprintf("%s cannot be read: %s", d.Path, d.Error), fmt.Sprintf("sbd -d %s dump; is the disk there, and was it made with sbd create?", d.Path))
		case k < 0:
			return broken("", fmt.Sprintf("%s has no slot for this node: it cannot be told to die", d.Path), fmt.Sprintf("sbd -d %s allocate %s; systemctl restart sbd", d.Path, n.Node))
		case d.Slots[k].Message != "clear":
			return broken("", fmt.Sprintf("the slot of this node on %s says %q, from %s: SBD will not start here before it is clear", d.Path, d.Slots[k].Message, d.Slots[k].From),
				fmt.Sprintf("find out who fenced it and why; then sbd -d %s message %s clear", d.Path, n.Node))
		}
	}
	return pass("", "clear on %s", number(len(s.Devices), "device"))
}

// sbdTimeouts: whoever sends the message waits msgwait and then believes that the node is
// gone; the node needs its watchdog timeout for that, and the disk may be slow twice.
func sbdTimeouts(n node) verdict {
	declared, wanted := n.sbdDeclared()
	s := n.Fencing.SBD
	if !wanted && !s.Configured {
		return skip("", "SBD is not used")
	}
	if len(s.Devices) == 0 {
		return unknown("", "SBD shows no device")
	}
	for _, d := range s.Devices {
		remedy := fmt.Sprintf("with SBD stopped on every node: sbd -d %s -1 %d -4 %d create", d.Path,
			int(max(declared.WatchdogTimeout.Seconds(), 60)), int(max(declared.MsgWait.Seconds(), 120)))
		switch {
		case d.Error != "" || d.TimeoutWatchdog <= 0 || d.TimeoutMsgwait <= 0:
			return unknown("", "%s does not tell its timeouts", d.Path)
		case d.TimeoutMsgwait < 2*d.TimeoutWatchdog:
			return broken("", fmt.Sprintf("%s: msgwait %s is less than twice the watchdog timeout %s: a node may be thought dead while it writes", d.Path, span(d.TimeoutMsgwait), span(d.TimeoutWatchdog)), remedy)
		case declared.WatchdogTimeout > 0 && declared.WatchdogTimeout != d.TimeoutWatchdog || declared.MsgWait > 0 && declared.MsgWait != d.TimeoutMsgwait:
			return broken("", fmt.Sprintf("%s: watchdog %s and msgwait %s, network.yml says %s and %s", d.Path, span(d.TimeoutWatchdog), span(d.TimeoutMsgwait),
				span(declared.WatchdogTimeout), span(declared.MsgWait)), remedy)
		}
	}
	return pass("", "watchdog %s, msgwait %s", span(s.Devices[0].TimeoutWatchdog), span(s.Devices[0].TimeoutMsgwait))
}
