package project

import (
	"cmp"
	"errors"
	"io/fs"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// The keys we know, for every mapping of network.yml.
var (
	rootKeys       = []string{"management", "cluster", "shared_storage", "targets"}
	managementKeys = []string{"gateway", "hosts", "cluster"}
	hostKeys       = []string{"ip", "roles", "bmc", "links", "switches", "ups"}
	bmcKeys        = []string{"address", "secret", "type", "switch"}
)

// roleProxmox makes a management host a node.
const roleProxmox = "proxmox"

// network is network.yml being read: the policy so far, and where things stood, for the
// checks that compare one section with another.
type network struct {
	src    *source
	policy ha.Policy
	// hosts is false if management.hosts could not be read: then nothing is said about
	// nodes that do not exist, since that is only an effect.
	hosts bool
	// cluster is cluster.nodes, or the section if it has none. clusterRead is false if
	// its nodes could not all be read.
	cluster     value
	clusterRead bool
	// storageServer and qdevice are where those two are named.
	storageServer, qdevice value
	// thirdVote: a qdevice is declared, even if wrongly.
	thirdVote bool
	haAt      map[string]place // where a target says ha: true
	// devicesAt is where a target says what it is bound to.
	devicesAt map[string]place
	// Where a host, and what only people know of it, is declared.
	hostAt                     map[ha.NodeName]place
	linksAt, switchesAt, bmcAt map[ha.NodeName]entry
	networkAt                  map[ha.NetworkUse]entry
	// Where the parts of the cluster are declared.
	sites, fencing, methods, ceph, token entry
}

func newNetwork(src *source, project string) *network {
	return &network{
		src: src, policy: ha.Policy{Project: project},
		haAt: map[string]place{}, devicesAt: map[string]place{}, hostAt: map[ha.NodeName]place{},
		linksAt: map[ha.NodeName]entry{}, switchesAt: map[ha.NodeName]entry{}, bmcAt: map[ha.NodeName]entry{},
		networkAt: map[ha.NetworkUse]entry{},
	}
}

// readNetwork reads network.yml and compares its sections with each other.
func readNetwork(src *source, fsys fs.FS, project string) *network {
	n := newNetwork(src, project)
	data, err := readFile(fsys, networkFile)
	if err != nil {
		fix := "make it a readable YAML file"
		if errors.Is(err, errAbsent) {
			fix = "name the folder that holds network.yml, with -C DIR"
		}
		src.fault(place{}, fix, "%v", err)
		return n
	}
	root, ok := src.parse(data)
	if !ok {
		return n
	}
	top, ok := root.mapping()
	if !ok {
		return n
	}
	top.onlyKnown(rootKeys)
	management := n.readManagement(top)
	n.readCluster(top, management)
	n.readTargets(top)
	n.checkCluster()
	slices.SortFunc(n.policy.Hosts, func(a, b ha.Host) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(n.policy.Targets, func(a, b ha.Target) int { return cmp.Compare(a.Name, b.Name) })
	return n
}

// readManagement reads the management hosts and returns the section.
func (n *network) readManagement(top mapping) mapping {
	section, _ := top.get("management")
	if !section.given() {
		n.src.fault(section.at, "declare every Proxmox host under management.hosts, with its ip and roles: [proxmox]", "management is missing")
		return mapping{}
	}
	management, ok := section.mapping()
	if !ok {
		return mapping{}
	}
	management.onlyKnown(managementKeys)
	hosts, _ := management.get("hosts")
	if !hosts.given() {
		n.src.fault(cmp.Or(hosts.at, section.at), "declare every Proxmox host there, with its ip and roles: [proxmox]", "management.hosts is missing")
		return management
	}
	list, ok := hosts.mapping()
	if !ok {
		return management
	}
	n.hosts = true
	owner := map[netip.Addr]entry{}
	for _, e := range list.entries {
		host, ok := n.readHost(e)
		if !ok {
			continue
		}
		n.policy.Hosts = append(n.policy.Hosts, host)
		if !host.IP.IsValid() {
			continue
		}
		if first, taken := owner[host.IP]; taken {
			n.src.fault(e.at, "give each host its own address", "%s has the ip %s, as has %s in line %d", e.path, host.IP, first.key, first.at.line)
			continue
		}
		owner[host.IP] = e
	}
	return management
}

// nodeName is Proxmox's form of a node's name (format pve-node of its API).
var nodeName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)

func (n *network) readHost(e entry) (ha.Host, bool) {
	host := ha.Host{Name: ha.NodeName(e.key)}
	n.hostAt[host.Name] = e.at
	if len(e.key) > 63 || !nodeName.MatchString(e.key) {
		n.src.fault(e.at, "use letters, digits and hyphens, 63 at most, as Proxmox does", "%s is no name a node can have", quote(e.key))
		return host, false
	}
	if !e.given() {
		n.src.fault(e.at, "add ip and roles", "%s has no ip", e.path)
		return host, true
	}
	fields, ok := e.mapping()
	if !ok {
		return host, true
	}
	fields.onlyKnown(hostKeys)
	if ip, _ := fields.get("ip"); ip.given() {
		host.IP, _ = ip.address()
	} else {
		n.src.fault(e.at, "add its address, e.g. ip: 10.10.0.198", "%s has no ip", e.path)
	}
	if roles, _ := fields.get("roles"); roles.given() {
		list, _ := roles.list("[proxmox]")
		for _, r := range list {
			if role, ok := r.text(); ok {
				host.Roles = append(host.Roles, role)
			}
		}
	}
	if bmc, _ := fields.get("bmc"); bmc.given() {
		n.bmcAt[host.Name] = bmc
		host.BMC = n.readBMC(bmc)
	}
	n.readWiring(fields, &host)
	return host, true
}

func (n *network) readBMC(e entry) *ha.BMC {
	fields, ok := e.mapping()
	if !ok {
		return nil
	}
	fields.onlyKnown(bmcKeys)
	var bmc ha.BMC
	if address, _ := fields.get("address"); address.given() {
		bmc.Address, _ = address.address()
	} else {
		n.src.fault(e.at, "add its address, e.g. address: 10.20.0.11", "%s has no address", e.path)
	}
	if secret, _ := fields.get("secret"); secret.given() {
		bmc.Secret, _ = secret.text()
	}
	if kind, _ := fields.get("type"); kind.given() {
		text, ok := kind.text()
		bmc.Type = ha.BMCType(text)
		if ok && !slices.Contains(bmcTypes, bmc.Type) {
			n.src.fault(kind.value.at, "write ipmi, idrac, ilo or pdu", "%s is %s, which is no type of management controller", kind.path, quote(text))
		}
	}
	if at, _ := fields.get("switch"); at.given() {
		bmc.Switch, _ = at.label()
	}
	return &bmc
}

// address reads the IP address of one machine.
func (v value) address() (netip.Addr, bool) {
	text, ok := v.text()
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil || a.Zone() != "":
		v.src.fault(v.at, addressFix(text), "%s is %s, which is no IP address", v.path, quote(text))
	case a.IsUnspecified() || a.IsMulticast():
		v.src.fault(v.at, "write the address of one machine, e.g. 10.10.0.198", "%s is %s, which is no machine's address", v.path, a)
	default:
		return a.Unmap(), true
	}
	return netip.Addr{}, false
}

