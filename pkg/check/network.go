package check

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on the networks that HA needs, and on what else uses them.
const (
	CorosyncLinksShared    ha.Code = "COROSYNC_LINKS_SHARED"
	CorosyncSharesNetwork  ha.Code = "COROSYNC_SHARES_NETWORK"
	MigrationSharesNetwork ha.Code = "MIGRATION_SHARES_NETWORK"
	NetworkNoCarrier       ha.Code = "NETWORK_NO_CARRIER"
	NetworkSlow            ha.Code = "NETWORK_SLOW"
	NetworkNotRedundant    ha.Code = "NETWORK_NOT_REDUNDANT"

	// slowSpeed is what a network that HA needs must carry at least, in Mbit/s; goodSpeed
	// is what a storage network should.
	slowSpeed = 1000
	goodSpeed = 10000
)

var networkChecks = []Check{
	{Code: NetworkNoCarrier, Title: "every network HA needs has a signal", Minimum: ha.Warn, Production: ha.Fail, Settle: slowSettle,
		DependsOn: nodeCauses, probes: []string{ha.ProbeNetwork, ha.ProbeCorosync}, node: networkNoCarrier},
	{Code: CorosyncLinksShared, Title: "corosync's links do not hang on one NIC or switch", Minimum: ha.Warn, Production: ha.Fail,
		DependsOn: after(corosyncCauses, CorosyncSingleLink), probes: []string{ha.ProbeNetwork, ha.ProbeCorosync}, node: corosyncLinksShared},
	{Code: CorosyncSharesNetwork, Title: "corosync has a network of its own", Minimum: ha.Notice, Production: ha.Warn,
		DependsOn: corosyncCauses, probes: []string{ha.ProbeNetwork, ha.ProbeCorosync, ha.ProbeNFS}, node: corosyncSharesNetwork},
	{Code: MigrationSharesNetwork, Title: "migrations keep off corosync's network", Production: ha.Warn,
		DependsOn: []ha.Code{APINotAnswering}, parts: []string{partOptions}, cluster: migrationSharesNetwork},
	{Code: NetworkSlow, Title: "the networks HA needs are fast enough", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: nodeCauses, probes: []string{ha.ProbeNetwork, ha.ProbeCorosync}, node: networkSlow},
	{Code: NetworkNotRedundant, Title: "the networks HA needs survive a cable", Production: ha.Warn,
		DependsOn: nodeCauses, probes: []string{ha.ProbeNetwork, ha.ProbeCorosync}, node: networkNotRedundant},
}

// A wire is a network the node needs: what for, the interface, and the network cards that
// finally carry it.
type wire struct {
	what  string
	iface ha.Interface
	cards []string
}

func (w wire) String() string { return w.what + " (" + w.iface.Name + ")" }

// linkWires are the wires of corosync's links, by number. unseen names the links whose
// interface is not known.
func (n node) linkWires() (wires []wire, unseen []int) {
	for _, number := range linkNumbers(n.Corosync) {
		k := slices.IndexFunc(n.Corosync.Links, func(l ha.Link) bool { return l.Number == number && l.Interface != "" })
		if k < 0 {
			unseen = append(unseen, number)
			continue
		}
		i, ok := n.Interface(n.Corosync.Links[k].Interface)
		if !ok {
			unseen = append(unseen, number)
			continue
		}
		wires = append(wires, wire{fmt.Sprintf("link %d", number), i, cards(i)})
	}
	return wires, unseen
}

func cards(i ha.Interface) []string {
	if len(i.Physical) > 0 {
		return i.Physical
	}
	return []string{i.Name}
}

// storageWire is the wire to the shared storage's server: the interface in whose network it
// is, else the one of the default route.
func (n node) storageWire() (wire, bool) {
	server := ""
	if st := n.w.policy.Cluster.Storage; st != nil {
		server = st.Server
	}
	if m := n.mounts(); len(m) > 0 && m[0].Server != "" {
		server = m[0].Server
	}
	address, err := netip.ParseAddr(server)
	if err != nil {
		return wire{}, false
	}
	gateway := -1
	for k, i := range n.Interfaces {
		for _, a := range i.Addresses {
			if p, err := netip.ParsePrefix(a); err == nil && p.Contains(address) {
				return wire{"storage", i, cards(i)}, true
			}
		}
		if i.Gateway {
			gateway = k
		}
	}
	if gateway < 0 {
		return wire{}, false
	}
	i := n.Interfaces[gateway]
	return wire{"storage", i, cards(i)}, true
}

// wires are those that HA needs on this node.
func (n node) wires() []wire {
	list, _ := n.linkWires()
	if s, ok := n.storageWire(); ok {
		list = append(list, s)
	}
	return list
}

// networkUnknown answers for a node whose network nobody has seen.
func networkUnknown(n node) (verdict, bool) {
	if len(n.Interfaces) == 0 {
		return unknown("", "the agent reports no network interface"), true
	}
	return verdict{}, false
}

func networkNoCarrier(n node) verdict {
	if v, ok := networkUnknown(n); ok {
		return v
	}
	var lost, seen []string
	for _, w := range n.wires() {
		for _, name := range w.cards {
			i, ok := n.Interface(name)
			if ok && !i.Carrier {
				lost = append(lost, fmt.Sprintf("%s, which carries %s", name, w))
			}
		}
		seen = append(seen, w.String())
	}
	switch {
	case len(lost) > 0:
		return broken("", "no signal: "+joined(lost), "look at the cable and the switch port; ip link show; a bond goes on without it, but on one cable")
	case len(seen) == 0:
		return unknown("", "the interfaces of corosync and of the storage are not known")
	}
	return pass("", "%s", joined(seen))
}

