package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on the watchdog.
const (
	WatchdogMissing         ha.Code = "WATCHDOG_MISSING"
	WatchdogSeveral         ha.Code = "WATCHDOG_SEVERAL"
	WatchdogMuxNotRunning   ha.Code = "WATCHDOG_MUX_NOT_RUNNING"
	WatchdogNotFed          ha.Code = "WATCHDOG_NOT_FED"
	WatchdogNotArmed        ha.Code = "WATCHDOG_NOT_ARMED"
	WatchdogSoftNoboot      ha.Code = "WATCHDOG_SOFT_NOBOOT"
	WatchdogTimeoutLong     ha.Code = "WATCHDOG_TIMEOUT_LONG"
	WatchdogModuleNotLoaded ha.Code = "WATCHDOG_MODULE_NOT_LOADED"
	WatchdogSoftware        ha.Code = "WATCHDOG_SOFTWARE"
	WatchdogAMT             ha.Code = "WATCHDOG_AMT"
	WatchdogCausedReset     ha.Code = "WATCHDOG_CAUSED_RESET"
)

// watchdogTimeoutMax: watchdog-mux stops feeding at most 60 s after the last sign of
// life, and another node may take over 120 s after it. A device that needs longer than
// the difference resets the node after its guests were started elsewhere
// (pve-ha-manager 5.2.0; mux sets 10 s, but never checks what the driver accepted).
const watchdogTimeoutMax = 60 * time.Second

var watchdogChecks = []Check{
	{Code: WatchdogMissing, Title: "there is a watchdog", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: nodeCauses, probes: []string{ha.ProbeWatchdog}, node: watchdogMissing},
	{Code: WatchdogSeveral, Title: "there is only one watchdog", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: nodeCauses, probes: []string{ha.ProbeWatchdog}, node: watchdogSeveral},
	{Code: WatchdogMuxNotRunning, Title: "watchdog-mux runs", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: nodeCauses, probes: []string{ha.ProbeWatchdog}, node: watchdogMuxNotRunning},
	{Code: WatchdogNotFed, Title: "watchdog-mux feeds the watchdog", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: after(nodeCauses, WatchdogMissing, WatchdogMuxNotRunning), probes: []string{ha.ProbeWatchdog}, node: watchdogNotFed},
	{Code: WatchdogNotArmed, Title: "the watchdog is armed while the node holds HA guests", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: after(nodeCauses, WatchdogMissing, WatchdogMuxNotRunning, WatchdogNotFed), probes: []string{ha.ProbeWatchdog, ha.ProbeLRM}, node: watchdogNotArmed},
	{Code: WatchdogSoftNoboot, Title: "softdog really resets", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: nodeCauses, probes: []string{ha.ProbeWatchdog}, node: watchdogSoftNoboot},
	{Code: WatchdogTimeoutLong, Title: "the watchdog resets in time", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: after(nodeCauses, WatchdogMissing, WatchdogMuxNotRunning, WatchdogNotFed), probes: []string{ha.ProbeWatchdog}, node: watchdogTimeoutLong},
	{Code: WatchdogModuleNotLoaded, Title: "the configured watchdog module is the one in use", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: nodeCauses, probes: []string{ha.ProbeWatchdog}, node: watchdogModuleNotLoaded},
	{Code: WatchdogSoftware, Title: "the watchdog is hardware", Minimum: ha.Notice, Production: ha.Warn,
		DependsOn: after(nodeCauses, WatchdogMissing), probes: []string{ha.ProbeWatchdog}, node: watchdogSoftware},
	{Code: WatchdogAMT, Title: "Intel AMT does not guard the node as well", Minimum: ha.Notice, Production: ha.Warn,
		DependsOn: nodeCauses, probes: []string{ha.ProbeWatchdog}, node: watchdogAMT},
	{Code: WatchdogCausedReset, Title: "the last boot was no watchdog reset", Minimum: ha.Notice, Production: ha.Notice,
		DependsOn: nodeCauses, probes: []string{ha.ProbeWatchdog}, node: watchdogCausedReset},
}

