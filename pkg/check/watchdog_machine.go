package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on what else may drive, or spoil, the watchdog: the module's options,
// other programs, the firmware.
const (
	WatchdogIPMIAction      ha.Code = "WATCHDOG_IPMI_ACTION"
	WatchdogHeld            ha.Code = "WATCHDOG_HELD"
	WatchdogSystemd         ha.Code = "WATCHDOG_SYSTEMD"
	WatchdogWrongDriver     ha.Code = "WATCHDOG_WRONG_DRIVER"
	WatchdogNowayout        ha.Code = "WATCHDOG_NOWAYOUT"
	WatchdogASR             ha.Code = "WATCHDOG_ASR"
	WatchdogBIOSUnconfirmed ha.Code = "WATCHDOG_BIOS_UNCONFIRMED"
)

var watchdogMachineChecks = []Check{
	{Code: WatchdogHeld, Title: "nothing but watchdog-mux holds a watchdog", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: nodeCauses, probes: []string{ha.ProbeWatchdog}, node: watchdogHeld},
	{Code: WatchdogSystemd, Title: "systemd leaves the watchdog alone", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: nodeCauses, probes: []string{ha.ProbeWatchdog}, node: watchdogSystemd},
	{Code: WatchdogIPMIAction, Title: "the IPMI watchdog does something when it fires", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: after(nodeCauses, WatchdogMissing), probes: []string{ha.ProbeWatchdog}, node: watchdogIPMIAction},
	{Code: WatchdogWrongDriver, Title: "the watchdog in use is the declared one", Minimum: ha.Warn, Production: ha.Fail,
		DependsOn: after(nodeCauses, WatchdogMissing, WatchdogModuleNotLoaded), probes: []string{ha.ProbeWatchdog}, node: watchdogWrongDriver},
	{Code: WatchdogNowayout, Title: "watchdog-mux may be stopped without a reset", Minimum: ha.Notice, Production: ha.Notice,
		DependsOn: after(nodeCauses, WatchdogMissing), probes: []string{ha.ProbeWatchdog}, node: watchdogNowayout},
	{Code: WatchdogASR, Title: "the vendor's automated system recovery is off", Production: ha.Warn,
		DependsOn: nodeCauses, probes: []string{ha.ProbeHardware}, node: watchdogASR},
	{Code: WatchdogBIOSUnconfirmed, Title: "the watchdogs in the BIOS are off", Production: ha.Warn,
		DependsOn: nodeCauses, probes: []string{ha.ProbeHardware}, node: watchdogBIOSUnconfirmed},
}

func watchdogHeld(n node) verdict {
	var held []string
	for _, h := range n.Watchdog.Holders {
		if h.Process == "systemd" && n.Watchdog.RuntimeWatchdog != "" {
			continue // that is WATCHDOG_SYSTEMD's to say
		}
		held = append(held, fmt.Sprintf("%s (process %d) holds %s", h.Process, h.PID, h.Device))
	}
	if len(held) > 0 {
		return broken("", joined(held)+": a watchdog has one master, and it is not watchdog-mux",
			"stop and disable that program (apt purge watchdog, ipmi health agents), then systemctl restart watchdog-mux on a node without HA guests")
	}
	return pass("", "no other process holds one")
}

func watchdogSystemd(n node) verdict {
	w := n.Watchdog
	if w.RuntimeWatchdog == "" {
		return pass("", "RuntimeWatchdogSec is off")
	}
	device := w.RuntimeDevice
	if device == "" {
		device = "/dev/watchdog0"
	}
	return broken("", fmt.Sprintf("RuntimeWatchdogSec=%s: systemd feeds %s itself, and goes on feeding it when the node must be fenced", w.RuntimeWatchdog, device),
		"set RuntimeWatchdogSec=off in /etc/systemd/system.conf, systemctl daemon-reexec, systemctl restart watchdog-mux")
}

// watchdogIPMIAction: with action none the controller counts down and then does nothing
// (parameters of the kernel's ipmi_watchdog).
func watchdogIPMIAction(n node) verdict {
	if !slices.Contains(n.Watchdog.Loaded, ipmiWatchdog) {
		return skip("", "ipmi_watchdog is not loaded")
	}
	action, known := n.Watchdog.Option(ipmiWatchdog, "action")
	switch {
	case !known:
		return unknown("", "ipmi_watchdog does not tell its action")
	case action == "none" || action == "":
		return broken("", fmt.Sprintf("ipmi_watchdog is loaded with action=%s: it would fire and the node go on running", orNone(action)),
			"echo 'options ipmi_watchdog action=power_cycle' > /etc/modprobe.d/ipmi_watchdog.conf && update-initramfs -u; the option counts after a reboot, or after the module is loaded again")
	}
	return pass("", "action=%s", action)
}

