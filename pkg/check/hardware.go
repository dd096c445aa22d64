package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on the machines themselves.
const (
	KVMMissing          ha.Code = "KVM_MISSING"
	CPUDiffers          ha.Code = "CPU_DIFFERS"
	KernelDiffers       ha.Code = "KERNEL_DIFFERS"
	RebootNeeded        ha.Code = "REBOOT_NEEDED"
	ClockUnsynchronized ha.Code = "CLOCK_UNSYNCHRONIZED"
)

var hardwareChecks = []Check{
	{Code: KVMMissing, Title: "the CPU runs virtual machines", Minimum: ha.Warn, Production: ha.Fail,
		DependsOn: nodeCauses, probes: []string{ha.ProbeHardware}, node: kvmMissing},
	{Code: CPUDiffers, Title: "all nodes have the same CPU features", Minimum: ha.Notice, Production: ha.Warn,
		DependsOn: nodeCauses, cluster: cpuDiffers},
	{Code: KernelDiffers, Title: "all nodes run the newest kernel among them", Minimum: ha.Notice, Production: ha.Warn,
		DependsOn: nodeCauses, cluster: kernelDiffers},
	{Code: RebootNeeded, Title: "the node runs its newest kernel", Minimum: ha.Notice, Production: ha.Warn,
		DependsOn: nodeCauses, probes: []string{ha.ProbeHardware, ha.ProbeSystem}, node: rebootNeeded},
	{Code: ClockUnsynchronized, Title: "something keeps the node's clock right", Minimum: ha.Warn, Production: ha.Fail, Settle: slowSettle,
		DependsOn: nodeCauses, probes: []string{ha.ProbeClock}, node: clockUnsynchronized},
}

// machine returns what is known of the node's hardware, or an UNKNOWN to answer with.
func (w *world) machine(name ha.NodeName) (ha.Hardware, verdict, bool) {
	r, why, ok := w.answered(name, ha.ProbeHardware)
	switch {
	case !ok:
		return ha.Hardware{}, unknown(string(name), "%s", why), false
	case r.Hardware.CPUFlags == "" && r.Hardware.CPUModel == "":
		return ha.Hardware{}, unknown(string(name), "the agent does not tell which CPU it has"), false
	}
	return r.Hardware, verdict{}, true
}

func kvmMissing(n node) verdict {
	h := n.Hardware
	switch {
	case h.CPUModel == "" && h.CPUFlags == "":
		return unknown("", "the agent does not tell which CPU it has")
	case !h.Virtualization:
		return broken("", fmt.Sprintf("%s offers neither vmx nor svm: virtual machines with KVM do not start here", orNone(h.CPUModel)),
			"switch virtualization (VT-x, AMD-V, SVM) on in the BIOS; inside a virtual machine: allow it to nest")
	}
	return pass("", "%s", h.CPUModel)
}

// cpuDiffers: a guest that sees the host's own CPU, or a model the other node lacks, does
// not move there alive. That it starts there at all is TARGET_CPU's to say.
func cpuDiffers(w *world) []verdict {
	byFlags := map[string][]ha.NodeName{}
	for _, name := range w.nodes {
		if h, _, ok := w.machine(name); ok {
			byFlags[h.CPUFlags] = append(byFlags[h.CPUFlags], name)
		}
	}
	// The reference is what most nodes have; of equally many, what the first node has.
	usual := ""
	for _, name := range w.nodes {
		if h, _, ok := w.machine(name); ok && (usual == "" || len(byFlags[h.CPUFlags]) > len(byFlags[usual])) {
			usual = h.CPUFlags
		}
	}
	var list []verdict
	for _, name := range w.nodes {
		h, v, ok := w.machine(name)
		switch {
		case !ok:
			list = append(list, v)
		case h.CPUFlags != usual:
			other, _, _ := w.machine(byFlags[usual][0])
			list = append(list, broken(string(name), fmt.Sprintf("%s (x86-64-v%d), but %s has %s (x86-64-v%d): a guest with cpu: host cannot move between them alive",
				h.CPUModel, h.CPULevel, joined(byFlags[usual]), other.CPUModel, other.CPULevel),
				fmt.Sprintf("give guests that move a model both have: qm set ID --cpu x86-64-v%d%s", min(h.CPULevel, other.CPULevel), aes(h, other))))
		default:
			list = append(list, pass(string(name), "%s", h.CPUModel))
		}
	}
	return list
}

