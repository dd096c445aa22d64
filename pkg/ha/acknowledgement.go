package ha

import (
	"slices"
	"strings"
	"time"
)

// An Acknowledgement is an operator's word for something no probe can see: that the BIOS's
// own watchdog is off, that a node hangs on a UPS. It is worth as much as whoever gave it,
// so it names him and the day, and it does not last for ever.
type Acknowledgement struct {
	// Item is the name of one of AckItems.
	Item string `json:"item"`
	// Node is whom it is about; empty is the whole cluster, every node included.
	Node NodeName  `json:"node,omitempty"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
	// Note is what the operator wrote beside it.
	Note string `json:"note,omitempty"`
}

// AckAgeMax is how long an operator's word counts. Firmware is updated, mains plugs are
// moved and people leave: after a year somebody should look again.
const AckAgeMax = 365 * 24 * time.Hour

// Stale reports whether the word was given too long ago to count.
func (a Acknowledgement) Stale(at time.Time) bool { return at.Sub(a.At) > AckAgeMax }

// Compare orders acknowledgements by item and node.
func (a Acknowledgement) Compare(b Acknowledgement) int {
	if c := strings.Compare(a.Item, b.Item); c != 0 {
		return c
	}
	return strings.Compare(string(a.Node), string(b.Node))
}

// An AckItem is something an operator can vouch for.
type AckItem struct {
	// Name is what is typed, Title says in the affirmative what is vouched for.
	Name  string `json:"name"`
	Title string `json:"title"`
	// PerNode: it is asked of every node; else once of the cluster.
	PerNode bool `json:"per_node"`
}

// The items, by the names that are typed.
const (
	AckAMTWatchdog    = "amt-watchdog"
	AckASR            = "asr"
	AckBIOSWatchdog   = "bios-watchdog"
	AckFenceNetwork   = "fence-network"
	AckNetworkBonding = "network-bonding"
	AckPowerSupplies  = "power-supplies"
	AckRestoreTried   = "restore-tried"
	AckRunbookKnown   = "runbook-known"
	AckSystemDisks    = "system-disks"
	AckUPS            = "ups"
)

// AckItems are all of them, by name.
var AckItems = []AckItem{
	{AckAMTWatchdog, "the OS health watchdog of Intel AMT is off", true},
	{AckASR, "automated system recovery of the vendor's management agent is off", true},
	{AckBIOSWatchdog, "every watchdog in the BIOS is off", true},
	{AckFenceNetwork, "the management controllers are on a switch of their own", false},
	{AckNetworkBonding, "every network that HA needs has two cables to two switches", true},
	{AckPowerSupplies, "two power supplies hang on two circuits", true},
	{AckRestoreTried, "a guest was restored from its backup, for a try", false},
	{AckRunbookKnown, "the runbook for a failover by hand is printed and known", false},
	{AckSystemDisks, "the system's disks are mirrored", true},
	{AckUPS, "a UPS that is watched feeds it", true},
}

// FindAckItem returns the item of that name.
func FindAckItem(name string) (AckItem, bool) {
	return find(AckItems, name, func(i AckItem) string { return i.Name })
}

// Acknowledged returns what was vouched for of a node, or, with an empty node, of the
// cluster; a word for the whole cluster counts for each node. Fresh is false for one that
// was given too long ago to count, which is still worth naming. The newest wins.
func (s Snapshot) Acknowledged(item string, node NodeName) (a Acknowledgement, fresh, ok bool) {
	for _, one := range s.Acks {
		if one.Item != item || one.Node != "" && one.Node != node {
			continue
		}
		if !ok || one.At.After(a.At) {
			a, ok = one, true
		}
	}
	return a, ok && !a.Stale(s.At), ok
}

// SortAcks sorts acknowledgements by item and node.
func SortAcks(list []Acknowledgement) { slices.SortFunc(list, Acknowledgement.Compare) }