// ipmiWatchdog is a misc device that never shows in /sys/class/watchdog.
const ipmiWatchdog = "ipmi_watchdog"

func watchdogMissing(n node) verdict {
	w := n.Watchdog
	switch {
	case len(w.Devices) > 0:
		return pass("", "%s, %s", w.Devices[0].Name, w.Devices[0].Identity)
	case slices.Contains(w.Loaded, ipmiWatchdog):
		return pass("", "%s", ipmiWatchdog)
	}
	return broken("", "there is no /sys/class/watchdog/watchdog0: nothing would reset this node, so nothing may be started elsewhere",
		"systemctl restart watchdog-mux loads softdog; for a hardware one set WATCHDOG_MODULE in /etc/default/pve-ha-manager and reboot")
}

func watchdogSeveral(n node) verdict {
	names := make([]string, len(n.Watchdog.Devices))
	for k, d := range n.Watchdog.Devices {
		names[k] = fmt.Sprintf("%s (%s)", d.Name, d.Identity)
		if used := driver(d); used != "" && used != d.Identity {
			names[k] = fmt.Sprintf("%s (%s, %s)", d.Name, d.Identity, used)
		}
	}
	switch len(names) {
	case 0:
		return skip("", "there is none in /sys/class/watchdog")
	case 1:
		return pass("", "%s", names[0])
	}
	others, chosen := n.others()
	return broken("", fmt.Sprintf("%s; %s; /dev/watchdog0 is whichever was registered first, which may differ after the next boot", strings.Join(names, ", "), chosen),
		fmt.Sprintf("keep one: echo 'blacklist %s' > /etc/modprobe.d/watchdog.conf, update-initramfs -u, reboot", others))
}

// others names the modules that are not wanted, and says which one is: the declared one,
// else the configured one, else the one that watchdog-mux holds.
func (n node) others() (modules, chosen string) {
	w := n.Watchdog
	wanted := ""
	if d, ok := n.inUse(); ok {
		wanted, chosen = driver(d), "watchdog-mux holds "+d.Name
	}
	if w.Module != "" {
		wanted, chosen = w.Module, "WATCHDOG_MODULE is "+w.Module
	}
	if f := n.w.policy.Cluster.Fencing; f != nil && f.Watchdog != "" {
		wanted, chosen = f.Watchdog, "network.yml wants "+f.Watchdog
	}
	var list []string
	for _, d := range w.Devices {
		if used := driver(d); used != "" && used != wanted {
			list = append(list, used)
		}
	}
	if len(list) == 0 {
		list = []string{"MODULE"}
	}
	if chosen == "" {
		chosen = "none of them is chosen"
	}
	return strings.Join(list, " "), chosen
}

func watchdogMuxNotRunning(n node) verdict {
	if !n.Watchdog.MuxRunning {
		return broken("", "there is no watchdog-mux process: the HA services cannot become active", "systemctl status watchdog-mux; journalctl -u watchdog-mux -n 20")
	}
	if n.Watchdog.MuxActive {
		return pass("", "an HA service is connected to it")
	}
	return pass("", "no HA service is connected to it")
}

func watchdogNotFed(n node) verdict {
	w := n.Watchdog
	if w.MuxDevice == "" {
		return broken("", "watchdog-mux holds no watchdog open", "another process may hold it: fuser -v /dev/watchdog*; then systemctl restart watchdog-mux on a node without HA guests")
	}
	return pass("", "watchdog-mux holds %s", w.MuxDevice)
}

// watchdogNotArmed: the LRM connects to watchdog-mux when it becomes active, i.e. when
// the node gets its first HA guest; an idle node is not armed, and need not be.
func watchdogNotArmed(n node) verdict {
	switch {
	case n.Watchdog.MuxActive:
		return pass("", "an HA service holds watchdog-mux")
	case n.HA.LRMState == "active":
		return broken("", "the LRM is active, but nothing holds watchdog-mux: the node would not be reset when it loses the cluster",
			"systemctl restart pve-ha-lrm; if it stays so: psw -C DIR maintenance start "+string(n.Node)+" and reboot it")
	case n.HA.LRMState == "":
		return unknown("", "the LRM's state is not known")
	}
	return pass("", "not needed: the LRM is %s", n.HA.LRMState)
}