// aes completes the name of Proxmox's own model: level 2 and up come with AES, and every
// CPU since 2010 has it.
func aes(a, b ha.Hardware) string {
	if level := min(a.CPULevel, b.CPULevel); level == 2 {
		return "-AES"
	}
	return ""
}

func kernelDiffers(w *world) []verdict {
	return w.compareVersions("kernel", systemVersion(func(s ha.System) string { return s.Kernel }), upgrade)
}

func rebootNeeded(n node) verdict {
	newest, running := n.Hardware.NewestKernel, n.System.Kernel
	switch {
	case newest == "" || running == "":
		return unknown("", "it is not known which kernels there are")
	case newest != running:
		return broken("", fmt.Sprintf("it runs %s, installed is %s: the next boot, which may be a fencing, brings another kernel", running, newest),
			fmt.Sprintf("psw -C DIR maintenance start %s, reboot, maintenance end %s", n.Node, n.Node))
	}
	return pass("", "%s", running)
}

// clockOffsetMax: beyond it Proxmox calls a status of another node a drift, at 2 s
// (pve-ha-manager 5.2.0); half a second is noticed early enough.
const clockOffsetMax = 500 * time.Millisecond

func clockUnsynchronized(n node) verdict {
	c := n.Clock
	remedy := "apt install chrony; chronyc sources; chronyc makestep on a node without HA guests"
	daemon := c.Daemon
	switch {
	case c == (ha.Clock{}):
		return unknown("", "the agent does not tell how the clock is kept")
	case !c.Synchronized && daemon == "":
		return broken("", "nothing keeps the clock: no chrony, no systemd-timesyncd, no ntpd runs", remedy)
	case !c.Synchronized:
		return broken("", daemon+" runs, but the kernel says that the clock is not synchronized", remedy)
	case max(c.Offset, -c.Offset) > clockOffsetMax:
		return broken("", fmt.Sprintf("the clock is %s off and being steered", span(max(c.Offset, -c.Offset))), remedy)
	}
	return pass("", "%s", strings.TrimSpace(daemon+" "+c.Source))
}

// Codes of the checks on what HA targets need of the machines.
const (
	TargetCPU           ha.Code = "TARGET_CPU"
	TargetDeviceMissing ha.Code = "TARGET_DEVICE_MISSING"
	TargetMapping       ha.Code = "TARGET_MAPPING"
)

var deviceChecks = []Check{
	{Code: TargetCPU, Title: "every node it may run on has the guest's CPU", Minimum: ha.Warn, Production: ha.Fail,
		DependsOn: configCauses, parts: guestParts, target: targetCPU},
	{Code: TargetDeviceMissing, Title: "every node it may run on has the target's hardware", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: targetCauses, parts: guestParts, target: targetDeviceMissing},
	{Code: TargetMapping, Title: "every node it may run on has the guest's mapped devices", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: configCauses, parts: guestParts, target: targetMapping},
}

// hasDevice reports whether a host has a device, by its kind or part of its name.
func hasDevice(h ha.Host, want string) bool {
	want = strings.ToLower(want)
	return slices.ContainsFunc(h.Devices, func(d ha.Device) bool {
		return d.Kind == want || strings.Contains(strings.ToLower(d.Name), want)
	})
}

// targetDeviceMissing compares what a target is bound to with what hardware.yml says of
// the nodes.
func targetDeviceMissing(w *world, m managed) verdict {
	if len(m.Devices) == 0 {
		return skip("", "it is bound to no hardware")
	}
	var lacking, untold, having []ha.NodeName
	for _, name := range w.allowedNodes(m) {
		h, _ := w.policy.Host(name)
		switch {
		case h.Capacity == nil && len(h.Devices) == 0:
			untold = append(untold, name)
		case slices.ContainsFunc(m.Devices, func(d string) bool { return !hasDevice(h, d) }):
			lacking = append(lacking, name)
		default:
			having = append(having, name)
		}
	}
	switch {
	case len(lacking) > 0:
		return broken("", fmt.Sprintf("it needs %s, but may run on %s, which lacks it", joined(m.Devices), joined(lacking)),
			fmt.Sprintf("ha_options: {nodes: [%s], strict: true} in network.yml, then %s", joined(having), planRemedy))
	case len(untold) > 0:
		return unknown("", "whether %s has %s is not known: there is no hardware.yml of it", joined(untold), joined(m.Devices))
	}
	return pass("", "%s on %s", joined(m.Devices), joined(having))
}