func addressFix(text string) string {
	if p, err := netip.ParsePrefix(text); err == nil {
		return "write the address alone: " + p.Addr().String()
	}
	return "write four numbers from 0 to 255, e.g. 10.10.0.198, or an IPv6 address"
}

// hostname is a name DNS can hold.
var hostname = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*\.?$`)

// server reads an IP address or a host's name.
func (v value) server() (string, bool) {
	text, ok := v.text()
	if !ok {
		return "", false
	}
	if _, err := netip.ParseAddr(text); err == nil {
		a, ok := v.address()
		return a.String(), ok
	}
	digits := strings.Trim(text, "0123456789.") == ""
	if digits || len(text) > 253 || !hostname.MatchString(text) {
		v.src.fault(v.at, "write an IP address or a host's name, without a port or path", "%s is %s, which is neither an IP address nor a host's name", v.path, quote(text))
		return "", false
	}
	return text, true
}

// host returns the management host of that name; the list is not sorted yet.
func (n *network) host(name ha.NodeName) (ha.Host, bool) {
	k := slices.IndexFunc(n.policy.Hosts, func(h ha.Host) bool { return h.Name == name })
	if k < 0 {
		return ha.Host{}, false
	}
	return n.policy.Hosts[k], true
}

// node reads the name of a node: a management host with the role proxmox.
func (n *network) node(v value) (ha.NodeName, bool) {
	text, ok := v.text()
	if !ok {
		return "", false
	}
	return n.nodeNamed(text, v.at, v.path)
}

func (n *network) nodeNamed(text string, at place, path string) (ha.NodeName, bool) {
	name := ha.NodeName(text)
	if !n.hosts {
		return name, true
	}
	host, ok := n.host(name)
	switch {
	case !ok:
		n.src.fault(at, n.nodesFix(text), "%s is %s, which is no management host", path, quote(text))
	case !slices.Contains(host.Roles, roleProxmox):
		n.src.fault(at, "add roles: [proxmox] to management.hosts."+text, "%s is %s, which lacks the role proxmox", path, text)
	default:
		return name, true
	}
	return "", false
}

// clusterNode reads the name of a node of the cluster.
func (n *network) clusterNode(v value) (ha.NodeName, bool) {
	text, ok := v.text()
	if !ok {
		return "", false
	}
	return n.clusterNodeNamed(text, v.at, v.path)
}

func (n *network) clusterNodeNamed(text string, at place, path string) (ha.NodeName, bool) {
	name, ok := n.nodeNamed(text, at, path)
	if ok && n.outside(name) {
		n.src.fault(at, "name one of: "+n.clusterNodes(), "%s is %s, which is not in the cluster", path, name)
		return "", false
	}
	return name, ok
}

// outside reports whether there is a cluster and name is not in it.
func (n *network) outside(name ha.NodeName) bool {
	nodes := n.policy.Cluster.Nodes
	return n.clusterRead && len(nodes) > 0 && !slices.Contains(nodes, name)
}

func (n *network) clusterNodes() string {
	names := make([]string, len(n.policy.Cluster.Nodes))
	for k, name := range n.policy.Cluster.Nodes {
		names[k] = string(name)
	}
	return strings.Join(names, ", ")
}

// nodesFix says which nodes there are instead of name.
func (n *network) nodesFix(name string) string {
	var names []string
	for _, h := range n.policy.Hosts {
		if slices.Contains(h.Roles, roleProxmox) {
			names = append(names, string(h.Name))
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return "declare it under management.hosts, with roles: [proxmox]"
	}
	if near, ok := nearest(name, names); ok && digits(near) == digits(name) {
		return "did you mean " + near + "?" // but node3 is not meant to be node1
	}
	return "declare it under management.hosts, or name one of: " + strings.Join(names, ", ")
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}
