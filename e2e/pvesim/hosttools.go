package pvesim

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// TryWrite writes to the file system mounted at path. While NFS hangs on the node it hangs
// until ctx ends.
func (h *Host) TryWrite(ctx context.Context, path string) error {
	if err := h.enter("write", path); err != nil {
		return err
	}
	hangs := false
	for _, s := range h.n.mounted() {
		hangs = hangs || s.path == path && h.n.silent(s)
	}
	h.n.c.unlock()
	if hangs {
		<-ctx.Done()
		return &fs.PathError{Op: "write", Path: path, Err: ctx.Err()}
	}
	return nil
}

// Clock is what adjtimex says of a clock that chrony keeps.
func (h *Host) Clock() (offset, errorMax, errorEstimated time.Duration, synchronized bool, err error) {
	if err := h.enter("adjtimex", ""); err != nil {
		return 0, 0, 0, false, err
	}
	defer h.n.c.unlock()
	return 21 * time.Microsecond, 18 * time.Millisecond, 400 * time.Microsecond, true, nil
}

// hostTool runs one of the commands that tell of the node itself.
func (n *node) hostTool(line string) (out string, known bool) {
	name, args, _ := strings.Cut(line, " ")
	switch {
	case line == "ip -j addr":
		return n.ipAddr(), true
	case line == "chronyc -n -c tracking":
		return "0A0A0001,10.10.0.1,3,1763687500.123456789,0.000012,-0.000021,0.000034,-11.5,0.001,0.02,0.0021,0.0007,64.2,Normal\n", true
	case name == "systemctl" && strings.HasPrefix(args, "show "):
		return n.systemctl(strings.Fields(args)[1:]), true
	}
	return "", false
}

// systemctl is systemctl show of several units.
func (n *node) systemctl(args []string) string {
	var blocks []string
	for _, unit := range args {
		if strings.HasPrefix(unit, "--") {
			continue
		}
		load, active, sub, file := "loaded", "active", "running", "enabled"
		switch unit {
		case "pve-ha-lrm", "pve-ha-crm", "watchdog-mux", "pvestatd", "pvedaemon", "pveproxy", "pvescheduler", "chrony":
			if unit == "watchdog-mux" {
				file = "static"
			}
		case "pve-cluster":
			if n.stopped {
				active, sub = "inactive", "dead"
			}
		case "corosync":
			if n.conf == nil { // its condition is that there is a configuration
				active, sub = "inactive", "dead"
			}
		case "corosync-qdevice":
			if n.conf == nil || n.conf.qdevice == "" {
				load, active, sub, file = "not-found", "inactive", "dead", ""
			}
		default:
			load, active, sub, file = "not-found", "inactive", "dead", ""
		}
		blocks = append(blocks, fmt.Sprintf("NRestarts=0\nId=%s.service\nLoadState=%s\nActiveState=%s\nSubState=%s\nUnitFileState=%s\n", unit, load, active, sub, file))
	}
	return strings.Join(blocks, "\n")
}

// nic is a network interface of a node.
type nic struct {
	name      string
	kind      string // bond, bridge, or empty for one of a card
	addresses []string
	lower     []string
}

// nics are a node's interfaces: a bond of two ports below the bridge that has the node's
// address, a port for each further link of corosync, and one for each network that has an
// NFS server and is none of those.
func (n *node) nics() []nic {
	list := []nic{
		{name: "vmbr0", kind: "bridge", addresses: []string{n.spec.Address + "/24"}, lower: []string{"bond0"}},
		{name: "bond0", kind: "bond", lower: []string{"eno1", "eno2"}},
		{name: "eno1"}, {name: "eno2"},
	}
	subnet := func(address string) string { return address[:strings.LastIndexByte(address, '.')+1] }
	seen := map[string]bool{subnet(n.spec.Address): true}
	for k, address := range n.spec.Links {
		list = append(list, nic{name: fmt.Sprintf("eno%d", 3+k), addresses: []string{address + "/24"}})
		seen[subnet(address)] = true
	}
	for _, s := range n.fs.storages {
		net := subnet(s.server)
		if net == "" || seen[net] || strings.ContainsAny(net, "abcdefghijklmnopqrstuvwxyz") {
			continue
		}
		seen[net] = true
		list = append(list, nic{name: fmt.Sprintf("ens%d", len(seen)), addresses: []string{fmt.Sprintf("%s%d/24", net, 10+n.rank)}})
	}
	return list
}

