package project

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

var (
	fencingKeys = []string{"methods", "watchdog", "sbd"}
	sbdKeys     = []string{"device", "watchdog_timeout", "msgwait"}
)

// bmcTypes are the types of BMC, for people to choose from.
var bmcTypes = []ha.BMCType{ha.BMCIPMI, ha.BMCIDRAC, ha.BMCILO, ha.BMCPDU}

var fencingMethods = []ha.FencingMethod{ha.FenceWatchdog, ha.FenceIPMI, ha.FencePDU, ha.FenceSBD, ha.FenceSSH}

func (n *network) readFencing(e entry) *ha.Fencing {
	fields, ok := e.mapping()
	if !ok {
		return nil
	}
	fields.onlyKnown(fencingKeys)
	var f ha.Fencing
	methods, _ := fields.get("methods")
	if methods.given() {
		list, ok := methods.list("[watchdog, ipmi]")
		if ok && len(list) == 0 {
			n.src.fault(methods.value.at, "write [watchdog, ipmi], or remove it", "%s is empty", methods.path)
		}
		for _, v := range list {
			if m, ok := n.fencingMethod(v); ok {
				if slices.Contains(f.Methods, m) {
					n.src.fault(v.at, "name each method once", "%s names %s twice", methods.path, m)
					continue
				}
				f.Methods = append(f.Methods, m)
			}
		}
	}
	if w, _ := fields.get("watchdog"); w.given() {
		f.Watchdog = w.watchdogModule()
	}
	sbd, _ := fields.get("sbd")
	if sbd.given() {
		f.SBD = n.readSBD(sbd)
	}
	n.fencing = e
	n.methods = methods
	if slices.Contains(f.Methods, ha.FenceSBD) && !sbd.given() {
		n.src.fault(methods.value.at, "add sbd: {device: /dev/disk/by-id/…}, the small shared block device", "%s names sbd, but there is no sbd device", methods.path)
	}
	return &f
}

func (n *network) fencingMethod(v value) (ha.FencingMethod, bool) {
	text, ok := v.text()
	if !ok {
		return "", false
	}
	m := ha.FencingMethod(text)
	if slices.Contains(fencingMethods, m) {
		if m == ha.FenceSSH {
			n.src.warn(v.at, "use watchdog and ipmi", "%s is ssh, which is unreliable: a node that must be fenced does not answer", v.path)
		}
		return m, true
	}
	fix := "write watchdog, ipmi, pdu, sbd or ssh"
	switch asciiLower(text) {
	case "idrac", "ilo", "bmc", "redfish":
		fix = "write ipmi, which iDRAC and iLO speak, and the type at the node's bmc"
	}
	n.src.fault(v.at, fix, "%s is %s, which is no method of fencing", v.path, quote(text))
	return "", false
}

var (
	moduleName     = regexp.MustCompile(`^[A-Za-z0-9_]{1,55}$`)
	watchdogDevice = regexp.MustCompile(`^(/dev/)?watchdog[0-9]*$`)
)

// watchdogModule reads a kernel module's name. A device's number is none: it changes from
// boot to boot.
func (v value) watchdogModule() string {
	text, ok := v.text()
	if !ok {
		return ""
	}
	name := strings.ReplaceAll(strings.TrimSuffix(text, ".ko"), "-", "_")
	switch {
	case watchdogDevice.MatchString(name):
		v.src.fault(v.at, "name the driver's module, e.g. softdog, ipmi_watchdog, iTCO_wdt or i6300esb", "%s is %s: the numbers of watchdogs change from boot to boot", v.path, quote(text))
	case !moduleName.MatchString(name):
		v.src.fault(v.at, "name the driver's module, e.g. softdog, ipmi_watchdog, iTCO_wdt or i6300esb", "%s is %s, which is no kernel module", v.path, quote(text))
	default:
		return name
	}
	return ""
}

// sbdTimeMax bounds SBD's timeouts; more is a slip in the unit.
const sbdTimeMax = time.Hour

func (n *network) readSBD(e entry) *ha.SBD {
	fields, ok := e.mapping()
	if !ok {
		return nil
	}
	fields.onlyKnown(sbdKeys)
	var s ha.SBD
	device, _ := fields.get("device")
	if !device.given() {
		n.src.fault(e.at, "add e.g. device: /dev/disk/by-id/scsi-3600…", "%s has no device", e.path)
		return nil
	}
	s.Device, ok = device.absolutePath()
	if ok && !strings.HasPrefix(s.Device, "/dev/disk/by-") && !strings.HasPrefix(s.Device, "/dev/mapper/") {
		n.src.warn(device.value.at, "use its name under /dev/disk/by-id/", "%s is %s, which may be another disk after the next boot", device.path, s.Device)
	}
	if f, _ := fields.get("watchdog_timeout"); f.given() {
		s.WatchdogTimeout = f.durationUpTo(sbdTimeMax, "60s", "which is no time to wait for a node")
	}
	wait, _ := fields.get("msgwait")
	if wait.given() {
		s.MsgWait = wait.durationUpTo(sbdTimeMax, "120s", "which is no time to wait for a node")
	}
	if s.MsgWait > 0 && s.MsgWait < 2*s.WatchdogTimeout {
		n.src.fault(wait.value.at, "write "+(2*s.WatchdogTimeout).String()+" or more", "%s is %s, less than twice the watchdog_timeout: a node would be thought dead while it still may write", wait.path, s.MsgWait)
	}
	return &s
}

// checkFencing: a declared method needs what it works with on every node.
func (n *network) checkFencing() {
	f := n.policy.Cluster.Fencing
	if f == nil {
		return
	}
	for _, m := range f.Methods {
		if m != ha.FenceIPMI && m != ha.FencePDU {
			continue
		}
		for _, name := range n.policy.Cluster.Nodes {
			h, ok := n.host(name)
			if ok && !(h.BMC != nil && (h.BMC.Type == ha.BMCPDU) == (m == ha.FencePDU)) {
				what := "bmc: {address: 10.20.0.11, secret: bmc/" + string(name) + "}"
				if m == ha.FencePDU {
					what = "bmc: {address: 10.20.0.11, type: pdu}"
				}
				n.src.warn(n.methods.value.at, "add "+what+" to management.hosts."+string(name), "%s names %s, but %s has no such bmc", n.methods.path, m, name)
			}
		}
	}
}

// checkBMCs: a management controller is a machine of its own, one for each node.
func (n *network) checkBMCs() {
	guests, known := n.guestNetwork()
	owner := map[string]ha.NodeName{}
	for _, h := range n.policy.Hosts {
		if h.BMC == nil || !h.BMC.Address.IsValid() {
			continue
		}
		at := n.bmcAt[h.Name]
		address := h.BMC.Address.String()
		switch first, taken := owner[address]; {
		case h.BMC.Address == h.IP:
			n.src.fault(at.at, "write the address of the controller, not the node's own", "%s has the node's own ip %s", at.path, h.IP)
		case taken && h.BMC.Type != ha.BMCPDU:
			n.src.fault(at.at, "give each node its own controller", "%s has the address %s, as has %s's", at.path, address, first)
		case known && guests.Contains(h.BMC.Address):
			n.src.warn(at.at, "give the controllers a network of their own, which no guest can reach", "%s is %s, in the guests' network %s", at.path, address, guests)
		}
		owner[address] = h.Name
	}
}