func (w *world) switchOf(node ha.NodeName, card string) string {
	h, _ := w.policy.Host(node)
	for _, p := range h.Switches {
		if p.Interface == card {
			return p.Switch
		}
	}
	return ""
}

const switchReboot = "a switch reboot longer than 60 s fences all nodes"

// corosyncLinksShared: two links are worth no more than what they have in common.
func corosyncLinksShared(n node) verdict {
	if v, ok := linksUnknown(n); ok {
		return v
	}
	if v, ok := networkUnknown(n); ok {
		return v
	}
	wires, unseen := n.linkWires()
	switch {
	case len(unseen) > 0:
		return unknown("", "the interface of link %s is not known", joined(unseen))
	case len(wires) < 2:
		return skip("", "there is one link")
	}
	var all, switches []string
	told := true
	for _, w := range wires {
		for _, card := range w.cards {
			all = append(all, card)
			label := n.w.switchOf(n.Node, card)
			told = told && label != ""
			switches = append(switches, label)
		}
	}
	const remedy = "move one link to another network card on another switch: change ring1_addr in /etc/pve/corosync.conf and raise config_version"
	if all := distinct(all); len(all) == 1 {
		return broken("", fmt.Sprintf("all %d links leave by %s: one cable, and %s", len(wires), all[0], switchReboot), remedy)
	}
	labels := distinct(switches)
	switch {
	case told && len(labels) == 1:
		return broken("", fmt.Sprintf("all %d links are plugged into %s: %s", len(wires), labels[0], switchReboot), remedy)
	case told:
		return pass("", "%s over switches %s", joined(wires), joined(labels))
	}
	return pass("", "%s; which switches they end in, network.yml does not say (switches)", joined(wires))
}

func distinct(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// corosyncSharesNetwork looks for one link that nothing else can fill.
func corosyncSharesNetwork(n node) verdict {
	if v, ok := linksUnknown(n); ok {
		return v
	}
	if v, ok := networkUnknown(n); ok {
		return v
	}
	wires, _ := n.linkWires()
	if len(wires) == 0 {
		return unknown("", "the interfaces of corosync's links are not known")
	}
	storage, hasStorage := n.storageWire()
	var shared []string
	for _, w := range wires {
		var with []string
		if hasStorage && overlap(w.cards, storage.cards) {
			with = append(with, "storage ("+storage.iface.Name+")")
		}
		for _, i := range n.Interfaces {
			if i.Kind == ha.InterfaceBridge && overlap(w.cards, cards(i)) {
				with = append(with, "guests ("+i.Name+")")
			}
		}
		if len(with) == 0 {
			return pass("", "nothing else uses the network of %s", w)
		}
		shared = append(shared, fmt.Sprintf("%s with %s", w, joined(with)))
	}
	return broken("", "it shares its network: "+joined(shared), "give one link a network card and a subnet of its own; a backup or a migration that fills the network makes nodes lose quorum")
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// migrationSharesNetwork: without a setting, Proxmox migrates over the address the cluster
// knows a node by, which is corosync's first link.
func migrationSharesNetwork(w *world) []verdict {
	network := w.s.Inventory.Options.MigrationNetwork
	const remedy = "pvesh set /cluster/options --migration type=secure,network=CIDR, with a network corosync does not use"
	if network == "" {
		return []verdict{broken(clusterSubject, "no migration network is set: guests move over corosync's first link, and a large one can fill it", remedy)}
	}
	p, err := netip.ParsePrefix(network)
	if err != nil {
		return []verdict{unknown(clusterSubject, "the migration network is %q, which is no network", network)}
	}
	for _, name := range w.nodes {
		for _, a := range w.policy.Links(name) {
			if p.Contains(a) {
				return []verdict{broken(clusterSubject, fmt.Sprintf("migrations use %s, in which corosync's address %s of %s is", network, a, name), remedy)}
			}
		}
	}
	return []verdict{pass(clusterSubject, "%s", network)}
}

func networkSlow(n node) verdict {
	if v, ok := networkUnknown(n); ok {
		return v
	}
	var slow, seen []string
	for _, w := range n.wires() {
		for _, name := range w.cards {
			i, ok := n.Interface(name)
			if !ok || i.Speed <= 0 {
				continue
			}
			text := fmt.Sprintf("%s has %d Mbit/s on %s", w, i.Speed, name)
			if i.Speed < slowSpeed || !i.FullDuplex {
				slow = append(slow, text)
			} else if i.Speed < goodSpeed {
				text += ", 10000 are better"
			}
			seen = append(seen, text)
		}
	}
	switch {
	case len(slow) > 0:
		return broken("", joined(slow), "look at the cable and the switch port; ethtool NAME tells what both ends offer")
	case len(seen) == 0:
		return skip("", "no network card tells its speed")
	}
	return pass("", "%s", joined(seen))
}

// networkNotRedundant: corosync is safe with two links, the storage needs a bond.
func networkNotRedundant(n node) verdict {
	if v, ok := networkUnknown(n); ok {
		return v
	}
	wires, _ := n.linkWires()
	if len(wires) == 0 {
		return unknown("", "the interfaces of corosync's links are not known")
	}
	var single []string
	if len(wires) == 1 && len(wires[0].cards) < 2 {
		single = append(single, wires[0].String())
	}
	if s, ok := n.storageWire(); ok && len(s.cards) < 2 {
		single = append(single, s.String())
	}
	if len(single) == 0 {
		return pass("", "corosync and the storage have two cables each")
	}
	return n.vouched(ha.AckNetworkBonding, "one cable carries "+joined(single), "bond two network cards on two switches")
}