// cpuLevels are what the models that Proxmox calls x86-64-vN need.
func cpuLevel(model string) int {
	rest, ok := strings.CutPrefix(model, "x86-64-v")
	if !ok || rest == "" || rest[0] < '1' || rest[0] > '9' {
		return 0
	}
	return int(rest[0] - '0')
}

// targetCPU: a guest whose model a node cannot give is not started there, whatever the HA
// manager decides; one that sees the host's own CPU starts, but cannot move alive.
func targetCPU(w *world, m managed) verdict {
	c, v, ok := w.config(m)
	switch {
	case !ok:
		return v
	case m.guest.SID.Kind == ha.CT:
		return skip("", "a container uses the node's CPU as it is")
	case c.CPU != "host" && cpuLevel(c.CPU) == 0:
		return pass("", "cpu: %s", orDefault(c.CPU))
	}
	here, v, ok := w.machine(m.guest.Node)
	if !ok {
		v.subject, v.on = "", m.guest.Node
		return v
	}
	var short, other, unseen []ha.NodeName
	for _, name := range w.allowedNodes(m) {
		h, _, ok := w.machine(name)
		switch level := cpuLevel(c.CPU); {
		case !ok && w.online(name):
			unseen = append(unseen, name)
		case !ok:
		case level > 0 && h.CPULevel > 0 && h.CPULevel < level:
			short = append(short, name)
		case level == 0 && h.CPUFlags != here.CPUFlags:
			other = append(other, name)
		}
	}
	switch {
	case len(short) > 0:
		return broken("", fmt.Sprintf("%s wants cpu: %s, which %s cannot give: it would not start there", m.guest.SID, c.CPU, joined(short)),
			fmt.Sprintf("qm set %d --cpu x86-64-v2-AES, or ha_options: {nodes: [...], strict: true} in network.yml", m.guest.SID.ID))
	case len(other) > 0:
		return broken("", fmt.Sprintf("%s has cpu: host, and %s has other CPU features than %s: it cannot move there alive, and may crash if it does", m.guest.SID, joined(other), m.guest.Node),
			fmt.Sprintf("qm set %d --cpu x86-64-v2-AES; it counts from the guest's next start", m.guest.SID.ID))
	case len(unseen) > 0:
		return unknown("", "the CPU of %s is not known", joined(unseen))
	}
	return pass("", "cpu: %s", c.CPU)
}

func orDefault(s string) string {
	if s == "" {
		return "Proxmox's default"
	}
	return s
}

// targetMapping: a mapping that does not name a node keeps the guest from being started
// there, offline as well (pve-ha-manager 5.2.0).
func targetMapping(w *world, m managed) verdict {
	c, v, ok := w.config(m)
	switch {
	case !ok:
		return v
	case len(c.Mapped) == 0:
		return skip("", "it uses no mapped device")
	}
	for _, d := range c.Mapped {
		var lacking []ha.NodeName
		for _, name := range w.allowedNodes(m) {
			if !slices.Contains(d.Nodes, name) {
				lacking = append(lacking, name)
			}
		}
		if len(lacking) > 0 {
			return broken("", fmt.Sprintf("%s uses the mapping %s (%s), which names no device on %s: it would not start there", m.guest.SID, d.ID, d.Kind, joined(lacking)),
				fmt.Sprintf("Datacenter, Resource Mappings: add one for %s; or ha_options: {nodes: [%s], strict: true} in network.yml", lacking[0], joined(d.Nodes)))
		}
	}
	return pass("", "%s", number(len(c.Mapped), "mapping"))
}
