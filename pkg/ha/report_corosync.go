package ha

import "time"

// Corosync is the node's own view of the cluster network.
type Corosync struct {
	// Running: corosync answered.
	Running bool `json:"running"`
	NodeID  int  `json:"node_id,omitempty"`
	Quorate bool `json:"quorate"`
	// Votes: total now; Expected; Quorum: the number needed.
	Votes    int `json:"votes"`
	Expected int `json:"expected"`
	Quorum   int `json:"quorum"`
	// Flags as corosync-quorumtool prints them, e.g. Quorate, 2Node, Qdevice.
	Flags []string `json:"flags,omitempty"`
	// QDevice: one is configured; QDeviceAlive: it votes.
	QDevice      bool `json:"qdevice,omitempty"`
	QDeviceAlive bool `json:"qdevice_alive,omitempty"`
	// Members are the node ids in this partition, ascending.
	Members []int  `json:"members"`
	Links   []Link `json:"links"` // by peer, then number
	// TokenTimeout is the runtime token timeout, 0 if not known.
	TokenTimeout time.Duration `json:"token_timeout,omitempty"`
	// Consensus is the runtime consensus timeout, 0 if not known.
	Consensus time.Duration `json:"consensus,omitempty"`
	// ConfigVersion is totem.config_version that corosync runs with, 0 if not known.
	ConfigVersion int `json:"config_version,omitempty"`
	// Config is what is declared, whether corosync runs or not.
	Config CorosyncConfig `json:"config,omitzero"`
	// QDeviceState is what corosync-qdevice-tool -s says of the server: Connected, …; empty
	// without a QDevice, or if it cannot be asked.
	QDeviceState string `json:"qdevice_state,omitempty"`
}

// CorosyncConfig is what corosync.conf declares.
type CorosyncConfig struct {
	// Version is config_version of /etc/corosync/corosync.conf, ClusterVersion that of
	// /etc/pve/corosync.conf; 0 if there is no such file.
	Version        int `json:"version,omitempty"`
	ClusterVersion int `json:"cluster_version,omitempty"`
	// The rest is of /etc/corosync/corosync.conf, or of pmxcfs's copy if that is missing.
	// ClusterName is the cluster's name, Transport knet where it is not set.
	ClusterName string `json:"cluster_name,omitempty"`
	Transport   string `json:"transport,omitempty"`
	// Secauth: the traffic is encrypted and authenticated.
	Secauth bool `json:"secauth,omitempty"`
	// LinkMode is passive, active or rr; empty if unset, which is passive.
	LinkMode string `json:"link_mode,omitempty"`
	// Token is the token timeout that is set, 0 if corosync's default is left.
	Token time.Duration  `json:"token,omitempty"`
	Nodes []CorosyncNode `json:"nodes,omitempty"` // by id
	// QDeviceModel is quorum.device.model, net with a QDevice; QDeviceHost and
	// QDeviceAlgorithm are where its server is, and ffsplit or lms.
	QDeviceModel     string `json:"qdevice_model,omitempty"`
	QDeviceHost      string `json:"qdevice_host,omitempty"`
	QDeviceAlgorithm string `json:"qdevice_algorithm,omitempty"`
}

// CorosyncNode is a node that corosync.conf declares.
type CorosyncNode struct {
	ID    int      `json:"id"`
	Name  NodeName `json:"name"`
	Votes int      `json:"votes"`
	// Addresses are its addresses or names by link number, empty where it has no such link.
	Addresses []string `json:"addresses,omitempty"`
}

// Link is one knet link from here to one peer.
type Link struct {
	// Number is the link's, 0 to 7.
	Number int `json:"number"`
	// PeerID is corosync's node id of the other end, Peer its name where known.
	PeerID int      `json:"peer_id"`
	Peer   NodeName `json:"peer,omitempty"`
	// Local and Remote are the addresses of both ends.
	Local  string `json:"local,omitempty"`
	Remote string `json:"remote,omitempty"`
	// Enabled: configured and bound; Connected: packets come back.
	Enabled   bool `json:"enabled"`
	Connected bool `json:"connected"`
	// MTU is the link's, 0 if not known.
	MTU int `json:"mtu,omitempty"`
	// Latency is knet's average, LatencyMax its largest since the link came up; 0 if not known.
	Latency    time.Duration `json:"latency,omitempty"`
	LatencyMax time.Duration `json:"latency_max,omitempty"`
	// Interface is the network interface that has the address Local, empty if none is known.
	Interface string `json:"interface,omitempty"`
	// Downs counts how often the link went down since corosync started.
	Downs int64 `json:"downs,omitempty"`
}