func watchdogSoftNoboot(n node) verdict {
	if n.Watchdog.SoftNoboot {
		return broken("", "softdog is loaded with soft_noboot=1: it would log and not reset", "remove soft_noboot from /etc/modprobe.d/ and the kernel command line, then reboot")
	}
	return pass("", "soft_noboot is not set")
}

func watchdogTimeoutLong(n node) verdict {
	if len(n.Watchdog.Devices) == 0 {
		return unknown("", "the device does not show its timeout in /sys/class/watchdog")
	}
	d := n.Watchdog.Devices[0]
	switch {
	case d.Timeout <= 0:
		return unknown("", "%s does not tell its timeout", d.Name)
	case d.Timeout >= watchdogTimeoutMax:
		return broken("", fmt.Sprintf("%s needs %s: its guests would be started elsewhere before it is reset", d.Name, span(d.Timeout)),
			"use a watchdog that accepts 10 s: set WATCHDOG_MODULE in /etc/default/pve-ha-manager and reboot")
	}
	return pass("", "%s after the last feeding", span(d.Timeout))
}

func watchdogModuleNotLoaded(n node) verdict {
	w := n.Watchdog
	switch {
	case w.Module == "":
		return skip("", "WATCHDOG_MODULE is not set: softdog is used")
	case !slices.Contains(w.Loaded, w.Module):
		return broken("", fmt.Sprintf("WATCHDOG_MODULE=%s, but it is not loaded; loaded: %s", w.Module, joined(w.Loaded)),
			fmt.Sprintf("modprobe %s shows why; a driver that came first makes Proxmox ignore the setting", w.Module))
	}
	return pass("", "%s", w.Module)
}

const softdogIdentity = "Software Watchdog"

func watchdogSoftware(n node) verdict {
	if len(n.Watchdog.Devices) == 0 {
		if slices.Contains(n.Watchdog.Loaded, ipmiWatchdog) {
			return pass("", "%s", ipmiWatchdog)
		}
		return unknown("", "no watchdog tells what it is")
	}
	d := n.Watchdog.Devices[0]
	if d.Identity == "" {
		return unknown("", "%s does not tell what it is", d.Name)
	}
	if d.Identity == softdogIdentity {
		return broken("", "softdog: it cannot reset a kernel that hangs hard", "set WATCHDOG_MODULE to the machine's own driver (iTCO_wdt, sp5100_tco, ipmi_watchdog) in /etc/default/pve-ha-manager and reboot")
	}
	return pass("", "%s", d.Identity)
}

func watchdogAMT(n node) verdict {
	var mei []string
	for _, m := range n.Watchdog.Loaded {
		if m == "mei" || m == "mei_me" || m == "mei_wdt" {
			mei = append(mei, m)
		}
	}
	if len(mei) > 0 {
		if a, fresh, _ := n.w.s.Acknowledged(ha.AckAMTWatchdog, n.Node); fresh {
			return pass("", "%s, but %s says that the watchdog in AMT is off", joined(mei), a.By)
		}
		return broken("", fmt.Sprintf("%s: AMT's own OS health watchdog may reset the node", joined(mei)),
			"printf 'blacklist mei\nblacklist mei_me\n' > /etc/modprobe.d/mei.conf && update-initramfs -u; or switch the watchdog off in the AMT set-up, then psw -C DIR ha ack amt-watchdog "+string(n.Node))
	}
	return pass("", "no mei module is loaded")
}

func watchdogCausedReset(n node) verdict {
	for _, d := range n.Watchdog.Devices {
		if d.BootStatus != 0 {
			return broken("", fmt.Sprintf("%s says that it caused the last reset (bootstatus %d), %s ago", d.Name, d.BootStatus, span(n.System.Uptime)),
				"journalctl -b -1 -e -u corosync -u pve-ha-lrm -u watchdog-mux tells what came before")
		}
	}
	return pass("", "no watchdog claims it")
}
