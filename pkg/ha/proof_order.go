package ha

import (
	"fmt"
	"net/netip"
)

// ProofDeed is a node's part in proving that a storage is shared.
type ProofDeed string

// The parts.
const (
	// ProofWrite: write the word, under a lock, where nothing of that name is.
	ProofWrite ProofDeed = "write"
	// ProofRead: look for the word, then write and remove a file of one's own.
	ProofRead ProofDeed = "read"
	// ProofRemove: remove the word.
	ProofRemove ProofDeed = "remove"
)

// ProveStorage has a node write a word on a storage, look for it there, or remove it.
type ProveStorage struct {
	// Path must be that of a storage, or one the agent's own configuration names.
	Path  string
	Nonce string
	Deed  ProofDeed
}

// PowerStatus has a node ask another node's BMC whether that node has power. Secret names
// the file with the password on the node that asks; the password is known nowhere else.
type PowerStatus struct {
	Node    NodeName
	Address netip.Addr
	Secret  string
}

// CutPower has a node tell another node's BMC to cut the power. An agent does it only if
// its own configuration allows it.
type CutPower struct {
	Node    NodeName
	Address netip.Addr
	Secret  string
}

func (ProveStorage) action() {}
func (PowerStatus) action()  {}
func (CutPower) action()     {}

func (ProveStorage) orderDeed() {}
func (PowerStatus) orderDeed()  {}
func (CutPower) orderDeed()     {}

func (a ProveStorage) String() string {
	return fmt.Sprintf("%s the word of a proof on %s", a.Deed, a.Path)
}

func (a PowerStatus) String() string {
	return fmt.Sprintf("ask the BMC of %s, %s, whether it has power", a.Node, a.Address)
}

func (a CutPower) String() string {
	return fmt.Sprintf("have the BMC of %s, %s, cut the power", a.Node, a.Address)
}

// Command is the stock command it equals.
func (a ProveStorage) Command() string {
	file := fmt.Sprintf("%s/.psw-ha/proof-%s", a.Path, a.Nonce)
	switch a.Deed {
	case ProofWrite:
		return "echo " + a.Nonce + " > " + file
	case ProofRead:
		return "cat " + file
	case ProofRemove:
		return "rm " + file
	}
	return ""
}

// Command is the stock command it equals.
func (a PowerStatus) Command() string {
	return fmt.Sprintf("ipmitool -I lanplus -H %s -f /etc/psw-ha/%s chassis power status", a.Address, a.Secret)
}

// Command is the stock command it equals.
func (a CutPower) Command() string {
	return fmt.Sprintf("ipmitool -I lanplus -H %s -f /etc/psw-ha/%s chassis power off", a.Address, a.Secret)
}

// LooksOnly reports whether a deed changes nothing that anybody relies on: an agent may do
// it beside others, so that a storage that hangs does not keep a maintenance waiting.
func LooksOnly(d OrderDeed) bool {
	switch d.(type) {
	case ProveStorage, PowerStatus:
		return true
	case SetNodeMaintenance, CutPower,
		CreateCluster, AuthorizeJoin, JoinCluster, RevokeJoin, SetupQDevice, RemoveQDevice, RemoveClusterNode:
		return false
	default:
		return false // what nobody knows waits its turn
	}
}