// ipAddr is ip -j addr, as far as anyone reads it.
func (n *node) ipAddr() string {
	type info struct {
		Family string `json:"family"`
		Local  string `json:"local"`
		Prefix int    `json:"prefixlen"`
		Scope  string `json:"scope"`
	}
	type device struct {
		Index int    `json:"ifindex"`
		Name  string `json:"ifname"`
		MTU   int    `json:"mtu"`
		State string `json:"operstate"`
		Infos []info `json:"addr_info"`
	}
	devices := []device{{1, "lo", 65536, "UNKNOWN", []info{{"inet", "127.0.0.1", 8, "host"}}}}
	for k, i := range n.nics() {
		d := device{Index: 2 + k, Name: i.name, MTU: 1500, State: "UP", Infos: []info{}}
		for _, a := range i.addresses {
			local, _, _ := strings.Cut(a, "/")
			d.Infos = append(d.Infos, info{"inet", local, 24, "global"})
		}
		devices = append(devices, d)
	}
	text, err := json.Marshal(devices)
	if err != nil {
		panic(fmt.Sprintf("pvesim: ip: %v", err)) // plain strings always marshal
	}
	return string(text) + "\n"
}

// sysNet finds what a path below /sys/class/net names.
func (n *node) sysNet(path string) (entry, bool) {
	nics := n.nics()
	if path == "" {
		names := []string{"lo@", "bonding_masters"}
		for _, i := range nics {
			names = append(names, i.name+"@")
		}
		return folder(0o755, names...)
	}
	name, attribute, _ := strings.Cut(path, "/")
	for _, i := range nics {
		if i.name == name {
			return i.attribute(attribute)
		}
	}
	return entry{}, false
}

func (i nic) attribute(name string) (entry, bool) {
	values := map[string]string{"operstate": "up", "carrier": "1", "carrier_changes": "2", "mtu": "1500", "duplex": "full", "speed": "10000", "uevent": "INTERFACE=" + i.name}
	switch i.kind {
	case "":
		values["device/vendor"] = "0x8086"
	case "bond":
		values["uevent"] = "DEVTYPE=bond\n" + values["uevent"]
		values["bonding/mode"], values["bonding/active_slave"], values["speed"] = "802.3ad 4", "", "20000"
	case "bridge":
		values["uevent"] = "DEVTYPE=bridge\n" + values["uevent"]
		values["bridge/stp_state"] = "0"
	}
	if name == "" {
		var names []string
		for value := range values {
			top, _, deeper := strings.Cut(value, "/")
			if deeper {
				top += "/"
			}
			names = append(names, top)
		}
		for _, lower := range i.lower {
			names = append(names, "lower_"+lower+"@")
		}
		return folder(0o755, names...)
	}
	value, ok := values[name]
	if !ok {
		return entry{}, false
	}
	return file(value + "\n")
}

// machineFile finds what tells of the machine: firmware, kernel, systemd.
func (n *node) machineFile(name string) (entry, bool) {
	if rest, ok := strings.CutPrefix(name, "sys/class/net"); ok {
		return n.sysNet(strings.TrimPrefix(rest, "/"))
	}
	if attribute, ok := strings.CutPrefix(name, "sys/class/dmi/id/"); ok {
		value, known := map[string]string{
			"sys_vendor": "Supermicro", "product_name": "SYS-110P", "board_vendor": "Supermicro", "bios_version": "1.4",
		}[attribute]
		if !known {
			return entry{}, false
		}
		return file(value + "\n")
	}
	if parameter, ok := strings.CutPrefix(name, "sys/module/softdog/parameters"); ok {
		return softdogParameter(strings.TrimPrefix(parameter, "/"))
	}
	switch name {
	case "boot":
		return folder(0o755, "vmlinuz-"+kernel, "initrd.img-"+kernel)
	case "etc/systemd/system.conf":
		return file("[Manager]\n#RuntimeWatchdogSec=off\n")
	}
	return entry{}, false
}

// softdogParameter finds a parameter of softdog, as Proxmox loads it.
func softdogParameter(name string) (entry, bool) {
	values := map[string]string{"soft_margin": "60", "nowayout": "N", "soft_noboot": "0", "soft_panic": "0", "soft_active_on_boot": "N", "soft_reboot_cmd": "(null)"}
	if name == "" {
		var names []string
		for parameter := range values {
			names = append(names, parameter)
		}
		return folder(0o755, names...)
	}
	value, ok := values[name]
	if !ok {
		return entry{}, false
	}
	return file(value + "\n")
}