func orNone(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// driver is the kernel module behind a device; softdog is known by its name as well.
func driver(d ha.WatchdogDevice) string {
	if d.Driver == "" && d.Identity == softdogIdentity {
		return "softdog"
	}
	return d.Driver
}

// inUse is the device that watchdog-mux holds, else the only one.
func (n node) inUse() (ha.WatchdogDevice, bool) {
	w := n.Watchdog
	at := strings.TrimPrefix(w.MuxDevice, "/dev/")
	for _, d := range w.Devices {
		if d.Name == at {
			return d, true
		}
	}
	if len(w.Devices) == 1 || at == "watchdog" && len(w.Devices) > 0 {
		return w.Devices[0], true
	}
	return ha.WatchdogDevice{}, false
}

// watchdogWrongDriver compares drivers, never numbers: those change from boot to boot.
func watchdogWrongDriver(n node) verdict {
	f := n.w.policy.Cluster.Fencing
	if f == nil || f.Watchdog == "" {
		return skip("", "network.yml names no watchdog")
	}
	d, ok := n.inUse()
	used := driver(d)
	if !ok && slices.Contains(n.Watchdog.Loaded, ipmiWatchdog) {
		used = ipmiWatchdog
	}
	switch {
	case used == "":
		return unknown("", "the kernel does not tell which driver is behind the watchdog in use")
	case used != f.Watchdog:
		return broken("", fmt.Sprintf("%s is in use, network.yml wants %s", used, f.Watchdog),
			fmt.Sprintf("WATCHDOG_MODULE=%s in /etc/default/pve-ha-manager, echo 'blacklist %s' > /etc/modprobe.d/watchdog.conf, update-initramfs -u, reboot", f.Watchdog, used))
	}
	return pass("", "%s", used)
}

func watchdogNowayout(n node) verdict {
	d, ok := n.inUse()
	switch {
	case !ok:
		return unknown("", "no device shows whether it can be stopped")
	case d.Nowayout:
		return broken("", fmt.Sprintf("%s has nowayout set: once armed, a stop of watchdog-mux (an upgrade, for instance) resets the node", d.Name),
			"psw -C DIR maintenance start "+string(n.Node)+" before pve-ha-manager is upgraded; or remove nowayout=1 from /etc/modprobe.d/")
	}
	return pass("", "nowayout is off on %s", d.Name)
}

// vouched judges by an operator's word, which is all there is to go by.
func (n node) vouched(item, doubt, remedy string) verdict {
	return n.w.vouched(item, n.Node, string(n.Node), doubt, remedy)
}

func (w *world) vouched(item string, node ha.NodeName, subject, doubt, remedy string) verdict {
	command := "psw -C DIR ha ack " + item
	if node != "" {
		command += " " + string(node)
	}
	a, fresh, ok := w.s.Acknowledged(item, node)
	switch {
	case fresh:
		return pass(subject, "%s says so, on %s", a.By, a.At.Format("2006-01-02"))
	case ok:
		doubt = fmt.Sprintf("%s said so on %s, more than a year ago; look again", a.By, a.At.Format("2006-01-02"))
	}
	return broken(subject, doubt, remedy+"; then "+command)
}

// asrVendors are the makers whose management agents reset a machine by themselves.
var asrVendors = []string{"Dell", "HP", "Hewlett"}

func watchdogASR(n node) verdict {
	h := n.Hardware
	if h == (ha.Hardware{}) {
		return unknown("", "the agent does not tell what machine this is")
	}
	maker := strings.TrimSpace(h.Vendor + " " + h.BoardVendor)
	if h.Hypervisor || !slices.ContainsFunc(asrVendors, func(v string) bool { return strings.Contains(maker, v) }) {
		return pass("", "%s has none", strings.TrimSpace(h.Vendor+" "+h.Product))
	}
	return n.vouched(ha.AckASR, fmt.Sprintf("%s %s: nobody says that its automated system recovery is off; it resets the node by its own idea of health", h.Vendor, h.Product),
		"switch Automated System Recovery off in the iDRAC or iLO and its agent")
}

func watchdogBIOSUnconfirmed(n node) verdict {
	if n.Hardware.Hypervisor {
		return pass("", "a virtual machine has none")
	}
	return n.vouched(ha.AckBIOSWatchdog, "nobody says that they are off; a BIOS watchdog resets a healthy node that Linux does not feed it from",
		"look in the BIOS set-up for OS watchdog, POST watchdog and boot watchdog, and switch them off")
}
